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
from pipelines.lookups import AT_ONCE
from pipelines.plan import Plan, make_plan
from pipelines.recipes import load
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
    together: threading.Barrier | None = None
    """Requests for sizes are answered when so many of them are under way."""

    def do_HEAD(self) -> None:
        if self.together is not None:
            self.together.wait()
        self._reply(b"")

    def do_GET(self) -> None:
        self._reply(self.content)

    def _reply(self, body: bytes) -> None:
        if self.path.split("?")[0] not in ("/file.warc.gz", "/whole.warc.gz"):
            self.send_error(404)
            return
        wanted = self.headers.get("Range") if "file" in self.path else None
        first, last = 0, len(self.content) - 1
        if wanted and body:
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            first, last = int(low), min(int(high or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.content)}")
        else:
            self.send_response(200)
        if "file" in self.path:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(body[first : last + 1])

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 2 * AT_ONCE


@pytest.fixture
def server() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), RangeHandler)
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
    with pytest.raises(InputError, match=r"cannot read http://[^ ]*gz: the server answers 404"):
        storage.match_inputs([f"{server}/nothing.warc.gz?key=secret"])


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match=r"cannot read http://[^ ]*gz: Connection refused"):
        storage.match_inputs(["http://127.0.0.1:1/x.warc.gz"])


def test_a_server_that_sends_files_whole_is_refused_before_work(server: str) -> None:
    with pytest.raises(InputError, match="cannot be read by ranges; download it"):
        storage.match_inputs([f"{server}/whole.warc.gz"])


def test_sizes_of_many_urls_are_asked_for_together(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RangeHandler, "together", threading.Barrier(AT_ONCE, timeout=60))
    monkeypatch.setattr(storage, "check_ranges", lambda url, size: None)
    urls = [f"{server}/file.warc.gz?n={number:03d}" for number in range(2 * AT_ONCE)]
    found = storage.match_inputs([*reversed(urls), *urls])
    assert [file.path for file in found] == urls
    assert {file.size for file in found} == {len(RangeHandler.content)}


def test_of_many_urls_the_first_that_fails_is_reported(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(b"x")
    urls = [f"{server}/{name}.warc.gz" for name in ("file", "b", "a", "nothing")]
    for _ in range(3):
        with pytest.raises(InputError, match="cannot read .*/b.warc.gz: the server answers 404"):
            storage.match_inputs([str(tmp_path / "a.warc"), *urls])
        with pytest.raises(UsageError, match=r"--input .*/none.warc matches no file"):
            storage.match_inputs([urls[0], str(tmp_path / "none.warc"), *urls[1:]])


def test_keys_of_signed_urls_stay_out_of_labels(server: str) -> None:
    (file,) = storage.match_inputs([f"{server}/file.warc.gz?key=secret"])
    assert file.label == "file.warc.gz"
    assert file.path.endswith("key=secret")


def test_a_signed_url_is_the_same_file_when_signed_anew_and_its_key_is_not_written(
    server: str,
) -> None:
    plans = []
    for signature in ("first", "second"):
        url = f"{server}/file.warc.gz?Expires=9&Signature={signature}"
        plans.append(make_plan(load("demo"), storage.match_inputs([url])))
    assert plans[0].task_keys() == plans[1].task_keys()
    assert plans[0].tasks[0].path.endswith("first")
    written = plans[0].to_json()
    assert b"Signature" not in written
    assert Plan.from_json(written).task_keys() == plans[1].task_keys()


def test_spellings_and_links_of_a_file_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.warc").write_bytes(b"x")
    (tmp_path / "b.warc").symlink_to("a.warc")
    (file,) = storage.match_inputs(["./a.warc", "a.warc", str(tmp_path / "a.warc"), "*.warc"])
    assert (file.path, file.label) == ("./a.warc", "a.warc")
    assert file.identity == str((tmp_path / "a.warc").resolve())


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.warc")
    with pytest.raises(InputError, match="is a pipe or device.*write it to a file"):
        storage.match_inputs([str(tmp_path / "p.warc")])


def test_a_name_with_glob_characters_is_found(tmp_path: Path) -> None:
    (tmp_path / "a[1].warc").write_bytes(b"x")
    (file,) = storage.match_inputs([str(tmp_path / "a[1].warc")])
    assert file.label == "a[1].warc"
