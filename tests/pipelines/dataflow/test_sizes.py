"""What workers are given holds twice what the model of scale says that they need for a dump."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.dataflow.sizes import SIZES
from pipelines.phase_names import PHASES, REPORT
from pipelines.scaling.layout import predict
from pipelines.scaling.limits import driver_steps
from pipelines.scaling.unit_costs import FINEWEB, UnitCosts
from pipelines.scaling.work import CC_MAIN_2024_22, Cluster

MERGED_FACTS = 1e9
DUMP = Cluster(250, 4, 4, 1, segment_bytes=1024e6, tokens_per_shard=3e8)


@pytest.fixture(scope="module")
def needs() -> dict[str, float]:
    """Phase -> bytes on one machine."""
    costs = UnitCosts.read(FINEWEB)
    phases = predict(CC_MAIN_2024_22, DUMP, costs)
    needs = {phase.load.name: phase.load.memory_bytes for phase in phases}
    (report,) = [step for step in driver_steps(CC_MAIN_2024_22, DUMP, costs) if step.name == REPORT]
    needs[REPORT] = 2 * costs.process_bytes + report.memory_bytes + MERGED_FACTS
    return needs


def test_a_dump_fits_twice(needs: dict[str, float]) -> None:
    assert needs.keys() == set(PHASES)
    for phase, size in SIZES.items():
        assert 2 * needs[phase] <= float(size.min_ram.removesuffix("GB")) * 1e9, phase


def test_the_page_has_the_models_sums(needs: dict[str, float], repository: Path) -> None:
    """Of dedup and tokenizer the page counts on top what one worker of them holds."""
    page = (repository / "docs" / "dataflow.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| (\d+\.\d) \| \d x ", page, re.MULTILINE))
    on_top = {"dedup": 0.5e9, "tokenizer": 0.05e9}
    sums = {phase: needs[phase] + on_top.get(phase, 0.0) for phase in PHASES}
    assert rows.keys() == sums.keys()
    for phase, said in rows.items():
        assert float(said) * 1e9 == pytest.approx(sums[phase], abs=0.1e9), phase
