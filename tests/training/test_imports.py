"""Modules that a command imports first: no hidden cycle, no torch where it is not needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("module", "with_torch"),
    [
        ("training.config", False),
        ("training.launch", False),
        ("training.data.corpus", False),
        ("training.data.trace", False),
        ("training.tokenizers", False),
        ("training.sizing", False),
        ("training.parallel.dims", False),
        ("model", False),
        ("training.pretrain", True),
    ],
)
def test_a_module_can_come_first(module: str, with_torch: bool) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(with_torch)
