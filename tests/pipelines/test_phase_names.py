"""Lists of phases outside of Python's reach are those of the driver."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pipelines.phase_names import EXTRACT, PHASES


def test_spark_submit_runs_them_all_in_order(repository: Path) -> None:
    script = (repository / "deploy" / "spark" / "submit.sh").read_text()
    (listed,) = re.findall(r"for \w+ in ([a-z ]+); do", script)
    assert (EXTRACT, *listed.split()) == PHASES


def test_names_and_help_do_not_import_beam() -> None:
    code = (
        "import sys, pipelines.phase_names, pipelines.cli.main; print('apache_beam' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
