"""The names of the phases and the help of commands come without Beam."""

from __future__ import annotations

import subprocess
import sys


def test_names_and_help_do_not_import_beam() -> None:
    code = (
        "import sys, pipelines.phase_names, pipelines.cli.main; print('apache_beam' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
