"""Markers: what they vouch for, and how often they are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import storage
from pipelines.workspace import DONE_SUFFIX, Marker, Workspace, read_markers


def finished(workspace: Workspace, name: str, key: str) -> Path:
    path = Path(workspace.path("documents", f"{name}.parquet"))
    storage.write_bytes(str(path), name.encode())
    marker = Marker(workspace.work("extract", name + DONE_SUFFIX))
    marker.write(key, {"name": name}, [str(path)])
    return path


def test_markers_count_for_their_key_and_their_files(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    paths = {name: finished(workspace, name, f"key of {name}") for name in "abcd"}
    keys = {name: f"key of {name}" for name in "abcd"}
    folder = workspace.work("extract")
    assert read_markers(folder, keys) == {name: {"name": name} for name in "abcd"}
    paths["b"].write_bytes(b"longer")
    paths["c"].unlink()
    assert set(read_markers(folder, {**keys, "d": "another key"})) == {"a"}
    assert set(read_markers(folder, {"d": "key of d"})) == {"d"}
    assert read_markers(workspace.work("nothing"), keys) == {}


def test_each_marker_is_opened_once_and_each_folder_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(str(tmp_path))
    names = [f"{number:02d}" for number in range(20)]
    for name in names:
        finished(workspace, name, f"key of {name}")
    opened, listed = [], []
    read, sizes = storage.read_bytes, storage.sizes_in

    def read_bytes(path: str) -> bytes:
        opened.append(path)
        return read(path)

    def sizes_in(folder: str) -> dict[str, int]:
        listed.append(folder)
        return sizes(folder)

    monkeypatch.setattr(storage, "read_bytes", read_bytes)
    monkeypatch.setattr(storage, "sizes_in", sizes_in)
    found = read_markers(workspace.work("extract"), {name: f"key of {name}" for name in names})
    assert len(found) == len(names)
    assert sorted(opened) == sorted(set(opened))
    assert len(opened) == len(names)
    assert listed == [workspace.path("documents")]
