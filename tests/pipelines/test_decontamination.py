"""Decontamination as a part of a run: what goes, the account of it, resume, the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.benchmarks import load_index
from pipelines.children import setup_scrubber
from pipelines.pool import Killed
from pipelines.recipes import load
from schemas.errors import UsageError
from schemas.recipe import Benchmark, Decontamination, Pii
from schemas.run import RunRecordV1
from tests.builders.outputs import sums as sums_of_outputs

PLANTED = {3: "piqa", 10: "piqa", 17: "gsm8k_test"}
"""Number of a page -> the benchmark that it quotes."""
PAGES = 40


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from pipelines.cli import main; main()", *map(str, arguments)]


def corpusmill(*arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600)
    assert done.returncode == expect, done.stderr
    return done


def first_item(shared_data: Path, name: str, field: str) -> str:
    with gzip.open(shared_data / "benchmarks" / f"{name}.jsonl.gz", "rt") as lines:
        found = next(t for line in lines if len((t := json.loads(line)[field]).split()) > 15)
    return str(found)


@pytest.fixture
def pages(shared_data: Path, tmp_path: Path) -> Path:
    """Text of real pages, with items of benchmarks in the middle of some."""
    quotes = {
        "piqa": first_item(shared_data, "piqa", "query"),
        "gsm8k_test": first_item(shared_data, "gsm8k_test", "question"),
    }
    with gzip.open(shared_data / "warc_pages/ground_truth.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["main_text"] or "" for line in lines]
    texts = [text for text in texts if 2000 < len(text) < 6000][:PAGES]
    path = tmp_path / "pages.jsonl"
    with path.open("w", encoding="utf-8") as target:
        for number, text in enumerate(texts):
            if number in PLANTED:
                middle = text.index(" ", len(text) // 2)
                text = f"{text[:middle]}\n{quotes[PLANTED[number]]}\n{text[middle:]}"
            row = {"text": text, "url": f"https://example.org/{number}"}
            target.write(json.dumps(row) + "\n")
    return path


def arguments(pages: Path, output: Path, benchmarks: list[Path], *more: str) -> list[str]:
    listed = ", ".join(map(str, benchmarks))
    return [
        *("curate", "--input", str(pages), "--output", str(output), "--recipe", "demo"),
        *("--set", "quality=[]", "--set", "url.blocklist=null", "--set", "url.hard_words=false"),
        *("--set", f"decontamination.benchmarks=[{listed}]"),
        *("--quiet", *more),
    ]


def sums(output: Path) -> dict[str, str]:
    files = sorted(p for p in (output / "shards").rglob("*") if p.is_file())
    return {str(p.relative_to(output)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def rejected(output: Path) -> list[dict[str, Any]]:
    rows = [r for p in output.glob("rejected/*.parquet") for r in pq.read_table(p).to_pylist()]
    return [row for row in rows if row["stage"] == "decontamination"]


@pytest.mark.slow
def test_pages_that_quote_benchmarks_leave_the_run(
    pages: Path, shared_data: Path, tmp_path: Path
) -> None:
    output, other = tmp_path / "out", tmp_path / "other"
    files = sorted((shared_data / "benchmarks").glob("*.jsonl.gz"))
    corpusmill(*arguments(pages, output, files, "--workers", "2", "--segment-mb", "0.05"))
    found = {row["url"].rsplit("/", 1)[-1]: row for row in rejected(output)}
    assert {int(n): row["rule"] for n, row in found.items()} == {
        number: f"decontamination.{name}" for number, name in PLANTED.items()
    }
    for row in found.values():
        assert row["value"] > row["threshold"] == 0.0
        assert row["detail"].startswith("record ")
    record = RunRecordV1.from_bytes((output / "run.json").read_bytes(), output)
    finish = next(phase for phase in record.phases if phase.name == "finish")
    assert finish.rejected == len(PLANTED)
    steps = {step.step: step.rejected for step in record.funnel}
    assert steps["decontamination"] == len(PLANTED)
    assert [b.name for b in record.benchmarks] == [p.name.removesuffix(".jsonl.gz") for p in files]
    assert record.benchmarks[0].sha256 == hashlib.sha256(files[0].read_bytes()).hexdigest()
    corpusmill("verify", output)
    card = (output / "DATA_CARD.md").read_text()
    assert "| `piqa` | 1,838 |" in card
    assert "one n-gram of 13 words in common" in card
    assert "n-grams in more than 10 records of a benchmark: left out as its boilerplate" in card
    shown = corpusmill("inspect", output, "--url", "https://example.org/3").stdout
    assert "decontamination.piqa" in shown
    assert "record " in shown

    corpusmill(*arguments(pages, other, files, "--workers", "1"))
    assert sums(other) == sums(output)


@pytest.mark.slow
def test_killed_while_comparing_and_resumed(pages: Path, shared_data: Path, tmp_path: Path) -> None:
    undisturbed, output = tmp_path / "undisturbed", tmp_path / "out"
    files = sorted((shared_data / "benchmarks").glob("*.jsonl.gz"))
    cut = ("--workers", "1", "--segment-mb", "0.01")
    corpusmill(*arguments(pages, undisturbed, files, *cut))
    run = subprocess.Popen(
        command(*arguments(pages, output, files, *cut)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    finished = output / ".work" / "finish"
    deadline = time.monotonic() + 300
    while run.poll() is None and not any(finished.glob("*.done.json")):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert run.poll() is None, "the run ended before it was seen in phase finish"
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (output / "run.json").exists()
    done = {path: path.stat().st_mtime_ns for path in finished.glob("*.done.json")}

    corpusmill(*arguments(pages, output, files, *cut))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in done.items())
    assert 0 < len(done) < len(list(finished.glob("*.done.json")))
    assert sums_of_outputs(output) == sums_of_outputs(undisturbed)
    resumed, whole = (
        RunRecordV1.from_bytes((folder / "run.json").read_bytes(), folder)
        for folder in (output, undisturbed)
    )
    assert resumed.benchmarks == whole.benchmarks != []
    assert resumed.rules == whole.rules
    assert {int(row["url"].rsplit("/", 1)[-1]) for row in rejected(output)} == set(PLANTED)
    corpusmill("verify", output)


@pytest.mark.slow
def test_another_content_of_a_benchmark_is_another_run(
    pages: Path, shared_data: Path, tmp_path: Path
) -> None:
    benchmark = tmp_path / "quiz.jsonl.gz"
    output = tmp_path / "out"
    shutil.copy(shared_data / "benchmarks" / "openbook_qa.jsonl.gz", benchmark)
    corpusmill(*arguments(pages, output, [benchmark], "--workers", "1"))
    assert rejected(output) == []
    shutil.copy(shared_data / "benchmarks" / "piqa.jsonl.gz", benchmark)
    corpusmill(*arguments(pages, output, [benchmark], "--workers", "1"))
    assert {row["rule"] for row in rejected(output)} == {"decontamination.quiz"}
    corpusmill("verify", output)


@pytest.mark.slow
def test_an_annotated_run_keeps_and_decide_removes(
    pages: Path, shared_data: Path, tmp_path: Path
) -> None:
    annotated, output = tmp_path / "annotated", tmp_path / "out"
    files = [shared_data / "benchmarks" / "piqa.jsonl.gz"]
    corpusmill(*arguments(pages, annotated, files, "--workers", "1", "--annotate"))
    assert rejected(annotated) == []
    settings = arguments(pages, annotated, files)[5:-1]
    corpusmill("decide", annotated, "--output", output, *settings, "--quiet")
    assert len(rejected(output)) == 2


def test_a_missing_file_is_one_line_before_any_work(tmp_path: Path) -> None:
    pages = tmp_path / "pages.jsonl"
    pages.write_text('{"text": "The harbour was built."}\n')
    line = arguments(pages, tmp_path / "out", [tmp_path / "none.jsonl"])
    said = corpusmill(*line, expect=2).stderr
    assert "decontamination.benchmarks: cannot read" in said
    assert "none.jsonl" in said
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_benchmark_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text("no json\n")
    settings = Decontamination(benchmarks=[Benchmark(file=str(path))])
    with pytest.raises(UsageError, match=r"decontamination.benchmarks: .*b.jsonl: record 1"):
        load_index(settings)


def test_a_text_is_compared_after_personal_data_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    item = "write a letter to jane.doe@company.com and ask her for the price of the blue kite"
    path.write_text(json.dumps({"q": item}) + "\n")
    settings = Decontamination(benchmarks=[Benchmark(file=str(path))], ngram=9)
    scrub = setup_scrubber(Pii(kinds=["email"]), load_index(settings))
    result = scrub(item)
    assert not isinstance(result, Killed)
    assert result.match is not None
    assert result.match.ngram == "com and ask her for the price of the"
    assert "jane" not in result.text


def test_recipes_without_it_keep_their_hash() -> None:
    plain = load("demo")
    assert plain.decontamination is None
    wanted = load("demo", ["decontamination.benchmarks=[a.jsonl]"])
    assert wanted.hash() != plain.hash()
    assert (
        wanted.hash() != load("demo", ["decontamination={benchmarks: [a.jsonl], ngram: 8}"]).hash()
    )
    content = plain.model_dump(mode="json", exclude={"description", "sources", "decontamination"})
    for step in content["quality"]:
        step.pop("source", None)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert plain.hash() == hashlib.sha256(text.encode()).hexdigest()
