import random
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lors.checkpoints.dtypes import dtype_name, torch_dtypes
from lors.checkpoints.write import TensorWriter, copy_side_files


def _infos(content: dict[str, torch.Tensor]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in content.items()}


tensors = st.builds(
    lambda name, shape, seed: torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).to(
        torch_dtypes()[name]
    ),
    st.sampled_from(sorted(torch_dtypes())),
    st.lists(st.integers(0, 5), max_size=3),
    st.integers(0, 99),
)


@given(
    content=st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "__metadata__"), tensors, max_size=6
    ),
    order=st.randoms(use_true_random=False),
)
def test_bytes_are_those_that_safetensors_writes(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, torch.Tensor], order: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("write")
    save_file(content, folder / "theirs", metadata={"format": "pt"})
    names = list(content)
    order.shuffle(names)
    with TensorWriter(folder / "ours", _infos(content), {}) as writer, ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: writer.write(name, content[name]), names))
    assert (folder / "ours").read_bytes() == (folder / "theirs").read_bytes()


def test_metadata_is_kept_sorted_and_says_pytorch(tmp_path: Path) -> None:
    content = {"x": torch.zeros(2)}
    for name, metadata in (("one", {"b": "2", "a": "é"}), ("two", {"a": "é", "b": "2"})):
        with TensorWriter(tmp_path / name, _infos(content), metadata) as writer:
            writer.write("x", content["x"])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with safe_open(tmp_path / "one", framework="pt") as file:
        assert file.metadata() == {"a": "é", "b": "2", "format": "pt"}


def test_views_and_gradients_are_written_by_value(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4).requires_grad_()
    content = {"columns": whole[:, 1:3], "transposed": whole.T, "expanded": torch.ones(1).expand(5)}
    with TensorWriter(tmp_path / "file", _infos(content), {}) as writer:
        for name, tensor in content.items():
            writer.write(name, tensor)
    for name, tensor in load_file(tmp_path / "file").items():
        assert torch.equal(tensor, content[name].detach())


def test_what_was_not_announced_is_refused(tmp_path: Path) -> None:
    with TensorWriter(tmp_path / "file", {"x": ("F32", (2,))}, {}) as writer:
        with pytest.raises(ValueError, match="no tensor 'y' was announced"):
            writer.write("y", torch.zeros(2))
        with pytest.raises(ValueError, match=r"tensor 'x': is F16 \(2,\), expected F32 \(2,\)"):
            writer.write("x", torch.zeros(2, dtype=torch.float16))
        with pytest.raises(ValueError, match=r"tensor 'x': is F32 \(1, 2\), expected F32 \(2,\)"):
            writer.write("x", torch.zeros(1, 2))
        writer.write("x", torch.zeros(2))
        with pytest.raises(ValueError, match="written twice"):
            writer.write("x", torch.zeros(2))
    with pytest.raises(ValueError, match="unknown dtype 'F31'"):
        TensorWriter(tmp_path / "other", {"x": ("F31", (2,))}, {})
    assert not (tmp_path / "other").exists()


def test_a_tensor_forgotten_is_an_error_and_an_error_is_not_hidden(tmp_path: Path) -> None:
    infos = {"x": ("F32", (2,)), "y": ("F32", (2,))}
    with (
        pytest.raises(RuntimeError, match="never written: y"),
        TensorWriter(tmp_path / "file", infos, {}) as writer,
    ):
        writer.write("x", torch.zeros(2))
    with pytest.raises(ZeroDivisionError), TensorWriter(tmp_path / "two", {"x": ("F32", (2,))}, {}):
        raise ZeroDivisionError


def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError):
        TensorWriter(tmp_path / "file", {}, {})
    assert (tmp_path / "file").read_text() == "precious"


_TOO_LARGE = """
import resource, signal, sys, torch
from pathlib import Path
from lors.checkpoints.write import TensorWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    with TensorWriter(Path(sys.argv[1]), {"x": ("F32", (50_000,))}, {}) as writer:
        writer.write("x", torch.zeros(50_000))
except OSError as error:
    print(error.filename)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="this system limits no file sizes")
def test_a_disk_that_refuses_is_an_os_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    shown = subprocess.run(
        [sys.executable, "-c", _TOO_LARGE, str(path)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == str(path)


def test_what_makes_weights_a_model_is_copied_and_nothing_else(tmp_path: Path) -> None:
    source, destination = tmp_path / "source", tmp_path / "destination"
    (source / "checkpoint-5").mkdir(parents=True)
    destination.mkdir()
    wanted = {
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "normalizer.json",
        "LICENSE",
    }
    unwanted = {
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "tf_model.h5",
        "flax_model.msgpack",
        "whisper.pt",
        "training_args.bin",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
        "README.md",
        "merge.json",
        "finetune.json",
        ".gitattributes",
    }
    for name in wanted | unwanted:
        (source / name).write_text(name)
    copy_side_files(source, destination)
    assert {path.name for path in destination.iterdir()} == wanted
    assert (destination / "merges.txt").read_text() == "merges.txt"
