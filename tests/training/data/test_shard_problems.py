"""Whatever is wrong with a shards folder is found, at the depth that was asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import InputError
from schemas.shards import TokenizerFile
from tests.builders.shard_folder import ShardFolder
from training.data.shards import ShardReader, check


@pytest.fixture
def folder(tmp_path: Path) -> ShardFolder:
    return ShardFolder(tmp_path)


def flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


Damage = Callable[[ShardFolder], object]
STRUCTURE: dict[str, tuple[Damage, str]] = {
    "no tokenizer": (lambda f: (f.path / "tokenizer.model").unlink(), "tokenizer is missing"),
    "no bin": (lambda f: (f.path / "train/shard-00000.bin").unlink(), "shard-00000.bin: cannot"),
    "no idx": (lambda f: (f.path / "train/shard-00002.idx").unlink(), "shard-00002.idx: No such"),
    "short bin": (
        lambda f: os.truncate(f.path / "train/shard-00002.bin", 10),
        "shard-00002.bin: has 10 bytes",
    ),
    "short idx": (lambda f: os.truncate(f.path / "train/shard-00002.idx", 50), "ask for"),
    "fingerprint": (lambda f: f.write_manifest(fingerprint="abc"), "fingerprint is abc"),
    "dtype": (lambda f: f.write_manifest(dtype="uint32"), "tokens of uint32 take"),
    "vocabulary": (lambda f: f.write_manifest(vocab_size=70_000), "does not fit dtype uint16"),
    "eos": (lambda f: f.write_manifest(eos_id=-1), "eos_id -1 is outside"),
    "docs": (
        lambda f: f.write_manifest(shards=[f.entries[0].model_copy(update={"docs": 5})]),
        "has 4 documents, the manifest says 5",
    ),
    "tokens": (
        lambda f: f.write_manifest(shards=[f.entries[0].model_copy(update={"tokens": 5})]),
        "5 tokens of uint16 take 10",
    ),
    "twice": (lambda f: f.write_manifest(shards=f.entries * 2), "is listed 2 times"),
    "outside": (
        lambda f: f.write_manifest(
            tokenizer=TokenizerFile(file="../tokenizer.model", sha256=f.tokenizer.sha256)
        ),
        "lies outside the shards folder",
    ),
}
CHECKSUMS: dict[str, tuple[Damage, str]] = {
    "bin": (lambda f: flip(f.path / "train/shard-00002.bin"), r"shard-00002\.bin: sha256 is"),
    "idx": (lambda f: flip(f.path / "train/shard-00002.idx", 34), r"shard-00002\.idx: sha256 is"),
    "tokenizer": (lambda f: flip(f.path / "tokenizer.model"), r"tokenizer\.model: sha256 is"),
}


def expect_problem(folder: ShardFolder, complaint: str, verify: Any) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        ShardReader(folder.manifest, verify=verify)
    assert "\n" not in str(caught.value)
    assert str(caught.value) in check(folder.manifest)


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_is_always_checked(folder: ShardFolder, name: str) -> None:
    damage, complaint = STRUCTURE[name]
    damage(folder)
    expect_problem(folder, complaint, verify=False)


@pytest.mark.parametrize("name", CHECKSUMS)
def test_checksums_are_checked_by_default(folder: ShardFolder, name: str) -> None:
    damage, complaint = CHECKSUMS[name]
    damage(folder)
    ShardReader(folder.manifest, verify=False)
    expect_problem(folder, complaint, verify=True)


def rewrite(folder: ShardFolder, place: int, token: int) -> None:
    path = folder.path / "train/shard-00002.bin"
    tokens = np.fromfile(path, dtype="<u2")
    tokens[place] = token
    tokens.tofile(path)
    folder.seal()


def shift_index(folder: ShardFolder, place: int) -> None:
    flip(folder.path / "train/shard-00002.idx", place)
    folder.seal()


CONTENT: dict[str, tuple[Damage, str]] = {
    "large id": (lambda f: rewrite(f, 0, 60_000), "holds token id 60000"),
    "no eos": (lambda f: rewrite(f, -1, 5), "do not end with EOS 2, the first is document 6"),
    "lengths": (lambda f: shift_index(f, 34), "byte offsets do not follow|do not add up"),
    "pointers": (lambda f: shift_index(f, 34 + 4 * 7 + 8), "byte offsets do not follow"),
    "documents": (lambda f: shift_index(f, 34 + 12 * 7 + 8), "not one sequence each"),
    "tokenizer": (lambda f: f.write_manifest(vocab_size=400), "the manifest says 400"),
    "no docs": (lambda f: (f.path / "docs.parquet").unlink(), "docs.parquet: is missing"),
    "no parquet": (lambda f: (f.path / "docs.parquet").write_bytes(b"x"), "is no Parquet file"),
    "row gone": (lambda f: f.change_rows(lambda r: r.pop(5)), "1 documents are not listed"),
    "row twice": (lambda f: f.change_rows(lambda r: r.append(r[5])), "listed twice"),
    "row wrong": (
        lambda f: f.change_rows(lambda r: r[5].update(tokens=1000)),
        "split train, shard 2: document 1 has .* tokens, not 1000",
    ),
    "row far": (lambda f: f.change_rows(lambda r: r[5].update(position=70)), "positions go to 70"),
    "row null": (lambda f: f.change_rows(lambda r: r[5].update(position=None)), "is null"),
    "other shard": (
        lambda f: f.change_rows(lambda r: r[5].update(shard=9)),
        "split train, shard 9: is not in the manifest",
    ),
    "column": (
        lambda f: pq.write_table(pa.table({"id": ["a"]}), f.path / "docs.parquet"),
        "column split of type string is missing",
    ),
    "stray": (lambda f: (f.path / "train/old.bin").touch(), r"old\.bin: is not in the manifest"),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_is_checked_in_full(folder: ShardFolder, name: str) -> None:
    damage, complaint = CONTENT[name]
    damage(folder)
    ShardReader(folder.manifest, verify=True)
    expect_problem(folder, complaint, verify="full")


def test_check_lists_all_problems(folder: ShardFolder) -> None:
    for name in ("train/shard-00000.bin", "validation/shard-00000.idx"):
        flip(folder.path / name, 40)
    (folder.path / "tokenizer.model").unlink()
    assert len(check(folder.manifest)) == 3
