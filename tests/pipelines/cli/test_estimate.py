"""The model on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.scaling.unit_costs import FINEWEB
from pipelines.scaling.work import CC_MAIN_2024_22


def estimate(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["estimate", *arguments]) == 0
    return capsys.readouterr().out


def test_more_machines_take_less_time_and_the_same_work(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = (
        json.loads(estimate(capsys, "--machines", number, "--json")) for number in ("100", "400")
    )
    assert [phase["name"] for phase in few["phases"]] == [
        *("extract", "dedup", "finish", "tokenizer", "tokenize", "pack", "summarize")
    ]
    for one, other in zip(few["phases"], many["phases"], strict=True):
        assert one["shuffle_bytes"] == other["shuffle_bytes"]
        assert one["seconds_at_best"] >= other["seconds_at_best"]
    assert few["phases"][0]["seconds_at_best"] > 3 * many["phases"][0]["seconds_at_best"]


def test_a_run_of_many_small_segments_says_what_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(estimate(capsys, "--segment-mb", "16", "--json"))
    broken = {limit["what"]: limit["answer"] for limit in shown["limits"] if limit["broken"]}
    assert broken["driver: plan and markers"] == "larger --segment-mb"
    fine = json.loads(estimate(capsys, "--segment-mb", "1024", "--json"))
    assert "driver: plan and markers" not in {
        limit["what"] for limit in fine["limits"] if limit["broken"]
    }


def test_tables_name_every_phase_and_limit(capsys: pytest.CaptureFixture[str]) -> None:
    shown = estimate(capsys, "--files", "9000")
    for words in ("extract", "summarize", "driver alone", "what breaks", "hours of wall clock"):
        assert words in shown


def test_other_costs_are_read_and_strange_ones_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "costs.json"
    ours = json.loads(FINEWEB.read_text())["costs"]
    path.write_text(json.dumps({"costs": ours | {"page_ms": ours["page_ms"] + 100}}))
    before, after = (
        json.loads(estimate(capsys, *more, "--json"))["phases"][0]["cpu_seconds"]
        for more in ([], ["--costs", str(path)])
    )
    assert after - before == pytest.approx(0.1 * CC_MAIN_2024_22.pages)
    path.write_text("{}")
    assert run(["estimate", "--costs", str(path)]) == 1
    assert "holds no unit costs" in capsys.readouterr().err
