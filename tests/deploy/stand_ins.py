"""Programs that a script calls, replaced by scripts that write down how they were called."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAD = """#!/bin/bash
set -eu
call() { echo "${*@Q}" >> "$STATE/calls"; }
"""


class StandIns:
    """A folder of programs that comes first on PATH, and one for what they write down.

    A program finds that folder in $STATE. What is appended to $STATE/calls are its words, each as
    the shell would quote it.
    """

    def __init__(self, folder: Path, programs: Mapping[str, str]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.bin = folder / "bin"
        self.state.mkdir(parents=True)
        self.bin.mkdir()
        for name, body in programs.items():
            path = self.bin / name
            path.write_text(HEAD + body)
            path.chmod(0o755)

    def run(
        self, script: str, arguments: Sequence[str | Path], **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A script of deploy/, with these programs first on PATH and nothing of the user's."""
        known = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
        return subprocess.run(
            ["bash", ROOT / "deploy" / script, *arguments],
            env={
                **known,
                **{"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.folder)},
                **{"STATE": str(self.state), "REAL_PYTHON": sys.executable, **variables},
            },
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def calls(self) -> list[str]:
        """What was called since this was asked last."""
        path = self.state / "calls"
        if not path.exists():
            return []
        lines = path.read_text().splitlines()
        path.unlink()
        return lines
