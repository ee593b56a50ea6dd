"""Bad input: one clear line, a fitting exit code, and nothing left half done."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipelines.cli.main import run


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_no_match(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["curate", "--input", f"{tmp_path}/*.warc.gz", "--output", str(tmp_path / "out")]
    assert run(arguments) == 2
    assert "matches no file" in one_error(capsys)
    assert not (tmp_path / "out").exists()


def test_unknown_recipe_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["curate", "--input", "x", "--output", "y", "--recipe", "finweb"]) == 2
    line = one_error(capsys)
    assert "finweb" in line
    assert "fineweb" in line


@pytest.mark.parametrize("change", ["pii.kindz=[email]", "nothing=1", "dedup.minhash.band=2"])
def test_unknown_key_is_named(change: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["curate", "--input", "x", "--output", "y", "--set", change]) == 2
    assert change.split("=")[0].rsplit(".", 1)[-1] in one_error(capsys)


def test_a_mistyped_option_is_not_taken_for_beams(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["curate", "--input", "x", "--output", "y", "--workerz", "2"]) == 2
    assert "--workerz" in one_error(capsys)


def test_an_unknown_runner_claims_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "a.jsonl"
    page.write_text('{"text": "x"}\n')
    arguments = ["curate", "--input", str(page), "--output", str(tmp_path / "out")]
    assert run([*arguments, "--runner", "Foo"]) == 2
    assert "--runner Foo is no Beam runner" in one_error(capsys)
    assert not (tmp_path / "out").exists()


def test_low_recall_bands_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "a.jsonl"
    page.write_text('{"text": "x"}\n')
    arguments = ["curate", "--input", str(page), "--output", str(tmp_path / "out")]
    assert run([*arguments, "--set", "dedup.minhash.rows=20"]) == 2
    line = one_error(capsys)
    assert "0.8" in line
    assert "allow_low_recall" in line


def test_unknown_language_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "a.jsonl"
    page.write_text('{"text": "x"}\n')
    arguments = ["curate", "--input", str(page), "--output", str(tmp_path / "out")]
    assert run([*arguments, "--set", "language.keep={english: 0.5}"]) == 2
    assert "english" in one_error(capsys)


@pytest.mark.slow
def test_files_that_are_no_warc_end_as_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.warc.gz").write_bytes(gzip.compress(b"<html>503 Slow Down</html>"))
    (tmp_path / "empty.warc.gz").write_bytes(b"")
    output = tmp_path / "out"
    arguments = ["curate", "--input", f"{tmp_path}/*.warc.gz", "--output", str(output), "--quiet"]
    assert run(arguments) == 1
    assert "no document was kept" in one_error(capsys)
    record = json.loads((output / "run.json").read_text())
    assert record["errors"]["read.not_a_warc"] == 1
    assert (output / "report.html").stat().st_size > 0
    assert run(["verify", str(output)]) == 0


def test_verify_and_inspect_outside_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(tmp_path)]) == 1
    assert "no finished run" in one_error(capsys)
    assert run(["inspect", str(tmp_path), "--url", "https://example.org"]) == 1
    assert "no finished run" in one_error(capsys)
    assert run(["inspect", str(tmp_path)]) == 2
