"""curate --annotate and decide on the embedded sample: the same bytes as curate in one go."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.demo import sample_path
from schemas.run import RunRecordV1
from stages.signals import SIGNALS
from tests.builders.outputs import FOLDERS, sums

pytestmark = pytest.mark.slow

SMALL = ["--set", "tokenizer.vocab_size=2000"]
AS_DEMO = ["--set", "extract.favor=balanced", "--set", "extract.deduplicate=false", *SMALL]
C4 = ["extract.name=trafilatura", "extract.favor=balanced", "extract.include_comments=false"]
RECIPES = {
    "demo": ["--recipe", "demo"],
    "fineweb": ["--recipe", "fineweb", *AS_DEMO],
    "gopher": ["--recipe", "gopher", *SMALL],
    "c4": ["--recipe", "c4", *SMALL, *(part for key in C4 for part in ("--set", key))],
    "strict": ["--recipe", "demo", "--set", "language.threshold=0.97", "--set", "pii.kinds=[ip]"],
}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from pipelines.cli import main; main()", *map(str, arguments)]


def corpusmill(*arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600)
    assert done.returncode == expect, done.stderr
    return done


def curate_arguments(output: Path, recipe: str, *more: str) -> list[str | Path]:
    with sample_path() as sample:
        source = str(sample)
    return [
        *("curate", "--input", source, "--output", output, *RECIPES[recipe]),
        *("--quiet", "--segment-mb", "0.05", *more),
    ]


def curate(output: Path, recipe: str, *more: str) -> Path:
    corpusmill(*curate_arguments(output, recipe, *more))
    return output


def decide(source: Path, output: Path, recipe: str, *more: str) -> Path:
    corpusmill("decide", source, "--output", output, *RECIPES[recipe], "--quiet", *more)
    return output


def record_of(output: Path) -> RunRecordV1:
    return RunRecordV1.from_bytes((output / "run.json").read_bytes(), output)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def annotated(runs: Path) -> Path:
    """Annotated with a recipe that edits, gates and keeps one language."""
    return curate(runs / "annotated", "c4", "--annotate")


@pytest.mark.parametrize("recipe", RECIPES)
def test_decide_leaves_what_curate_leaves(annotated: Path, runs: Path, recipe: str) -> None:
    at_once = curate(runs / f"{recipe}-at-once", recipe)
    later = decide(annotated, runs / f"{recipe}-later", recipe)
    assert sums(later, *FOLDERS) == sums(at_once, *FOLDERS)
    left, right = record_of(at_once), record_of(later)
    for same in ("inputs", "recipe_hash", "funnel", "rules", "errors", "records", "notes", "pii"):
        assert getattr(left, same) == getattr(right, same), same
    assert left.fingerprint == right.fingerprint is not None
    assert right.decided_from == str(annotated)
    corpusmill("verify", later)
    corpusmill("inspect", later, "--id", first_id(later))


def first_id(output: Path) -> str:
    ids = pq.read_table(output / "documents", columns=["id"]).column("id")
    return str(ids[0].as_py())


def test_the_inputs_are_not_read_again(runs: Path, tmp_path: Path) -> None:
    arguments = curate_arguments(tmp_path / "annotated", "demo", "--annotate")
    moved = tmp_path / "sample.warc.gz"
    shutil.copyfile(str(arguments[2]), moved)
    arguments[2] = moved
    corpusmill(*arguments)
    moved.unlink()
    decide(tmp_path / "annotated", tmp_path / "later", "demo")


def test_an_annotated_run_keeps_every_page_with_text(annotated: Path) -> None:
    record = record_of(annotated)
    record.check()
    assert record.annotated
    assert [phase.name for phase in record.phases] == ["extract", "finish"]
    assert record.shards == []
    assert not (annotated / "shards").exists()
    assert set(record.rules) <= {"page.mime", "page.status", "page.empty", "page.revisit"} | {
        "page.too_large",
        "extract.empty",
    }
    documents = pq.read_table(annotated / "documents").to_pylist()
    assert len(documents) == record.phases[-1].kept
    assert all({name for name, _ in row["signals"]} == set(SIGNALS) for row in documents)
    assert len({row["language"] for row in documents}) > 5
    for name in ("report.html", "DATA_CARD.md"):
        assert "An annotated run: every page with text is kept" in (annotated / name).read_text()
    corpusmill("verify", annotated)


def test_verdicts_are_those_of_the_recipe(annotated: Path, runs: Path) -> None:
    plain = runs / "c4-at-once"
    if not plain.exists():
        curate(plain, "c4")
    decided = {
        (row["warc_offset"], row["id"]): (row["stage"], row["rule"], row["value"], row["threshold"])
        for row in pq.read_table(plain / "rejected").to_pylist()
    }
    verdicts = pq.read_table(annotated / "verdicts").to_pylist()
    for row in verdicts:
        if row["rule"] is not None:
            key = (row["warc_offset"], row["id"])
            assert decided[key] == (row["stage"], row["rule"], row["value"], row["threshold"])
    kept = sum(row["rule"] is None for row in verdicts)
    assert kept == record_of(plain).phases[0].kept
    turned_down = next(row for row in verdicts if row["rule"] is not None)
    shown = corpusmill("inspect", annotated, "--id", turned_down["id"], "--json")
    assert turned_down["rule"] in {row["rule"] for row in json.loads(shown.stdout)["verdicts"]}


def test_personal_data_stays_in_the_work_folder(annotated: Path) -> None:
    record = record_of(annotated)
    assert record.pii["email"] > 0
    texts = pq.read_table(annotated / "documents", columns=["text"]).column("text").to_pylist()
    raw = pq.read_table(annotated / ".work" / "annotated", columns=["text"]).column("text")
    changed = set(raw.to_pylist()) - set(texts) - {""}
    assert changed
    assert not changed & set(texts)


def test_workers_do_not_matter(annotated: Path, tmp_path: Path) -> None:
    one = curate(tmp_path / "one", "c4", "--annotate", "--workers", "1")
    folders = ("documents", "rejected", "verdicts", ".work/annotated")
    assert sums(one, *folders) == sums(annotated, *folders)


def kill_after_first_task(arguments: list[str | Path], output: Path, folder: str) -> None:
    run = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while run.poll() is None and time.monotonic() < deadline:
        if any((output / ".work" / folder).glob("*.done.json")):
            break
        time.sleep(0.002)
    assert run.poll() is None, "the run ended before it was killed"
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (output / "run.json").exists()


@pytest.mark.parametrize("folder", ["extract", "finish"])
def test_decide_goes_on_after_a_kill(
    annotated: Path, runs: Path, tmp_path: Path, folder: str
) -> None:
    at_once = runs / "demo-at-once"
    if not at_once.exists():
        curate(at_once, "demo")
    later = tmp_path / "later"
    arguments = ["decide", annotated, "--output", later, *RECIPES["demo"], "--quiet"]
    kill_after_first_task(arguments, later, folder)
    decide(annotated, later, "demo", "--workers", "1")
    assert sums(later, *FOLDERS) == sums(at_once, *FOLDERS)


def test_an_annotated_run_goes_on_after_a_kill(annotated: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    kill_after_first_task(curate_arguments(output, "c4", "--annotate"), output, "extract")
    early = corpusmill("decide", output, "--output", tmp_path / "no", *RECIPES["demo"], expect=1)
    assert "holds no finished run" in early.stderr
    curate(output, "c4", "--annotate")
    folders = ("documents", "rejected", "errors", "verdicts", ".work/annotated")
    assert sums(output, *folders) == sums(annotated, *folders)


def refusal(*arguments: str | Path, code: int) -> str:
    done = corpusmill(*arguments, expect=code)
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_what_decide_cannot_do_is_one_line(annotated: Path, runs: Path, tmp_path: Path) -> None:
    target = ["--output", tmp_path / "out"]
    message = refusal("decide", annotated, *target, "--recipe", "fineweb", code=2)
    assert "extract.favor (balanced in the annotated run, precision in fineweb)" in message
    assert "extract.deduplicate" in message
    assert "run corpusmill curate instead" in message
    status = ["--recipe", "demo", "--set", "page.statuses=[200, 404]"]
    assert "page.statuses" in refusal("decide", annotated, *target, *status, code=2)
    wide = ["--recipe", "gopher", "--set", "gate.characters=5000"]
    assert "gate.characters 5000" in refusal("decide", annotated, *target, *wide, code=2)
    assert "no finished run" in refusal("decide", tmp_path / "nothing", *target, code=1)
    itself = refusal("decide", annotated, "--output", annotated, *RECIPES["demo"], code=2)
    assert "is the annotated run itself" in itself
    assert not (tmp_path / "out").exists()


def test_an_annotated_run_that_lost_its_work_folder(annotated: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(annotated, bare, ignore=shutil.ignore_patterns(".work"))
    target = ["--output", tmp_path / "out", *RECIPES["demo"]]
    assert "--clean does that" in refusal("decide", bare, *target, code=1)
    corpusmill("verify", bare)
    shutil.copytree(annotated / ".work", bare / ".work")
    next((bare / ".work" / "annotated").iterdir()).unlink()
    assert "lacks 1 of" in refusal("decide", bare, *target, code=1)


def test_folders_of_other_runs_are_refused(annotated: Path, runs: Path, tmp_path: Path) -> None:
    plain = runs / "demo-at-once"
    if not plain.exists():
        curate(plain, "demo")
    before = sums(plain, *FOLDERS)
    target = ["--output", tmp_path / "out", *RECIPES["demo"]]
    assert "is no annotated run" in refusal("decide", plain, *target, code=1)
    message = refusal("decide", annotated, "--output", plain, *RECIPES["demo"], code=2)
    assert "holds a run of curate, not a run of decide" in message
    message = refusal("decide", annotated, "--output", plain, *RECIPES["gopher"], code=2)
    assert "holds a run of recipe demo" in message
    message = refusal(*curate_arguments(plain, "demo", "--annotate"), code=2)
    assert "holds a run of curate, not an annotated run" in message
    message = refusal(*curate_arguments(annotated, "c4"), code=2)
    assert "holds an annotated run, not a run of curate" in message
    assert sums(plain, *FOLDERS) == before
