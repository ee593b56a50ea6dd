"""The funnel on terminals of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipelines.cli.funnel import print_run
from schemas.run import FunnelStep, PhaseCounts, RunRecordV1


def record() -> RunRecordV1:
    steps = [("records", 0, 1000), ("quality", 500, 500), ("dedup.minhash", 100, 400)]
    return RunRecordV1.model_construct(
        recipe={"name": "my [bold]\x1b[2J"},
        phases=[PhaseCounts.model_construct(name="extract", in_=1000, kept=1000)],
        funnel=[FunnelStep(step=s, rejected=r, errors=0, kept=k) for s, r, k in steps],
        shards=[],
        pii={"email": 2, "ip": 0},
        annotated=False,
        seconds=1.0,
        cpu_seconds=1.0,
        pages_per_second=3.0,
        peak_memory_bytes=5,
    )


@pytest.mark.parametrize(("width", "longest"), [(45, 4), (60, 18), (80, 30), (130, 30)])
def test_bars_scale_with_the_terminal(width: int, longest: int) -> None:
    stream = io.StringIO()
    print_run(record(), "out[1]:cat:", Console(file=stream, width=width, soft_wrap=True))
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert r"recipe my [bold]\u001b[2J" in shown
    assert "report  out[1]:cat:/report.html" in shown
    assert "PII     email 2 replaced" in shown
    bars = [line.count("█") for line in shown.splitlines() if "█" in line]
    assert bars[0] == pytest.approx(longest, abs=2)
    assert bars[1] == pytest.approx(bars[0] / 2, abs=1)
    assert bars[2] == pytest.approx(bars[0] * 0.4, abs=1)
    assert all(str(step.kept) in shown.replace(",", "") for step in record().funnel)
