"""The shard reader: access, verification, trace."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.errors import InputError, UsageError
from tests.builders.shard_folder import ShardFolder
from training.data.shards import ShardReader, check


@pytest.fixture
def folder(tmp_path: Path) -> ShardFolder:
    return ShardFolder(tmp_path)


@pytest.fixture(scope="module", params=["uint16", "uint32"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ShardFolder:
    return ShardFolder(tmp_path_factory.mktemp("sound"), request.param)


@pytest.mark.parametrize("verify", [False, True, "full"])
def test_everything_is_there_in_order(sound: ShardFolder, verify: Any) -> None:
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
def test_any_window_of_the_joined_stream(sound: ShardFolder, data: st.DataObject) -> None:
    reader = ShardReader(sound.manifest, verify=False)
    stream = np.concatenate(sound.expected["train"])
    start = data.draw(st.integers(0, len(stream)))
    length = data.draw(st.integers(0, len(stream) - start))
    assert reader.tokens("train", start, length).tolist() == stream[start : start + length].tolist()


def test_every_token_belongs_to_its_document(sound: ShardFolder) -> None:
    reader = ShardReader(sound.manifest, verify=False)
    found = [reader.document_at("train", i) for i in range(reader.total_tokens("train"))]
    assert found == [
        (document, place)
        for document, tokens in enumerate(sound.expected["train"])
        for place in range(len(tokens))
    ]


def test_outside_is_an_error(sound: ShardFolder) -> None:
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


def test_documents_can_be_traced(sound: ShardFolder) -> None:
    reader = ShardReader(sound.manifest, verify=False)
    origin = reader.trace("train", 6)
    assert (origin.id, origin.url) == ("train-2-2", "https://example.org/2")
    assert (origin.warc_file, origin.warc_offset) == ("a.warc.gz", 2000)
    assert origin.tokens == len(reader.document("train", 6))
    assert reader.shard_of("train", 6) == (2, "train/shard-00002", 2)
    many = reader.trace_all("train", [10, 0, 6, 0])
    assert [origin.id for origin in many] == ["train-2-6", "train-0-0", "train-2-2", "train-0-0"]
    assert reader.trace("validation", 0).split == "validation"


def test_shard_numbers_may_have_gaps(folder: ShardFolder) -> None:
    """A range of hashed keys may hold no document: that shard is not written."""
    folder.entries = [entry for entry in folder.entries if entry.docs]
    for end in ("bin", "idx"):
        (folder.path / f"train/shard-00001.{end}").unlink()
    folder.write_manifest()
    assert check(folder.manifest) == []
    reader = ShardReader(folder.manifest)
    assert reader.trace("train", 4).id == "train-2-0"


def test_a_run_that_kept_nothing(folder: ShardFolder) -> None:
    for entry in folder.entries:
        for end in ("bin", "idx"):
            (folder.path / f"{entry.path}.{end}").unlink()
    folder.entries = []
    folder.write_docs([])
    folder.write_manifest()
    assert check(folder.manifest) == []
    reader = ShardReader(folder.manifest, verify="full")
    assert (len(reader), reader.total_tokens(), reader.splits) == (0, 0, ())


def test_arrays_cannot_be_written_to(sound: ShardFolder) -> None:
    tokens = ShardReader(sound.manifest, verify=False).document("train", 0)
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_a_pickled_reader_maps_anew(sound: ShardFolder) -> None:
    reader = ShardReader(sound.manifest)
    list(reader.documents("train"))
    data = pickle.dumps(reader)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).document("train", 3), reader.document("train", 3))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"[]"])
def test_no_manifest_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="manifest") as caught:
        ShardReader(path)
    assert "\n" not in str(caught.value)
    assert check(path) == [str(caught.value)]


def test_trace_says_what_is_missing(folder: ShardFolder) -> None:
    reader = ShardReader(folder.manifest)
    folder.change_rows(lambda rows: rows.pop(0))
    with pytest.raises(InputError, match=r"no row for split train, shard 0, document 0"):
        reader.trace("train", 0)
    (folder.path / "docs.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="unreadable"):
        reader.trace("train", 0)
    (folder.path / "docs.parquet").unlink()
    with pytest.raises(InputError, match="there is no"):
        reader.trace("train", 0)


def test_the_folder_can_move(folder: ShardFolder, tmp_path: Path) -> None:
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert len(ShardReader(moved / "manifest.json")) == 14
    assert json.loads((moved / "manifest.json").read_text())["shards"][0]["path"][0] != "/"


def test_torch_is_not_imported(sound: ShardFolder, tmp_path: Path, repository: Path) -> None:
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
