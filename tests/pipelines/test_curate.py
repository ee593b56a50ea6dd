"""The whole run on the embedded sample: same bytes however it is run, stopped and resumed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.demo import sample_path
from schemas.run import RunRecordV1

SEGMENT_MB = "0.05"
PHASES = ["extract", "dedup", "finish", "tokenizer", "tokens", "pack"]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from pipelines.cli import main; main()", *map(str, arguments)]


def corpusmill(*arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600)
    assert done.returncode == expect, done.stderr
    return done


def curate(source: Path, output: Path, *more: str, expect: int = 0) -> None:
    corpusmill(*curate_arguments(source, output, *more), expect=expect)


def curate_arguments(source: Path, output: Path, *more: str) -> list[str]:
    return [
        *("curate", "--input", str(source), "--output", str(output), "--recipe", "demo"),
        *("--quiet", "--segment-mb", SEGMENT_MB, *more),
    ]


def shard_sums(output: Path) -> dict[str, str]:
    files = sorted(p for p in (output / "shards").rglob("*") if p.is_file())
    return {str(p.relative_to(output)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def sample() -> Iterator[Path]:
    with sample_path() as path:
        yield path


@pytest.fixture(scope="module")
def reference(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two workers that nothing disturbed."""
    output = tmp_path_factory.mktemp("reference") / "out"
    curate(sample, output, "--workers", "2")
    return output


def record_of(output: Path) -> RunRecordV1:
    return RunRecordV1.from_bytes((output / "run.json").read_bytes(), output)


@pytest.mark.slow
def test_counts_reconcile_and_verify_agrees(reference: Path) -> None:
    record = record_of(reference)
    record.check()
    assert record.phases[0].in_ > 150
    assert record.phases[-1].kept == sum(s.docs for s in record.shards)
    corpusmill("verify", reference)


@pytest.mark.slow
def test_one_worker_and_other_segments_give_the_same_shards(
    sample: Path, reference: Path, tmp_path: Path
) -> None:
    curate(sample, tmp_path / "one", "--workers", "1", "--segment-mb", "16")
    assert shard_sums(tmp_path / "one") == shard_sums(reference)


def begun(work: Path, phase: str) -> Callable[[], bool]:
    """Whether the phase is under way: something of its own lies there."""
    if phase == "dedup":
        return lambda: (work / "dedup").exists() and not (work / "dedup.done.json").exists()
    if phase == "tokenizer":
        done = work / "finish"
        count = len(list((work / "extract").glob("*.done.json")))
        return lambda: len(list(done.glob("*.done.json"))) >= max(count, 1)
    return lambda: any((work / phase).glob("*.done.json"))


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_kill_in_any_phase_and_resume(
    phase: str, sample: Path, reference: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    if phase != "extract":
        seed_until(phase, reference, output)
    run = subprocess.Popen(
        command(*curate_arguments(sample, output, "--workers", "2")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    reached = begun(output / ".work", phase)
    deadline = time.monotonic() + 300
    while run.poll() is None and not reached() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert run.poll() is None, f"the run ended before it was seen in phase {phase}"
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (output / "run.json").exists()
    curate(sample, output, "--workers", "1")
    assert shard_sums(output) == shard_sums(reference)
    corpusmill("verify", output)


def seed_until(phase: str, reference: Path, output: Path) -> None:
    """A copy of a whole run without what the phase and those after it leave."""
    shutil.copytree(reference, output)
    (output / "run.json").unlink()
    removals = {
        "dedup": [".work/dedup.done.json", ".work/clusters", ".work/finish"],
        "finish": [".work/finish", "documents", "rejected", "errors"],
        "tokenizer": [".work/finish"],
        "tokens": [".work/tokens"],
        "pack": [],
    }
    later = [".work/tokenizer.done.json", ".work/tokens"] if phase not in ("tokens", "pack") else []
    for name in [*removals[phase], *later, ".work/pack", "shards/train", "shards/validation"]:
        path = output / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.mark.slow
def test_children_die_with_a_killed_parent(sample: Path, tmp_path: Path) -> None:
    run = subprocess.Popen(
        command(*curate_arguments(sample, tmp_path / "out")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    reached = begun(tmp_path / "out" / ".work", "extract")
    deadline = time.monotonic() + 120
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    while time.monotonic() < deadline:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    pytest.fail("children outlived their parent")


@pytest.mark.slow
def test_another_recipe_in_the_same_folder_is_refused(sample: Path, reference: Path) -> None:
    before = shard_sums(reference)
    arguments = ["curate", "--input", sample, "--output", reference, "--recipe", "gopher"]
    done = corpusmill(*arguments, expect=2)
    assert "holds a run of recipe demo" in done.stderr
    assert "--no-resume" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert shard_sums(reference) == before


@pytest.mark.slow
def test_a_finished_run_is_taken_over_whole(sample: Path, reference: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(reference, output)
    stamps = {p: p.stat().st_mtime_ns for p in (output / ".work" / "extract").iterdir()}
    curate(sample, output)
    assert {p: p.stat().st_mtime_ns for p in (output / ".work" / "extract").iterdir()} == stamps
    assert shard_sums(output) == shard_sums(reference)


@pytest.mark.slow
def test_inspect_shows_a_duplicate_and_what_replaced_it(reference: Path) -> None:
    import pyarrow.parquet as pq

    rejected = pq.read_table(reference / "rejected").to_pylist()
    row = next(r for r in rejected if r["rule"] == "dedup.exact")
    shown = corpusmill("inspect", reference, "--id", row["id"], "--json")
    trail = json.loads(shown.stdout)
    assert trail["rejected"][0]["id"] == row["id"]
    members = trail["clusters"]
    assert len(members) >= 2
    assert {m["kept"] for m in members} == {True, False}


@pytest.mark.slow
def test_verify_finds_a_changed_shard(reference: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(reference, output)
    shard = next((output / "shards" / "train").glob("*.bin"))
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(data)
    done = corpusmill("verify", output, expect=1)
    assert shard.name in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 40])
def test_limit_reads_the_first_pages(sample: Path, tmp_path: Path, n: int) -> None:
    arguments = curate_arguments(sample, tmp_path / "out", "--limit", str(n))
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    record = record_of(tmp_path / "out")
    damaged = sum(count for kind, count in record.errors.items() if kind.startswith("read."))
    assert record.phases[0].in_ - damaged <= n <= record.phases[0].in_
