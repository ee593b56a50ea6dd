"""The indexed dataset, byte by byte against its specification, and against another writer."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.errors import InputError, OutputError
from stages.tokens import IndexedStream, SequenceIndex, ShardWriter

DOCUMENTS = [[5, 6, 2], [2], [7, 8, 9, 10, 2]]


class Parsed(NamedTuple):
    version: int
    code: int
    lengths: tuple[int, ...]
    pointers: tuple[int, ...]
    documents: tuple[int, ...]
    tokens: list[list[int]]


def parse(prefix: Path) -> Parsed:
    """An independent reading of the format, with struct alone."""
    index, data = Path(f"{prefix}.idx").read_bytes(), Path(f"{prefix}.bin").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    (version,) = struct.unpack_from("<Q", index, 9)
    (code,) = struct.unpack_from("<B", index, 17)
    sequences, indices = struct.unpack_from("<QQ", index, 18)
    place = 34
    lengths = struct.unpack_from(f"<{sequences}i", index, place)
    place += 4 * sequences
    pointers = struct.unpack_from(f"<{sequences}q", index, place)
    place += 8 * sequences
    documents = struct.unpack_from(f"<{indices}q", index, place)
    assert place + 8 * indices == len(index)
    letter, size = {8: ("H", 2), 4: ("i", 4)}[code]
    assert sum(lengths) * size == len(data)
    tokens = [
        list(struct.unpack_from(f"<{length}{letter}", data, pointer))
        for length, pointer in zip(lengths, pointers, strict=True)
    ]
    return Parsed(version, code, lengths, pointers, documents, tokens)


@pytest.mark.parametrize(("dtype", "code", "size"), [("uint16", 8, 2), ("uint32", 4, 4)])
def test_files_follow_the_specification(tmp_path: Path, dtype: str, code: int, size: int) -> None:
    prefix = tmp_path / "shard-00000"
    writer = ShardWriter(prefix, dtype)  # type: ignore[arg-type]
    for document in DOCUMENTS:
        writer.write(np.array(document))
    written = writer.close()
    parsed = parse(prefix)
    assert parsed == (1, code, (3, 1, 5), (0, 3 * size, 4 * size), (0, 1, 2, 3), DOCUMENTS)
    assert (written.docs, written.tokens) == (3, 9)
    assert written.bin_sha256 == hashlib.sha256(Path(f"{prefix}.bin").read_bytes()).hexdigest()
    assert written.idx_sha256 == hashlib.sha256(Path(f"{prefix}.idx").read_bytes()).hexdigest()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shard-00000.bin", "shard-00000.idx"]
    assert writer.close() == written


ids = st.integers(0, 65_535) | st.integers(0, 2**31 - 1)


@given(documents=st.lists(st.lists(ids, min_size=1, max_size=30), max_size=20))
@hypothesis_settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]]
) -> None:
    prefix = tmp_path_factory.mktemp("shard") / "s"
    with ShardWriter(prefix, "uint32") as writer:
        for document in documents:
            writer.write(np.array(document, dtype=np.uint32))
    assert parse(prefix).tokens == documents
    index = SequenceIndex.open(f"{prefix}.idx")
    assert index.dtype == "uint32"
    assert index.lengths_tokens.tolist() == [len(document) for document in documents]
    assert index.documents.tolist() == list(range(len(documents) + 1))
    starts = np.cumsum([0, *map(len, documents)])[: len(documents)]
    assert index.offsets_bytes.tolist() == (starts * 4).tolist()


@pytest.mark.parametrize(("size", "dtype"), [(2, "uint16"), (4, "uint32")])
def test_datatrove_writes_the_same_bytes(tmp_path: Path, size: int, dtype: str) -> None:
    peer = pytest.importorskip("datatrove.pipeline.tokens.megatron_tokenizer")
    theirs = peer.MegatronTokenizedFile(str(tmp_path), "theirs", token_size=size)
    with ShardWriter(tmp_path / "ours", dtype) as ours:  # type: ignore[arg-type]
        for document in DOCUMENTS:
            theirs.write(document)
            ours.write(np.array(document))
    theirs.close()
    for end in ("bin", "idx"):
        assert (tmp_path / f"ours.{end}").read_bytes() == (tmp_path / f"theirs.{end}").read_bytes()


@pytest.mark.parametrize(
    ("tokens", "dtype"),
    [
        (np.array([], dtype=np.uint16), "uint16"),
        (np.array([[1, 2]]), "uint16"),
        (np.array([1.0]), "uint16"),
        (np.array([65_536]), "uint16"),
        (np.array([-1]), "uint16"),
        (np.array([2**31], dtype=np.uint32), "uint32"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, tokens: np.ndarray, dtype: str) -> None:
    with ShardWriter(tmp_path / "s", dtype) as writer:  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"fit|flat|integers"):
            writer.write(tokens)
        writer.write(np.array([1]))
    assert parse(tmp_path / "s").tokens == [[1]]


def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with ShardWriter(tmp_path / "s", "uint16") as writer:
            writer.write(np.array([1]))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert not list(tmp_path.iterdir())


def test_nothing_appears_under_its_name_before_close(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "s", "uint16")
    writer.write(np.array([1]))
    assert {path.suffix for path in tmp_path.iterdir()} == {".tmp"}
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write the shard"):
        ShardWriter(tmp_path / "none" / "s", "uint16")


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    writer = ShardWriter(tmp_path / "s", "uint16")
    with full.open("wb") as handle:
        writer._stream._handle = handle
        with pytest.raises(OutputError, match="No space left"):
            writer.write(np.ones(1 << 20, dtype=np.uint16))
        assert not list(tmp_path.iterdir())


def test_a_stream_writes_the_same_as_a_writer(tmp_path: Path) -> None:
    with (tmp_path / "b.bin").open("wb") as handle:
        stream = IndexedStream(handle, "uint16")
        for document in DOCUMENTS:
            stream.write(np.array(document, dtype=np.uint16))
    (tmp_path / "b.idx").write_bytes(stream.index())
    with ShardWriter(tmp_path / "a", "uint16") as writer:
        for document in DOCUMENTS:
            writer.write(np.array(document, dtype=np.int64))
    for end in ("bin", "idx"):
        assert (tmp_path / f"a.{end}").read_bytes() == (tmp_path / f"b.{end}").read_bytes()


def index_bytes(magic: bytes = b"MMIDIDX\0\0", version: int = 1, code: int = 8) -> bytes:
    return magic + struct.pack("<QBQQ", version, code, 1, 2) + struct.pack("<iqqq", 1, 0, 0, 1)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a Megatron index"),
        (b"MMIDIDX\0\0", "not a Megatron index"),
        (index_bytes(magic=b"TNTIDX\0\0\0"), "not a Megatron index"),
        (index_bytes(version=2), "version 2"),
        (index_bytes(code=7), "type code 7"),
        (index_bytes()[:-1], "ask for"),
        (index_bytes() + b"\0", "ask for"),
    ],
)
def test_a_broken_index_is_one_clear_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "s.idx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as caught:
        SequenceIndex.open(path)
    assert "s.idx" in str(caught.value)
    path.unlink()
    with pytest.raises(InputError, match="cannot read the shard index"):
        SequenceIndex.open(path)
