"""Ranks for tests of parallelism."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.builders.gloo import Ranks


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    pool = Ranks()
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def _quiet_checkpoints() -> None:
    """Its logger writes a line for every tensor, which a failing test would print."""
    logging.getLogger("c10d-NullHandler-dcp_logger").setLevel(logging.WARNING)
