"""What the shell and the user leave on the command line: inputs, Beam's options, or mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines import curate as driver
from pipelines.cli.main import run
from pipelines.curate import CurateRequest
from schemas.errors import CorpusmillError


class Reached(CorpusmillError):
    """The command line was understood."""


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[CurateRequest]:
    """Requests that curate would carry out; a.warc, b.warc and c.warc lie in the folder."""
    seen: list[CurateRequest] = []

    def record(request: CurateRequest, *rest: Any, **options: Any) -> None:
        seen.append(request)
        raise Reached("reached")

    monkeypatch.setattr(driver, "curate", record)
    monkeypatch.chdir(tmp_path)
    for name in ("a.warc", "b.warc", "c.warc"):
        (tmp_path / name).touch()
    return seen


OUTPUT = ["--output", "out"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--input", "a.warc", "b.warc", "c.warc", *OUTPUT],
        ["--input", "a.warc", "b.warc", *OUTPUT, "--input", "c.warc"],
        ["--input", "a.warc", *OUTPUT, "b.warc", "c.warc", "--workers", "1"],
        ["--input", "a.warc", "b.warc", "c.warc", *OUTPUT, "--runner", "FnApiRunner"],
        ["--runner", "DirectRunner", "--input", "a.warc", "b.warc", "c.warc", *OUTPUT],
    ],
)
def test_an_unquoted_glob_is_all_its_files(
    requests: list[CurateRequest], arguments: list[str]
) -> None:
    assert run(["curate", *arguments]) == 1
    (request,) = requests
    assert sorted(request.inputs) == ["a.warc", "b.warc", "c.warc"]


@pytest.mark.parametrize(
    "options",
    [
        ["--project", "a.warc", "--region=r"],
        ["--region", "r", "--project=a.warc"],
    ],
)
def test_values_of_beams_options_are_no_inputs(
    requests: list[CurateRequest], options: list[str]
) -> None:
    inputs = ["--input", "a.warc", "b.warc"]
    assert run(["curate", *inputs, *OUTPUT, "--runner", "FnApiRunner", *options]) == 1
    (request,) = requests
    assert request.inputs == ["a.warc", "b.warc"]
    assert request.options is not None
    known = request.options.get_all_options()
    assert (known["project"], known["region"]) == ("a.warc", "r")


def test_words_between_beams_options_are_told_apart(requests: list[CurateRequest]) -> None:
    arguments = ["--project", "b.warc", "b.warc", "--region", "r", "c.warc", "--streaming"]
    assert run(["curate", "-i", "a.warc", *OUTPUT, "--runner", "FnApiRunner", *arguments]) == 1
    (request,) = requests
    assert request.inputs == ["a.warc", "b.warc", "c.warc"]
    assert request.options is not None
    assert request.options.get_all_options()["project"] == "b.warc"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workerz", "2"], "no such option: --workerz; did you mean --workers?"),
        (["--limt=3"], "no such option: --limt; did you mean --limit?"),
        (["--project", "p"], "need --runner"),
        (["-x"], "no such option: -x"),
        (["--runner", "FnApiRunner", "--workerz", "2"], "did you mean --workers?"),
        (["--runner", "FnApiRunner", "--projct", "p"], "did you mean --project?"),
        (["--runner", "FnApiRunner", "--odd=1"], "no such option: --odd"),
        (["--runner", "FlinkRunner", "--parallelizm=4"], "did you mean --parallelism?"),
        (["--runner", "FnApiRunner", "lost.warc"], "quote globs"),
        (["--runner", "FnApiRunner", "--num_workers", "many"], "num_workers"),
    ],
)
def test_mistakes_are_named_in_one_line(
    requests: list[CurateRequest],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert run(["curate", "--input", "a.warc", *OUTPUT, *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not requests


def test_a_job_server_may_know_more_options(requests: list[CurateRequest]) -> None:
    arguments = ["--runner", "PortableRunner", "--checkpointing_interval=1000"]
    assert run(["curate", "--input", "a.warc", *OUTPUT, *arguments]) == 1
    (request,) = requests
    assert request.options is not None
    known = request.options.get_all_options(retain_unknown_options=True)
    assert known["checkpointing_interval"] == "1000"


@pytest.mark.parametrize("word", ["more", "a.warc"])
@pytest.mark.parametrize("runner", [[], ["--runner", "FnApiRunner"]])
def test_decide_takes_no_inputs(
    requests: list[CurateRequest], capsys: pytest.CaptureFixture[str], word: str, runner: list[str]
) -> None:
    assert run(["decide", "annotated", *OUTPUT, word, *runner]) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("flag", [[], ["--annotate"]])
@pytest.mark.slow
def test_json_is_printed_when_nothing_was_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    import json

    (tmp_path / "a.jsonl").write_text('{"txt": "x", "url": "\\ud800"}\n')
    arguments = ["--input", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "out"), *flag]
    assert run(["curate", *arguments, "--quiet", "--json", "--workers", "1"]) == 1
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert record["errors"] == {"read.no_text": 1}
    assert "no document was kept" in shown.err
