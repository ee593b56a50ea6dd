from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_kill_at_any_instant_leaves_a_checkpoint_that_loads(
    tmp_path: Path, repository: Path
) -> None:
    command = [sys.executable, "-m", "tests.builders.killed_saves", str(tmp_path)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Three saves, with at least an opened file, a rename and a deletion each.
    assert int(done.stdout) > 40
