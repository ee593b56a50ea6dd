"""Files that list inputs: their forms, the place of every line, and mistakes in one line."""

from __future__ import annotations

import gzip
import http.server
import io
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.curate import make_request, start
from pipelines.demo import sample_path
from pipelines.engine import make_options
from pipelines.input_lists import LONGEST_LINE, read_list
from schemas.errors import CorpusmillError, InputError, UsageError

LINES = b"""\
# CC-MAIN-2024-22
crawl-data/a.warc.gz

  /disk/b.warc.gz\t
s3://bucket/*.warc.gz
crawl-data/a.warc.gz
https://e.example/d.warc.gz?key=1#2
"""
PATHS = {
    "crawl-data/a.warc.gz": 2,
    "/disk/b.warc.gz": 4,
    "s3://bucket/*.warc.gz": 5,
    "https://e.example/d.warc.gz?key=1#2": 7,
}
WEB = "https://data.commoncrawl.org/"


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        LINES.replace(b"\n", b"\r\n"),
        LINES.rstrip(b"\n"),
        b"\xef\xbb\xbf" + LINES,
        gzip.compress(LINES, mtime=0),
        gzip.compress(LINES[:40], mtime=0) + gzip.compress(LINES[40:], mtime=0),
    ],
)
def test_a_list_in_all_its_forms(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    found = read_list(str(path))
    assert list(found.items()) == [(name, f"{path} line {n}:") for name, n in PATHS.items()]


@pytest.mark.parametrize("prefix", [WEB, WEB.rstrip("/")])
def test_the_prefix_comes_before_relative_lines_alone(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "warc.paths.gz"
    path.write_bytes(gzip.compress(LINES, mtime=0))
    first, *others = read_list(str(path), prefix)
    assert first == f"{WEB}crawl-data/a.warc.gz"
    assert others == list(PATHS)[1:]


@pytest.mark.parametrize("content", [LINES, gzip.compress(LINES, mtime=0)])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    found = read_list("-")
    assert list(found) == list(PATHS)
    assert found["/disk/b.warc.gz"] == "standard input line 4:"


def test_a_name_that_is_not_utf_8_is_found(tmp_path: Path) -> None:
    name = b"caf\xe9.warc"
    (tmp_path / "list").write_bytes(name + b"\n")
    (path,) = read_list(str(tmp_path / "list"))
    assert path.encode("utf-8", "surrogateescape") == name


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (None, UsageError, "--inputs-from .*list: there is no such file"),
        (b"", UsageError, "--inputs-from .*list lists no inputs"),
        (b"# nothing\n\n", UsageError, "--inputs-from .*list lists no inputs"),
        (gzip.compress(LINES, mtime=0)[:-9], InputError, "^cannot read .*list: "),
        (gzip.compress(LINES, mtime=0)[:30] + b"junk" * 9, InputError, "^cannot read .*list: "),
        (b"a.warc\nPAR1\0\n", UsageError, "^.*list line 2: this is no path: .*--input takes data"),
        (b"a.warc\n" + b"x" * LONGEST_LINE + b"x\n", UsageError, "list line 2: this is no path"),
    ],
)
def test_what_is_no_list_is_one_line(
    tmp_path: Path, content: bytes | None, kind: type[CorpusmillError], said: str
) -> None:
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(kind, match=said) as error:
        read_list(str(tmp_path / "list"))
    assert len(str(error.value).splitlines()) == 1


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^cannot read .*: Is a directory$"):
        read_list(str(tmp_path))


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Whole files, and parts of them as a client of fsspec asks for them."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range")
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        low, _, high = wanted.removeprefix("bytes=").partition("-")
        first, last = int(low), min(int(high or len(data)), len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[str]:
    """URL of a server with crawl-data/{a,b}.warc.gz and the list of both."""
    root = tmp_path / "www"
    (root / "crawl-data").mkdir(parents=True)
    names = ["crawl-data/b.warc.gz", "crawl-data/a.warc.gz"]
    with sample_path() as sample:
        for name in names:
            (root / name).write_bytes(sample.read_bytes())
    lines = "".join(f"{name}\n" for name in names)
    (root / "warc.paths.gz").write_bytes(gzip.compress(lines.encode()))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_crawls_list_with_its_server_before_each_line(crawl: str, tmp_path: Path) -> None:
    options = make_options(None, [])
    request, note = make_request(
        [],
        str(tmp_path / "out"),
        "demo",
        options,
        inputs_from=f"{crawl}/warc.paths.gz",
        inputs_prefix=crawl,
    )
    assert note is None
    plan, _ = start(request)
    assert [file.path for file in plan.inputs] == [f"{crawl}/crawl-data/{n}.warc.gz" for n in "ab"]
    assert plan.tasks
    with pytest.raises(InputError, match="^cannot read .*nothing.gz: .* 404"):
        read_list(f"{crawl}/nothing.gz")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.warc").touch()
    (tmp_path / "sub").mkdir()
    return tmp_path


@pytest.mark.parametrize("command", [["curate"], ["phase", "extract"]])
@pytest.mark.parametrize(
    ("arguments", "lines", "code", "said"),
    [
        ([], "", 2, " or --inputs-from"),
        (["--inputs-prefix", "x/"], "", 2, "--inputs-from"),
        (["--input", "a.warc", "--inputs-prefix", "x/"], "", 2, "--inputs-prefix is for the lines"),
        (["--inputs-from", "none"], "", 2, "--inputs-from none: there is no such file"),
        (["--inputs-from", "list"], "# a\n", 2, "--inputs-from list lists no inputs"),
        (["--inputs-from", "list", "a.warc"], "a.warc\n", 2, "no such argument: a.warc"),
        (["--inputs-from", "list"], "a.warc\n\nb.warc\n", 2, "list line 3: b.warc matches no file"),
        (["--inputs-from", "list"], "b*.warc\n", 2, "list line 1: b*.warc matches no file"),
        (["--inputs-from", "list"], "a.warc\nsub\n", 1, "list line 2: sub is a folder"),
        (["--inputs-from", "list"], "ftp://x/a\n", 2, "list line 1: ftp://x/a: no such kind"),
        (
            ["--inputs-from", "list"],
            "a.warc\nhttp://127.0.0.1:1/x.warc\n",
            1,
            "list line 2: cannot read http://127.0.0.1:1/x.warc: Connection refused",
        ),
        (
            ["--inputs-from", "list", "--inputs-prefix", "http://127.0.0.1:1"],
            "x.warc\n",
            1,
            "list line 1: cannot read http://127.0.0.1:1/x.warc: Connection refused",
        ),
        (["--inputs-from", "list", "-i", "b.warc"], "b.warc\n", 2, "--input b.warc matches no"),
        (["--inputs-from", "list", "-i", "a.warc"], "b.warc\n", 2, "list line 1: b.warc matches"),
        (
            ["--inputs-from", "list", "--runner", "DataflowRunner"],
            "a.warc\n",
            2,
            "list line 1: a.warc is a path of this machine",
        ),
    ],
)
def test_mistakes_are_one_line_before_any_work(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    arguments: list[str],
    lines: str,
    code: int,
    said: str,
) -> None:
    (folder / "list").write_text(lines)
    assert run([*command, "--output", "out", *arguments]) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not (folder / "out").exists()


@pytest.mark.parametrize("flag", ["--inputs-from", "--inputs-prefix"])
def test_other_phases_take_no_list(
    folder: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert run(["phase", "dedup", "--output", "out", flag, "x"]) == 2
    assert f"{flag} is for phase extract" in capsys.readouterr().err


@pytest.mark.slow
def test_a_list_is_its_inputs(folder: Path) -> None:
    options = ["--recipe", "demo", "--quiet", "--set", "pii.kinds=[]"]
    with sample_path() as sample:
        (folder / "list").write_text(f"{sample.name}\n")
        prefix = ["--inputs-prefix", str(sample.parent)]
        both = ["--input", str(sample), "--inputs-from", "list"]
        assert run(["curate", *both, *prefix, "--output", "out", *options]) == 0
        before = (folder / "out" / "run.json").read_bytes()
        # The same inputs: nothing is left to do.
        assert run(["curate", "--input", str(sample), "--output", "out", *options]) == 0
    assert (folder / "out" / "run.json").read_bytes() == before
