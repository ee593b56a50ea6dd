"""Files in a store: Beam's file systems behind the same functions as local paths."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import apache_beam.io.filesystems
import pyarrow as pa
import pytest
from apache_beam.io.filesystem import (
    BeamIOError,
    CompressionTypes,
    FileMetadata,
    FileSystem,
)

from pipelines import storage
from pipelines.cli.main import run
from pipelines.demo import sample_path
from pipelines.lookups import AT_ONCE
from pipelines.progress import PhaseWatch
from pipelines.verify import verify_run
from pipelines.workspace import Marker, Workspace, read_markers
from schemas.errors import InputError, OutputError, UsageError

OBJECTS: dict[str, bytes] = {}
REFUSED: set[str] = set()


class _Upload(io.BytesIO):
    """An object appears when its handle is closed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            OBJECTS[self._path] = self.getvalue()
        super().close()


class MemoryStore(FileSystem):  # type: ignore[misc]
    """As object stores are: flat names, no folders, rename by copying."""

    @classmethod
    def scheme(cls) -> str:
        return "mem"

    def has_dirs(self) -> bool:
        return False

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None: ...

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for path in sorted(OBJECTS):
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, len(OBJECTS[path]), 17.0)

    def create(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO
    ) -> BinaryIO:
        if path.rsplit("/", 1)[0] in REFUSED:
            raise BeamIOError("403 forbidden")
        return _Upload(path)

    def open(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO
    ) -> BinaryIO:
        assert compression_type == CompressionTypes.UNCOMPRESSED
        if path not in OBJECTS:
            raise BeamIOError(f"404 {path}")
        return io.BytesIO(OBJECTS[path])

    def copy(self, sources: list[str], destinations: list[str]) -> None:
        for source, destination in zip(sources, destinations, strict=True):
            OBJECTS[destination] = OBJECTS[source]

    def rename(self, sources: list[str], destinations: list[str]) -> None:
        self.copy(sources, destinations)
        self.delete(sources)

    def exists(self, path: str) -> bool:
        return path in OBJECTS

    def size(self, path: str) -> int:
        return len(OBJECTS[path])

    def last_updated(self, path: str) -> float:
        return 17.0

    def checksum(self, path: str) -> str:
        return ""

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, len(OBJECTS[path]), 17.0)

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            del OBJECTS[path]


@pytest.fixture(autouse=True)
def objects() -> Iterator[dict[str, bytes]]:
    apache_beam.io.filesystems.FileSystems.get_filesystem("/")  # loads Beam's own
    yield OBJECTS
    OBJECTS.clear()
    REFUSED.clear()


def test_bytes_are_written_whole_and_replaced(objects: dict[str, bytes]) -> None:
    storage.write_bytes("mem://b/out/run.json", b"old")
    storage.write_bytes("mem://b/out/run.json", b"new")
    assert objects == {"mem://b/out/run.json": b"new"}
    assert storage.read_bytes("mem://b/out/run.json") == b"new"
    assert storage.exists("mem://b/out/run.json")
    assert not storage.exists("mem://b/out")
    assert storage.size_of("mem://b/out/run.json") == 3
    assert storage.size_of("mem://b/out/nothing") is None


def test_an_error_leaves_the_old_object_and_no_rubbish(objects: dict[str, bytes]) -> None:
    storage.write_bytes("mem://b/file", b"old")
    with pytest.raises(RuntimeError), storage.new_file("mem://b/file") as handle:
        handle.write(b"half")
        raise RuntimeError
    assert objects == {"mem://b/file": b"old"}


def test_a_store_that_refuses_is_one_line() -> None:
    REFUSED.add("mem://b")
    with pytest.raises(OutputError, match="^cannot write mem://b/file: 403 forbidden"):
        storage.write_bytes("mem://b/file", b"x")


def test_only_files_directly_in_a_folder_are_listed() -> None:
    for name in ("d/b.parquet", "d/a.parquet", "d/c.json", "d/sub/e.parquet", "dd/f.parquet"):
        storage.write_bytes(f"mem://b/{name}", b"x")
    found = storage.list_files("mem://b/d", ".parquet")
    assert found == ["mem://b/d/a.parquet", "mem://b/d/b.parquet"]
    assert storage.list_files("mem://b/none", ".parquet") == []


def test_a_folder_is_removed_with_all_below_it_and_nothing_else(objects: dict[str, bytes]) -> None:
    for name in ("d/a", "d/sub/b", "d/sub/deep/c.d", "d2/e", "d.json"):
        storage.write_bytes(f"mem://b/{name}", b"x")
    storage.remove_folder("mem://b/d")
    assert sorted(objects) == ["mem://b/d.json", "mem://b/d2/e"]
    storage.remove_folder("mem://b/d")
    storage.remove("mem://b/d.json")
    storage.remove("mem://b/d.json")
    assert sorted(objects) == ["mem://b/d2/e"]


@pytest.mark.parametrize("remote", [False, True])
def test_named_files_of_a_removed_folder_are_kept(remote: bool, tmp_path: Any) -> None:
    root = "mem://b" if remote else str(tmp_path)
    for name in ("plan.json", "other", "sub/plan.json", "lock"):
        storage.write_bytes(f"{root}/d/{name}", b"x")
    storage.remove_folder(f"{root}/d", keep=("plan.json", "lock"))
    left = [name for name in ("plan.json", "lock") if storage.exists(f"{root}/d/{name}")]
    assert left == ["plan.json", "lock"]
    assert not any(storage.exists(f"{root}/d/{name}") for name in ("other", "sub/plan.json"))


def test_local_folders_are_removed_the_same_way(tmp_path: Any) -> None:
    storage.write_bytes(f"{tmp_path}/d/sub/a", b"x")
    storage.write_bytes(f"{tmp_path}/d2/a", b"x")
    storage.remove_folder(f"{tmp_path}/d")
    storage.remove_folder(f"{tmp_path}/d")
    assert [path.name for path in tmp_path.iterdir()] == ["d2"]


def test_tables_come_back_as_they_were() -> None:
    table = pa.table({"id": ["a", "b"], "n": [1, 2]})
    storage.write_table("mem://b/t.parquet", table)
    assert storage.read_table("mem://b/t.parquet").equals(table)
    assert storage.read_table("mem://b/t.parquet", ["n"]).column_names == ["n"]
    storage.write_bytes("mem://b/junk.parquet", b"junk")
    for name in ("junk", "none"):
        with pytest.raises(InputError, match=f"^cannot read mem://b/{name}.parquet: "):
            storage.read_table(f"mem://b/{name}.parquet")


def test_inputs_are_matched_with_size_and_stamp() -> None:
    for name in ("x.warc.gz", "y.warc.gz", "y.txt"):
        storage.write_bytes(f"mem://b/crawl/{name}", b"abc")
    found = storage.match_inputs(["mem://b/crawl/*.warc.gz", "mem://b/crawl/x.warc.gz"])
    assert [file.path for file in found] == [f"mem://b/crawl/{n}.warc.gz" for n in "xy"]
    assert {(file.size, file.stamp) for file in found} == {(3, "17.0")}
    with pytest.raises(UsageError, match="matches no file"):
        storage.match_inputs(["mem://b/crawl/*.jsonl"])


def test_markers_work_in_a_store() -> None:
    workspace = Workspace("mem://b/out")
    marker = Marker(workspace.work("extract", "t.done.json"))
    assert marker.read("key") is None
    storage.write_bytes(workspace.work("extract", "t.documents.parquet"), b"x")
    marker.write("key", {"n": 1}, [workspace.work("extract", "t.documents.parquet")])
    assert marker.read("key") == {"n": 1}
    assert marker.read("other") is None
    assert read_markers(workspace.work("extract"), {"t": "key"}) == {"t": {"n": 1}}


def test_new_markers_of_a_store_are_read_together_and_each_of_them_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace = Workspace("mem://b/out")
    names = [f"{number:03d}" for number in range(3 * AT_ONCE)]
    watch = PhaseWatch(workspace, "extract", dict.fromkeys(names, "k"))
    assert watch.snapshot().done == 0
    together = threading.Barrier(AT_ONCE, timeout=60)
    opened = []
    read = storage.read_bytes

    def read_bytes(path: str) -> bytes:
        opened.append(path)
        together.wait()
        return read(path)

    for done in (names[:AT_ONCE], names[AT_ONCE:]):
        for name in done:
            marker = Marker(workspace.work("extract", f"{name}.done.json"))
            marker.write("k", {"counts": {"in": 3, "kept": 1}}, [])
        with monkeypatch.context() as patch:
            patch.setattr(storage, "read_bytes", read_bytes)
            snapshot = watch.snapshot()
    assert (snapshot.done, snapshot.share) == (len(names), 1.0)
    assert snapshot.counts == {"in": 3 * len(names), "kept": len(names)}
    assert len(opened) == len(set(opened)) == len(names)


@pytest.mark.parametrize("use", [storage.exists, storage.read_bytes, storage.remove_folder])
def test_a_missing_extra_is_named(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(path: str) -> None:
        raise ValueError("Unable to get filesystem")

    systems = apache_beam.io.filesystems.FileSystems
    monkeypatch.setattr(systems, "get_filesystem", staticmethod(without))
    with pytest.raises(UsageError, match=r"^gs://b/x.*: gs:// needs .* 'corpusmill\[gcp\]'$"):
        use("gs://b/x")


def test_an_unknown_kind_of_store_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^ftp://b/x: no such kind of store; known are gs://"):
        storage.match_inputs(["ftp://b/x"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("stores") / "out"
    with sample_path() as sample:
        arguments = ["curate", "--input", str(sample), "--output", str(output), "--recipe", "demo"]
        assert run([*arguments, "--quiet"]) == 0
    return output


def problems_in_store(finished: Path, changes: dict[str, bytes | None]) -> str:
    """What verify finds in a copy of a run in a store, some of whose objects were changed."""
    for path in finished.rglob("*"):
        if path.is_file():
            OBJECTS[f"mem://b/out/{path.relative_to(finished)}"] = path.read_bytes()
    for name, content in changes.items():
        assert OBJECTS.pop(f"mem://b/out/{name}") != content
        if content is not None:
            OBJECTS[f"mem://b/out/{name}"] = content
    checks = verify_run(Workspace("mem://b/out"), check_shards=lambda _: ["not for a store"])
    return "\n".join(check.problem for check in checks if check.problem)


@pytest.mark.slow
def test_a_run_in_a_store_is_verified_there(finished: Path) -> None:
    assert problems_in_store(finished, {}) == ""
    shard = "shards/train/shard-00000"
    tokens = (finished / f"{shard}.bin").read_bytes()
    for changes, complaint in [
        ({f"{shard}.bin": tokens[:-1] + b"\x01"}, "shard-00000.bin: sha256 is"),
        ({f"{shard}.idx": None}, "shard-00000.idx: cannot read"),
        ({"shards/manifest.json": b"{}"}, "is not a shard manifest"),
        ({"shards/docs.parquet": None}, "docs.parquet"),
    ]:
        found = problems_in_store(finished, changes)
        assert complaint in found
        assert all(len(line) < 400 for line in found.splitlines())
    manifest = json.loads((finished / "shards/manifest.json").read_text())
    manifest["shards"][0]["docs"] += 1
    altered = json.dumps(manifest).encode()
    assert "its entries give" in problems_in_store(finished, {"shards/manifest.json": altered})
