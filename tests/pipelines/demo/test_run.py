"""`corpusmill demo`, whole: every planted page ends as the table beside the sample says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from pipelines.demo import expected_rows, sample_path
from schemas.run import RunRecordV1

pytestmark = pytest.mark.slow

Row = dict[str, Any]


class Outcome:
    """The rows of a run by the offset of their record."""

    def __init__(self, folder: Path) -> None:
        self.documents = self._rows(folder / "documents")
        self.rejected = self._rows(folder / "rejected")
        self.clusters = self._rows(folder / "clusters")
        self.errors = self._rows(folder / "errors", "offset")

    @staticmethod
    def _rows(folder: Path, key: str = "warc_offset") -> dict[int, Row]:
        rows = ds.dataset(folder).to_table().to_pylist()
        by_offset = {row[key]: row for row in rows}
        assert len(by_offset) == len(rows)
        return by_offset


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo") / "out"
    code = "from pipelines.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--output", folder, "--steps", "12"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def outcome(demo: tuple[Path, str]) -> Outcome:
    return Outcome(demo[0])


def expected(end: str) -> list[Row]:
    rows = [row for row in expected_rows() if row["end"] == end]
    assert rows
    return rows


def test_kept_pages_with_their_language_and_personal_data(outcome: Outcome) -> None:
    for row in expected("kept"):
        document = outcome.documents[row["offset"]]
        assert document["language"] == row["language"], row
        found = {kind: count for kind, count in document["pii"].items() if count}
        assert found == row.get("pii", {}), row


def test_rejected_pages_with_their_rule(outcome: Outcome) -> None:
    for row in expected("rejected"):
        rejected = outcome.rejected[row["offset"]]
        assert (rejected["stage"], rejected["rule"]) == (row["stage"], row["rule"]), row


def test_damaged_records_are_errors(outcome: Outcome) -> None:
    rows = expected("error")
    assert {row["offset"]: row["error"] for row in rows} == {
        offset: error["error"] for offset, error in outcome.errors.items()
    }


def test_duplicates_with_what_they_repeat(outcome: Outcome) -> None:
    url_of = {row["offset"]: row["url"] for row in expected_rows()}
    url_of_id = {row["id"]: url_of[offset] for offset, row in outcome.clusters.items()}
    for row in expected("duplicate"):
        offset = row["offset"]
        assert offset not in outcome.documents
        assert outcome.rejected[offset]["rule"] == f"dedup.{row['method']}", row
        assert url_of_id[outcome.clusters[offset]["cluster_id"]] == row["of"], row


def test_of_equal_pages_exactly_one_stays(outcome: Outcome) -> None:
    groups = defaultdict(list)
    for row in expected("one_of"):
        groups[row["cluster"]].append(row)
    for rows in groups.values():
        kept = [row for row in rows if row["offset"] in outcome.documents]
        assert len(kept) == 1, rows
        dropped = [row for row in rows if row not in kept]
        assert all(
            outcome.rejected[row["offset"]]["rule"] == f"dedup.{row['method']}" for row in dropped
        )


def test_every_record_is_accounted_for(outcome: Outcome, demo: tuple[Path, str]) -> None:
    record = RunRecordV1.from_bytes((demo[0] / "run.json").read_bytes(), demo[0])
    assert record.phases[0].in_ == len(expected_rows())
    ends = len(outcome.documents) + len(outcome.rejected) + len(outcome.errors)
    assert ends == len(expected_rows())
    assert len(record.languages) >= 7
    assert "zh" in record.languages


def test_no_file_of_the_run_shows_replaced_data(demo: tuple[Path, str]) -> None:
    folder = demo[0]
    planted = json.loads((folder / "run.json").read_text())["pii"]
    assert all(planted[kind] > 0 for kind in ("email", "ip", "phone", "credit_card", "iban"))
    texts = [
        row["text"]
        for name in ("documents", "rejected")
        for row in ds.dataset(folder / name).to_table(columns=["text"]).to_pylist()
    ]
    page = (folder / "report.html").read_text()
    with sample_path() as sample:
        assert sample.stat().st_size < 1_000_000
    from pipelines.recipes import load
    from stages.pii import Scrubber

    scrubber = Scrubber(load("demo").pii)
    assert sum(sum(scrubber.scrub(text)[1].values()) for text in texts) == 0
    assert "<script" not in page.lower()


def test_the_terminal_shows_the_funnel_and_the_report(demo: tuple[Path, str]) -> None:
    folder, shown = demo
    assert "dedup.minhash" in shown
    assert f"report  {folder}/report.html" in shown


def test_it_ends_with_a_model_that_writes(demo: tuple[Path, str]) -> None:
    folder, said = demo
    lines = (folder / "training" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    assert rows[-1]["val_loss"] > 0
    assert "finished after step 12 of 12" in said
    assert said.count("\nsample  ") == 2
    page = (folder / "report.html").read_text()
    assert 'id="training"' in page
    assert "chart-loss" in page


def test_it_can_be_asked_for_again(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    page = (folder / "report.html").read_bytes()
    code = "from pipelines.cli import main; main()"
    again = subprocess.run(
        [sys.executable, "-c", code, "demo", "--output", folder, "--steps", "12"],
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    assert (folder / "report.html").read_bytes() == page
