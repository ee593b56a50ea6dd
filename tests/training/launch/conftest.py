"""Programs of a cluster that only write down how they were called."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

# What each program does; `calls` has a line a call, and torchrun's words go to a file of their own
# between NULs, since words may hold anything else.
_PROGRAMS = {
    "torchrun": """
printf '%s\\0' "$@" > "$CLUSTER/torchrun.$(ls "$CLUSTER" | grep -c '^torchrun')"
env -0 > "$CLUSTER/environment"
if [[ -e $CLUSTER/blocks ]]; then
  touch "$CLUSTER/started"
  while [[ ! -e $CLUSTER/term ]]; do sleep 0.02; done
  exit 1
fi
exit "$(cat "$CLUSTER/exit")"
""",
    "srun": """
echo "srun" >> "$CLUSTER/calls"
while [[ $1 == --* ]]; do shift; done
SLURMD_NODENAME=n0 SLURM_NODEID=0 exec "$@"
""",
    "scontrol": """
if [[ "$1 $2" != "show hostnames" ]]; then
  unanswered=$(cat "$CLUSTER/unanswered.$1" 2> /dev/null || echo 0)
  if ((unanswered > 0)); then
    echo $((unanswered - 1)) > "$CLUSTER/unanswered.$1"
    echo "Unable to contact slurm controller (connect failure)" >&2
    exit 1
  fi
fi
case "$1 $2" in
  "show hostnames") printf 'n0\\nn1\\n' ;;
  "show job") cat "$CLUSTER/record" ;;
  *) echo "scontrol $*" >> "$CLUSTER/calls" ;;
esac
""",
    "scancel": """
echo "scancel $*" >> "$CLUSTER/calls"
touch "$CLUSTER/term"
""",
    "sleep": """
/bin/sleep 0.02
""",
    "apptainer": """
printf '%s\\0' "$@" > "$CLUSTER/apptainer"
while [[ $1 != bash ]]; do shift; done
exec "$@"
""",
}


class Cluster:
    """A folder of such programs, and what they wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir(parents=True)
        for name, body in _PROGRAMS.items():
            path = folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/bash\n{body}")
            path.chmod(0o755)
        self.says(exit_code=0)

    def says(self, *, exit_code: int, record: str = "JobState=RUNNING PreemptTime=None") -> None:
        """What torchrun ends with, and what scontrol tells of the job."""
        (self.state / "exit").write_text(str(exit_code))
        (self.state / "record").write_text(f"JobId=7 {record} Partition=gpu")

    def blocks(self) -> None:
        """torchrun runs until scancel tells it to end."""
        (self.state / "blocks").touch()

    def does_not_answer(self, command: str, times: int) -> None:
        """scontrol fails that often when it is asked to `show` or `requeue` a job."""
        (self.state / f"unanswered.{command}").write_text(str(times))

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[0-1]"}
        return os.environ | slurm | {"PATH": path, "CLUSTER": str(self.state)}

    def start(self, script: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", script],
            env=self.environment | variables,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, **variables: str) -> tuple[int, str]:
        """Exit code and what was printed."""
        process = self.start(script, **variables)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output + errors

    def calls(self) -> list[str]:
        path = self.state / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def words(self, name: str = "torchrun.0") -> list[str]:
        return _between_nuls(self.state / name)

    def runs(self) -> int:
        return len(list(self.state.glob("torchrun.*")))

    def variables(self) -> dict[str, str]:
        pairs = (entry.partition("=") for entry in _between_nuls(self.state / "environment"))
        return {name: value for name, _, value in pairs}


def _between_nuls(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\0")[:-1]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


def after(words: Sequence[str], word: str) -> list[str]:
    """The words from `word` on."""
    return list(words[words.index(word) :])
