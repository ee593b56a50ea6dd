"""Ranks for tests of parallelism, and runs that are stopped."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders.gloo import Ranks


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    pool = Ranks()
    yield pool
    pool.close()


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Send this process a signal while a step is taken."""
    from training.step import Step, StepResult

    take = Step.take

    def arm(step: int, number: signal.Signals = signal.SIGTERM) -> None:
        def and_signal(self: Step, at: int, batches: Any) -> StepResult:
            if at == step:
                os.kill(os.getpid(), number)
            return take(self, at, batches)

        monkeypatch.setattr(Step, "take", and_signal)

    return arm


@pytest.fixture(autouse=True)
def _quiet_checkpoints() -> None:
    """Its logger writes a line for every tensor, which a failing test would print."""
    logging.getLogger("c10d-NullHandler-dcp_logger").setLevel(logging.WARNING)
