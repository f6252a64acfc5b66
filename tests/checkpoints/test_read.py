import hashlib
import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from lors.base.errors import LorsError, UsageError
from lors.checkpoints.dtypes import dtype_name, torch_dtypes
from lors.checkpoints.read import INDEX, WEIGHTS, open_checkpoint

A = {"b": torch.arange(6, dtype=torch.float32).reshape(2, 3), "a": torch.ones(4, dtype=torch.bfloat16)}
B = {"c": torch.arange(5, dtype=torch.int64)}


def _sharded(directory: Path) -> Path:
    save_file(A, directory / "model-00001-of-00002.safetensors")
    save_file(B, directory / "model-00002-of-00002.safetensors")
    placed = dict.fromkeys(A, "model-00001-of-00002.safetensors") | dict.fromkeys(
        B, "model-00002-of-00002.safetensors"
    )
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return directory


tensors = st.builds(
    lambda name, shape: torch.randint(0, 2, shape).to(torch_dtypes()[name]),
    st.sampled_from(sorted(torch_dtypes())),
    st.lists(st.integers(0, 5), max_size=3),
)


@given(content=st.dictionaries(st.text(min_size=1, max_size=8), tensors, min_size=1, max_size=5))
def test_reading_agrees_with_safetensors(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, torch.Tensor]
) -> None:
    content = {name: tensor for name, tensor in content.items() if name != "__metadata__"} or A
    directory = tmp_path_factory.mktemp("checkpoint")
    save_file(content, directory / WEIGHTS)
    checkpoint = open_checkpoint(directory)
    assert list(checkpoint.tensors) == sorted(content)
    truth = load_file(directory / WEIGHTS)
    for name, info in checkpoint.tensors.items():
        tensor = checkpoint.read(name)
        assert tensor.dtype == truth[name].dtype == torch_dtypes()[info.dtype]
        assert tuple(tensor.shape) == info.shape
        assert info.nbytes == tensor.numel() * tensor.element_size()
        assert torch.equal(tensor.flatten().view(torch.uint8), truth[name].flatten().view(torch.uint8))


def test_shards_read_as_one(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(_sharded(tmp_path))
    assert list(checkpoint.tensors) == ["a", "b", "c"]
    assert [path.name[:11] for path in checkpoint.files()] == ["model-00001", "model-00002"]
    assert checkpoint.tensors["c"].file == checkpoint.files()[1]
    for name, tensor in (A | B).items():
        assert torch.equal(checkpoint.read(name), tensor)


def test_an_unknown_tensor_is_a_key_error(tmp_path: Path) -> None:
    save_file(A, tmp_path / WEIGHTS)
    with pytest.raises(KeyError):
        open_checkpoint(tmp_path).read("absent")


def test_threads_read_the_same(tmp_path: Path) -> None:
    content = {f"t{i}": torch.randn(64, 64) for i in range(40)}
    save_file(content, tmp_path / WEIGHTS)
    checkpoint = open_checkpoint(tmp_path)
    wrong: list[str] = []

    def read_all() -> None:
        wrong.extend(name for name in content if not torch.equal(checkpoint.read(name), content[name]))

    threads = [threading.Thread(target=read_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_header_of_odd_length_reads(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).encode()
    header += b" " * (3 - len(header) % 2)
    assert len(header) % 2
    data = torch.tensor([1.0, 2.0, 3.0])
    (tmp_path / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + data.numpy().tobytes())
    assert torch.equal(open_checkpoint(tmp_path).read("x"), data)


def test_the_digest_is_the_files_own_and_follows_its_content(tmp_path: Path) -> None:
    save_file(A, tmp_path / WEIGHTS)
    first = open_checkpoint(tmp_path).sha256()
    assert first == hashlib.sha256((tmp_path / WEIGHTS).read_bytes()).hexdigest()
    save_file(A | {"b": A["b"] + 1}, tmp_path / WEIGHTS)
    second = open_checkpoint(tmp_path).sha256()
    assert second == hashlib.sha256((tmp_path / WEIGHTS).read_bytes()).hexdigest() != first


def test_the_digest_of_shards_covers_each(tmp_path: Path) -> None:
    digest = open_checkpoint(_sharded(tmp_path)).sha256()
    lines = "".join(
        f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in sorted(tmp_path.glob("*.safetensors"))
    )
    assert digest == hashlib.sha256(lines.encode()).hexdigest()
    save_file({"c": B["c"] + 1}, tmp_path / "model-00002-of-00002.safetensors")
    assert open_checkpoint(tmp_path).sha256() != digest


@given(keep=st.floats(0.0, 0.999))
def test_a_file_cut_anywhere_is_named(tmp_path_factory: pytest.TempPathFactory, keep: float) -> None:
    directory = tmp_path_factory.mktemp("cut")
    save_file(A, directory / WEIGHTS)
    content = (directory / WEIGHTS).read_bytes()
    (directory / WEIGHTS).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(LorsError, match=r"model\.safetensors: (truncated|not a safetensors file)"):
        open_checkpoint(directory)


def test_a_truncated_file_tells_what_its_header_asks_for(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1000)}, tmp_path / WEIGHTS)
    content = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(content[:-500])
    with pytest.raises(
        LorsError, match=rf"its header asks for {len(content):,} bytes and there are {len(content) - 500:,}"
    ):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"x" * 100,
        (8).to_bytes(8, "little") + b"not json",
        (2).to_bytes(8, "little") + b"[]",
        (7).to_bytes(8, "little") + b'{"x":1}',
        (40).to_bytes(8, "little") + b'{"x":{"dtype":"F32","shape":[1]}}       ',
        (64).to_bytes(8, "little")
        + b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}          '
        + b"0000",
    ],
)
def test_what_is_no_safetensors_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(LorsError, match=r"model\.safetensors: not a") as caught:
        open_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_git_lfs_pointer_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 290403936\n"
    )
    with pytest.raises(LorsError, match=r"a Git LFS pointer of \d+ bytes.*git lfs pull"):
        open_checkpoint(tmp_path)


def test_a_file_without_tensors_is_told(tmp_path: Path) -> None:
    save_file({}, tmp_path / WEIGHTS)
    with pytest.raises(LorsError, match="hold no tensor"):
        open_checkpoint(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    (_sharded(tmp_path) / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(LorsError, match=r"model-00002-of-00002\.safetensors: missing, though"):
        open_checkpoint(tmp_path)


def test_a_shard_without_its_tensor_is_named(tmp_path: Path) -> None:
    _sharded(tmp_path)
    save_file({"a": A["a"]}, tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(
        LorsError, match=r"model-00001-of-00002\.safetensors: the tensor 'b' that .* is missing"
    ):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": 3}', '{"weight_map": {"x": 3}}', "{"])
def test_a_damaged_index_is_named(tmp_path: Path, index: str) -> None:
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(LorsError, match=r"model\.safetensors\.index\.json: "):
        open_checkpoint(tmp_path)


def test_an_index_reaches_into_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    save_file(A, tmp_path / "outside.safetensors")
    (tmp_path / "inside" / INDEX).write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(LorsError, match=r"names the file '\.\./outside\.safetensors'"):
        open_checkpoint(tmp_path / "inside")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("pytorch_model.bin", r"but pytorch_model\.bin, a format that LoRS does not read"),
        ("adapter_config.json", "but a LoRA adapter"),
        ("readme", r"holds neither model\.safetensors nor"),
    ],
)
def test_a_directory_without_safetensors_weights_is_told(tmp_path: Path, file: str, told: str) -> None:
    (tmp_path / file).touch()
    with pytest.raises(UsageError, match=told):
        open_checkpoint(tmp_path)


def test_what_is_no_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        open_checkpoint(tmp_path / "absent")


def test_every_format_has_one_name() -> None:
    assert {dtype_name(dtype): dtype for dtype in torch_dtypes().values()} == torch_dtypes()


def test_a_checkpoint_that_transformers_wrote_opens(whisper: Path, tmp_path: Path) -> None:
    shutil.copytree(whisper, tmp_path / "copy")
    checkpoint = open_checkpoint(tmp_path / "copy")
    assert "model.decoder.embed_tokens.weight" in checkpoint.tensors
    assert "proj_out.weight" not in checkpoint.tensors
