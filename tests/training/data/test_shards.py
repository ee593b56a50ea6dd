"""The shard reader: access, verification, trace."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.errors import InputError, UsageError
from schemas.recipe import Tokenizer as TokenizerSettings
from schemas.shards import ShardChecksums, ShardEntry, ShardManifestV1, TokenizerFile
from schemas.tables import SHARD_DOC_V1
from stages.tokens import ShardWriter, Tokenizer, train_sentencepiece
from training.data.shards import ShardReader, check

EOS = 2
SPLITS = {"train": [4, 0, 7], "validation": [3]}
"""Documents of each shard; one shard is empty."""


def documents_of(split: str, shard: int, count: int) -> list[np.ndarray]:
    random = np.random.default_rng([len(split), shard])
    return [
        np.append(random.integers(4, 300, size=int(random.integers(0, 40))), EOS)
        for _ in range(count)
    ]


class Folder:
    """A shards folder as the pack phase leaves it, with what it should hold."""

    def __init__(self, path: Path, dtype: str = "uint16") -> None:
        self.path = path
        self.manifest = path / "manifest.json"
        self.expected: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
        train_sentencepiece(
            ["some text"], path / "tokenizer.model", TokenizerSettings(vocab_size=300)
        )
        self.tokenizer = Tokenizer.load(path / "tokenizer.model")
        self.entries: list[ShardEntry] = []
        self.rows: list[dict[str, Any]] = []
        for split, shards in SPLITS.items():
            (path / split).mkdir()
            for number, count in enumerate(shards):
                self._add(split, number, count, dtype)
        self.write_docs(self.rows)
        self.write_manifest(dtype=dtype)

    def _add(self, split: str, number: int, count: int, dtype: str) -> None:
        name = f"{split}/shard-{number:05d}"
        limit = self.tokenizer.vocab_size
        with ShardWriter(self.path / name, dtype) as writer:  # type: ignore[arg-type]
            for position, tokens in enumerate(documents_of(split, number, count)):
                tokens = np.minimum(tokens, limit - 1)
                writer.write(tokens)
                self.expected[split].append(tokens)
                self.rows.append(
                    {
                        "id": f"{split}-{number}-{position}",
                        "split": split,
                        "shard": number,
                        "position": position,
                        "tokens": len(tokens),
                        "url": f"https://example.org/{position}",
                        "language": "en",
                        "source": "warc",
                        "quality_bucket": None,
                        "warc_file": "a.warc.gz",
                        "warc_offset": 1000 * position,
                    }
                )
        written = writer.close()
        self.entries.append(
            ShardEntry(
                path=name,
                split=split,
                docs=written.docs,
                tokens=written.tokens,
                sha256=ShardChecksums(bin=written.bin_sha256, idx=written.idx_sha256),
            )
        )

    def write_docs(self, rows: list[dict[str, Any]]) -> None:
        table = pa.Table.from_pylist(rows, schema=SHARD_DOC_V1)
        pq.write_table(table, self.path / "docs.parquet", row_group_size=4)

    def write_manifest(self, **changes: Any) -> None:
        content: dict[str, Any] = {
            "tokenizer": TokenizerFile(file="tokenizer.model", sha256=self.tokenizer.sha256),
            "vocab_size": self.tokenizer.vocab_size,
            "eos_id": EOS,
            "dtype": "uint16",
            "shards": self.entries,
            "recipe_hash": "0",
        } | changes
        content.setdefault(
            "fingerprint",
            ShardManifestV1.fingerprint_of(
                content["tokenizer"].sha256,
                content["vocab_size"],
                content["eos_id"],
                content["dtype"],
                content["shards"],
            ),
        )
        self.manifest.write_text(ShardManifestV1(**content).to_json(), encoding="utf-8")

    def seal(self) -> None:
        """Take new checksums of changed files, as if they had been written so."""
        self.entries = [
            entry.model_copy(
                update={
                    "sha256": ShardChecksums(
                        **{
                            end: hashlib.sha256(
                                (self.path / f"{entry.path}.{end}").read_bytes()
                            ).hexdigest()
                            for end in ("bin", "idx")
                        }
                    )
                }
            )
            for entry in self.entries
        ]
        self.write_manifest()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(scope="module", params=["uint16", "uint32"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("sound"), request.param)


@pytest.mark.parametrize("verify", [False, True, "full"])
def test_everything_is_there_in_order(sound: Folder, verify: Any) -> None:
    reader = ShardReader(sound.manifest, verify=verify)
    assert reader.splits == ("train", "validation")
    assert len(reader) == 14
    for split, expected in sound.expected.items():
        assert reader.total_documents(split) == len(expected)
        assert reader.total_tokens(split) == sum(map(len, expected))
        read = list(reader.documents(split))
        assert [tokens.tolist() for tokens in read] == [tokens.tolist() for tokens in expected]
        assert {tokens.dtype.name for tokens in read} == {reader.manifest.dtype}
        for number, tokens in enumerate(expected):
            assert np.array_equal(reader.document(split, number), tokens)
    assert reader.total_tokens() == reader.total_tokens("train") + reader.total_tokens("validation")
    assert check(sound.manifest) == []


@given(data=st.data())
@hypothesis_settings(max_examples=200, deadline=None)
def test_any_window_of_the_joined_stream(sound: Folder, data: st.DataObject) -> None:
    reader = ShardReader(sound.manifest, verify=False)
    stream = np.concatenate(sound.expected["train"])
    start = data.draw(st.integers(0, len(stream)))
    length = data.draw(st.integers(0, len(stream) - start))
    assert reader.tokens("train", start, length).tolist() == stream[start : start + length].tolist()


def test_every_token_belongs_to_its_document(sound: Folder) -> None:
    reader = ShardReader(sound.manifest, verify=False)
    found = [reader.document_at("train", i) for i in range(reader.total_tokens("train"))]
    assert found == [
        (document, place)
        for document, tokens in enumerate(sound.expected["train"])
        for place in range(len(tokens))
    ]


def test_outside_is_an_error(sound: Folder) -> None:
    reader = ShardReader(sound.manifest, verify=False)
    documents, tokens = reader.total_documents("train"), reader.total_tokens("train")
    for document in (-1, documents):
        with pytest.raises(IndexError, match=f"document {document} of split train"):
            reader.document("train", document)
    for token in (-1, tokens):
        with pytest.raises(IndexError, match=f"token {token} of split train"):
            reader.document_at("train", token)
    for start, length in ((-1, 2), (0, tokens + 1), (tokens, 1), (3, -1)):
        with pytest.raises(IndexError, match="of split train, which has"):
            reader.tokens("train", start, length)
    with pytest.raises(UsageError, match="no split 'test'; it has: train, validation"):
        reader.document("test", 0)


def test_documents_can_be_traced(sound: Folder) -> None:
    reader = ShardReader(sound.manifest, verify=False)
    origin = reader.trace("train", 6)
    assert (origin.id, origin.url) == ("train-2-2", "https://example.org/2")
    assert (origin.warc_file, origin.warc_offset) == ("a.warc.gz", 2000)
    assert origin.tokens == len(reader.document("train", 6))
    assert reader.shard_of("train", 6) == (2, "train/shard-00002", 2)
    many = reader.trace_all("train", [10, 0, 6, 0])
    assert [origin.id for origin in many] == ["train-2-6", "train-0-0", "train-2-2", "train-0-0"]
    assert reader.trace("validation", 0).split == "validation"


def test_shard_numbers_may_have_gaps(folder: Folder) -> None:
    """A range of hashed keys may hold no document: that shard is not written."""
    folder.entries = [entry for entry in folder.entries if entry.docs]
    for end in ("bin", "idx"):
        (folder.path / f"train/shard-00001.{end}").unlink()
    folder.write_manifest()
    assert check(folder.manifest) == []
    reader = ShardReader(folder.manifest)
    assert reader.trace("train", 4).id == "train-2-0"


def test_a_run_that_kept_nothing(folder: Folder) -> None:
    for entry in folder.entries:
        for end in ("bin", "idx"):
            (folder.path / f"{entry.path}.{end}").unlink()
    folder.entries = []
    folder.write_docs([])
    folder.write_manifest()
    assert check(folder.manifest) == []
    reader = ShardReader(folder.manifest, verify="full")
    assert (len(reader), reader.total_tokens(), reader.splits) == (0, 0, ())


def test_arrays_cannot_be_written_to(sound: Folder) -> None:
    tokens = ShardReader(sound.manifest, verify=False).document("train", 0)
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_a_pickled_reader_maps_anew(sound: Folder) -> None:
    reader = ShardReader(sound.manifest)
    list(reader.documents("train"))
    data = pickle.dumps(reader)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).document("train", 3), reader.document("train", 3))


def flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


Damage = Callable[[Folder], object]
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


def expect_problem(folder: Folder, complaint: str, verify: Any) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        ShardReader(folder.manifest, verify=verify)
    assert "\n" not in str(caught.value)
    assert str(caught.value) in check(folder.manifest)


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_is_always_checked(folder: Folder, name: str) -> None:
    damage, complaint = STRUCTURE[name]
    damage(folder)
    expect_problem(folder, complaint, verify=False)


@pytest.mark.parametrize("name", CHECKSUMS)
def test_checksums_are_checked_by_default(folder: Folder, name: str) -> None:
    damage, complaint = CHECKSUMS[name]
    damage(folder)
    ShardReader(folder.manifest, verify=False)
    expect_problem(folder, complaint, verify=True)


def rewrite(folder: Folder, place: int, token: int) -> None:
    path = folder.path / "train/shard-00002.bin"
    tokens = np.fromfile(path, dtype="<u2")
    tokens[place] = token
    tokens.tofile(path)
    folder.seal()


def shift_index(folder: Folder, place: int) -> None:
    flip(folder.path / "train/shard-00002.idx", place)
    folder.seal()


def change_rows(folder: Folder, change: Callable[[list[dict[str, Any]]], object]) -> None:
    change(folder.rows)
    folder.write_docs(folder.rows)


CONTENT: dict[str, tuple[Damage, str]] = {
    "large id": (lambda f: rewrite(f, 0, 60_000), "holds token id 60000"),
    "no eos": (lambda f: rewrite(f, -1, 5), "do not end with EOS 2, the first is document 6"),
    "lengths": (lambda f: shift_index(f, 34), "byte offsets do not follow|do not add up"),
    "pointers": (lambda f: shift_index(f, 34 + 4 * 7 + 8), "byte offsets do not follow"),
    "documents": (lambda f: shift_index(f, 34 + 12 * 7 + 8), "not one sequence each"),
    "tokenizer": (lambda f: f.write_manifest(vocab_size=400), "the manifest says 400"),
    "no docs": (lambda f: (f.path / "docs.parquet").unlink(), "docs.parquet: is missing"),
    "no parquet": (lambda f: (f.path / "docs.parquet").write_bytes(b"x"), "is no Parquet file"),
    "row gone": (lambda f: change_rows(f, lambda r: r.pop(5)), "1 documents are not listed"),
    "row twice": (lambda f: change_rows(f, lambda r: r.append(r[5])), "listed twice"),
    "row wrong": (
        lambda f: change_rows(f, lambda r: r[5].update(tokens=1000)),
        "split train, shard 2: document 1 has .* tokens, not 1000",
    ),
    "row far": (lambda f: change_rows(f, lambda r: r[5].update(position=70)), "positions go to 70"),
    "row null": (lambda f: change_rows(f, lambda r: r[5].update(position=None)), "is null"),
    "other shard": (
        lambda f: change_rows(f, lambda r: r[5].update(shard=9)),
        "split train, shard 9: is not in the manifest",
    ),
    "column": (
        lambda f: pq.write_table(pa.table({"id": ["a"]}), f.path / "docs.parquet"),
        "column split of type string is missing",
    ),
    "stray": (lambda f: (f.path / "train/old.bin").touch(), r"old\.bin: is not in the manifest"),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_is_checked_in_full(folder: Folder, name: str) -> None:
    damage, complaint = CONTENT[name]
    damage(folder)
    ShardReader(folder.manifest, verify=True)
    expect_problem(folder, complaint, verify="full")


def test_check_lists_all_problems(folder: Folder) -> None:
    for name in ("train/shard-00000.bin", "validation/shard-00000.idx"):
        flip(folder.path / name, 40)
    (folder.path / "tokenizer.model").unlink()
    assert len(check(folder.manifest)) == 3


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"[]"])
def test_no_manifest_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="manifest") as caught:
        ShardReader(path)
    assert "\n" not in str(caught.value)
    assert check(path) == [str(caught.value)]


def test_trace_says_what_is_missing(folder: Folder) -> None:
    reader = ShardReader(folder.manifest)
    change_rows(folder, lambda rows: rows.pop(0))
    with pytest.raises(InputError, match=r"no row for split train, shard 0, document 0"):
        reader.trace("train", 0)
    (folder.path / "docs.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="unreadable"):
        reader.trace("train", 0)
    (folder.path / "docs.parquet").unlink()
    with pytest.raises(InputError, match="there is no"):
        reader.trace("train", 0)


def test_the_folder_can_move(folder: Folder, tmp_path: Path) -> None:
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert len(ShardReader(moved / "manifest.json")) == 14
    assert json.loads((moved / "manifest.json").read_text())["shards"][0]["path"][0] != "/"


def test_torch_is_not_imported(sound: Folder, tmp_path: Path, repository: Path) -> None:
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')")
    program = (
        "import sys\n"
        "from training.data.shards import ShardReader, check\n"
        f"path = {str(sound.manifest)!r}\n"
        "reader = ShardReader(path)\n"
        "next(reader.documents('train'))\n"
        "reader.tokens('train', 0, 10)\n"
        "assert 'pyarrow' not in sys.modules\n"
        "reader.trace('train', 0)\n"
        "assert check(path) == []\n"
        "assert 'torch' not in sys.modules\n"
    )
    path = os.pathsep.join([str(tmp_path), str(repository)])
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True)
