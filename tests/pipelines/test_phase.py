"""Phases one by one leave what curate leaves; launches are repeated, stopped and out of order."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from pipelines import engine, summaries
from pipelines.cli.main import run
from pipelines.curate import curate, make_request
from pipelines.demo import sample_path
from pipelines.phase import NO_WORK, PhaseEnd, PhaseRequest, run_phase
from pipelines.phase_names import PHASES
from pipelines.phases import dedup
from pipelines.report import write_report
from pipelines.workspace import Workspace
from schemas.errors import UsageError
from tests.builders.outputs import sums

OPTIONS = engine.make_options(None, [])
SET = ["gate=null", "quality=[]", "pii.kinds=[]", "tokenizer.vocab_size=400"]
SET += ["language.keep={en: 0.1, de: 0.1, fr: 0.1, es: 0.1}", "shards.tokens_per_shard=5000"]
CONSOLE = Console(stderr=True)


@pytest.fixture(scope="module")
def sample() -> Iterator[Path]:
    with sample_path() as path:
        yield path


def launch(phase: str, output: Path, sample: Path | None = None, submit: bool = False) -> PhaseEnd:
    begin = None
    if sample is not None:
        begin, _ = make_request(
            [str(sample)], str(output), "demo", OPTIONS, overrides=SET, workers=2, segment_mb=0.05
        )
    request = PhaseRequest(phase, str(output), OPTIONS, 2, begin, submit=submit)
    return run_phase(request, CONSOLE, quiet=True)


@pytest.fixture(scope="module")
def reference(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("reference") / "out"
    request, _ = make_request(
        [str(sample)], str(output), "demo", OPTIONS, overrides=SET, workers=2, segment_mb=0.05
    )
    curate(request, CONSOLE, quiet=True)
    return output


@pytest.fixture(scope="module")
def extracted(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run after phase extract."""
    output = tmp_path_factory.mktemp("extracted") / "out"
    assert launch("extract", output, sample) == PhaseEnd("extract", True, None)
    return output


def at(extracted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(extracted, tmp_path / "out"))


@pytest.mark.slow
def test_one_by_one_is_curate(extracted: Path, reference: Path, tmp_path: Path) -> None:
    output = at(extracted, tmp_path)
    assert not (output / "run.json").exists()
    for phase in PHASES[1:]:
        assert launch(phase, output) == PhaseEnd(phase, True, None)
    assert sums(output) == sums(reference)
    again = (output / "run.json").read_bytes()
    for phase in PHASES[1:]:
        assert launch(phase, output).complete
    assert (output / "run.json").read_bytes() == again
    assert run(["verify", str(output)]) == 0


@pytest.mark.slow
def test_a_large_run_is_summarized_by_the_workers(
    extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "ROWS_AT_ONCE", 100)
    output = at(extracted, tmp_path)
    for phase in PHASES[1:-2]:
        launch(phase, output)
    with pytest.raises(UsageError, match=r"cannot begin: \d+ of \d+ parts .* launch summarize"):
        launch("report", output)
    assert launch("summarize", output).complete
    parts = list((output / ".work" / "facts").iterdir())
    assert len(parts) > 1
    parts[0].unlink()
    stamps = {path: path.stat().st_mtime_ns for path in parts[1:]}
    for phase in ("summarize", "report"):
        assert launch(phase, output).complete
    # Only the part that was lost was made again.
    assert {path: path.stat().st_mtime_ns for path in parts[1:]} == stamps
    merged = (output / "report.html").read_bytes()
    summaries.remove(Workspace(str(output)))
    write_report(Workspace(str(output)))
    assert (output / "report.html").read_bytes() == merged


@pytest.mark.slow
def test_work_done_again_takes_the_parts_away(
    extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "ROWS_AT_ONCE", 100)
    output = at(extracted, tmp_path)
    for phase in PHASES[1:]:
        launch(phase, output)
    done = output / ".work" / "facts.done.json"
    assert done.exists()
    next((output / "documents").iterdir()).unlink()
    launch("finish", output)
    assert not done.exists()
    assert not (output / ".work" / "facts").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "jobs"),
    [
        (5_000_000, ["dedup-clusters"]),
        (300, ["dedup-edges", "dedup-clusters"]),
        (2, ["dedup-edges", "dedup-stars-0", "dedup-stars-1", "dedup-clusters"]),
    ],
)
def test_a_launch_hands_over_one_graph(
    limit: int,
    jobs: list[str],
    extracted: Path,
    reference: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dedup, "EDGE_LIMIT", limit)
    monkeypatch.setattr(summaries, "ROWS_AT_ONCE", 100)
    output = at(extracted, tmp_path)
    handed = []
    done = output / ".work" / "dedup.done.json"
    while not done.exists():
        handed.append(launch("dedup", output, submit=True).submitted)
    assert handed == jobs
    for phase in PHASES[2:]:
        assert launch(phase, output, submit=True) == PhaseEnd(phase, False, phase)
    assert sums(output) == sums(reference)
    # Nobody waited for the jobs, and yet nothing is left that only they needed.
    assert not any((output / ".work" / name).exists() for name in ("lists", "sample"))
    for phase in PHASES[1:-1]:
        assert launch(phase, output, submit=True) == PhaseEnd(phase, True, NO_WORK)


@pytest.mark.slow
def test_a_killed_dedup_goes_on_with_the_round_it_was_in(
    extracted: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "EDGE_LIMIT", 2)
    output = at(extracted, tmp_path)
    work = output / ".work" / "dedup"
    assert launch("dedup", output, submit=True).submitted == "dedup-edges"
    (edges,) = work.glob("edges-*")
    # What a killed attempt leaves: files of some bundles, without a marker.
    partial = work / "stars-0-0123456789ab"
    shutil.copytree(edges, partial)
    assert launch("dedup", output, submit=True).submitted == "dedup-stars-0"
    assert launch("dedup", output, submit=True).submitted == "dedup-stars-1"
    # Files that are gone are made again, whatever the marker says.
    for path in [p for p in work.glob("stars-0-*") if p != partial]:
        shutil.rmtree(path)
    assert launch("dedup", output, submit=True).submitted == "dedup-stars-0"
    for phase in PHASES[1:]:
        launch(phase, output)
    assert sums(output) == sums(reference)


@pytest.mark.slow
def test_an_earlier_phase_must_be_complete(
    extracted: Path, reference: Path, tmp_path: Path
) -> None:
    output = at(extracted, tmp_path)
    markers = sorted((output / ".work" / "extract").glob("*.done.json"))
    markers[1].unlink()
    total = len(markers)
    for phase in ("dedup", "finish", "report"):
        with pytest.raises(UsageError) as refused:
            launch(phase, output)
        assert str(refused.value) == (
            f"phase {phase} cannot begin: 1 of {total} tasks of extract are not done; "
            "launch extract again"
        )
    shutil.copytree(reference, tmp_path / "whole")
    (tmp_path / "whole" / "shards" / "tokenizer.model").unlink()
    with pytest.raises(UsageError, match="pack cannot begin: the tokenizer is not there"):
        launch("pack", tmp_path / "whole")
    assert (tmp_path / "whole" / "run.json").exists()


def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--output", str(tmp_path / "out")]
    for arguments, line in (
        (["nonsense", *out], "no phase nonsense; the phases are extract, dedup, finish"),
        (["extract", *out], "phase extract needs --input"),
        (["dedup", *out], "holds no run: launch phase extract first"),
        (["dedup", *out, "--recipe", "demo"], "--recipe is for phase extract"),
        (["finish", *out, "--input", str(sample)], "--input is for phase extract"),
    ):
        assert run(["phase", *arguments]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_other_versions_of_libraries_are_noticed(
    extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = at(extracted, tmp_path)
    monkeypatch.setattr("pipelines.assets.versions", lambda: {"pyarrow": "1.0"})
    with pytest.raises(UsageError, match="was begun with other versions of the libraries"):
        launch("dedup", output)
