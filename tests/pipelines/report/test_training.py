"""The section on a training run that lies in the folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.report.lines import POINTS_MAX, Line, averaged, lines
from pipelines.report.sections.training import finetuning, training
from pipelines.report.trained import FINETUNED, Sample, TrainingFacts, read_training
from pipelines.workspace import Workspace


class Facts:
    def __init__(
        self, training: TrainingFacts | None, finetuning: TrainingFacts | None = None
    ) -> None:
        self.training = training
        self.finetuning = finetuning


def write(folder: Path, name: str, rows: list[Any], run: str = "training") -> None:
    (folder / run).mkdir(exist_ok=True)
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    (folder / run / name).write_text(text)


def test_a_folder_without_a_training_run_has_no_section(tmp_path: Path) -> None:
    assert read_training(Workspace(str(tmp_path))) is None
    write(tmp_path, "metrics.jsonl", [])
    assert read_training(Workspace(str(tmp_path))) is None
    assert training(Facts(None)) is None  # type: ignore[arg-type]


def test_metrics_and_samples_are_read(tmp_path: Path) -> None:
    rows: list[Any] = [{"step": s, "loss": 5.0 - s, "tokens": s * 64} for s in (1, 2, 3)]
    rows[1]["val_loss"] = 3.5
    rows += [{"step": 4, "loss": None}, '{"step": 5, "lo']
    write(tmp_path, "metrics.jsonl", rows)
    write(tmp_path, "samples.jsonl", [{"step": 2, "prompt": "a", "text": "b <c>"}])
    facts = read_training(Workspace(str(tmp_path)))
    assert facts is not None
    assert facts.steps == [(1, 4.0), (2, 3.0), (3, 2.0)]
    assert facts.validations == [(2, 3.5)]
    assert facts.samples == [Sample(2, "a", "b <c>")]
    section = training(Facts(facts))  # type: ignore[arg-type]
    assert section is not None
    assert [tile.value for tile in section.blocks[0].tiles][:2] == ["2.000", "3.500"]  # type: ignore[union-attr]


def test_answers_of_a_fine_tuned_model_stand_beside_what_was_expected(tmp_path: Path) -> None:
    write(tmp_path, "metrics.jsonl", [{"step": 9, "loss": 0.5, "exact_match": 0.5}], FINETUNED)
    rows = [
        {"step": 4, "prompt": "early", "text": "x", "expected": "y"},
        {"step": 9, "prompt": "1 + 1", "text": "2", "expected": "2"},
        {"step": 9, "prompt": "2 + 2", "text": "5", "expected": "4"},
    ]
    write(tmp_path, "samples.jsonl", rows, FINETUNED)
    facts = read_training(Workspace(str(tmp_path)), FINETUNED)
    section = finetuning(Facts(None, facts))  # type: ignore[arg-type]
    assert section is not None
    assert "50.0%" in [tile.value for tile in section.blocks[0].tiles]  # type: ignore[union-attr]
    (group,) = section.blocks[-1].groups  # type: ignore[union-attr]
    shown = [(excerpt.url, excerpt.facts, excerpt.text) for excerpt in group.excerpts]
    assert shown == [("2 + 2", ["expected: 4"], "5"), ("1 + 1", ["right"], "2")]


def points(svg: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]
        for line in re.findall(r'<polyline class="[^"]+" points="([^"]+)"', svg)
    ]


def test_higher_values_are_drawn_higher_and_later_ones_further_right() -> None:
    svg = str(lines("x", "t", [Line([(1, 5.0), (2, 3.0), (9, 1.0)])], "step", "loss"))
    (drawn,) = points(svg)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert [y for _, y in drawn] == sorted(y for _, y in drawn)
    assert "ends at 1.000 (step 9)" in svg


@pytest.mark.parametrize("values", [[(1, 2.0)], [(1, 2.0), (2, 2.0)]])
def test_a_flat_line_and_a_single_point_are_drawn(values: list[tuple[float, float]]) -> None:
    svg = str(lines("x", "t", [Line(values)], "step", "loss"))
    assert len(points(svg)[0]) == len(values)


def test_many_points_are_averaged() -> None:
    many = [(float(n), float(n % 2)) for n in range(10_000)]
    few = averaged(many)
    assert len(few) <= POINTS_MAX
    assert few[0] == (12.0, pytest.approx(0.5, abs=0.03))
