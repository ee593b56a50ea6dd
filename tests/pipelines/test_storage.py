"""Inputs are found or refused in one line; outputs are whole or absent."""

from __future__ import annotations

import errno
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import storage
from schemas.errors import InputError, OutputError, UsageError


def test_globs_are_sorted_and_each_file_counts_once(tmp_path: Path) -> None:
    for name in ("b.warc", "a.warc", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "d.warc").mkdir()
    found = storage.match_inputs([f"{tmp_path}/*.warc", f"{tmp_path}/a.warc"])
    assert [Path(f.path).name for f in found] == ["a.warc", "b.warc"]
    assert all(f.size == 1 for f in found)


@pytest.mark.parametrize("pattern", ["nothing-*.warc.gz", "nothing.warc.gz"])
def test_no_match_names_the_pattern(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="nothing.*matches no file"):
        storage.match_inputs([str(tmp_path / pattern)])


def test_a_folder_as_input_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        storage.match_inputs([str(tmp_path)])


def test_dangling_link_is_an_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "gone.warc").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot read"):
        storage.match_inputs([str(tmp_path / "gone.warc")])


def test_an_error_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "file"
    storage.write_bytes(str(path), b"old")
    with pytest.raises(RuntimeError), storage.new_file(str(path)) as handle:
        handle.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"no space left while writing .*run the same command"):
        storage.write_bytes(str(tmp_path / "file"), b"data")
    assert os.listdir(tmp_path) == []


class RangeHandler(http.server.BaseHTTPRequestHandler):
    content = bytes(range(256)) * 64

    def do_HEAD(self) -> None:
        self._reply(b"")

    def do_GET(self) -> None:
        self._reply(self.content)

    def _reply(self, body: bytes) -> None:
        if self.path != "/file.warc.gz":
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        first, last = 0, len(self.content) - 1
        if wanted and body:
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            first, last = int(low), min(int(high or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.content)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(body[first : last + 1])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RangeHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_http_inputs_are_read_by_ranges(server: str) -> None:
    (file,) = storage.match_inputs([f"{server}/file.warc.gz"])
    assert file.size == len(RangeHandler.content)
    with storage.open_input(file.path) as handle:
        handle.seek(1000)
        assert handle.read(8) == RangeHandler.content[1000:1008]


def test_http_404_is_one_line(server: str) -> None:
    with pytest.raises(InputError, match="cannot read http://"):
        storage.match_inputs([f"{server}/nothing.warc.gz"])
