from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.builders.jobs import job, launch_of
from training.launch.slurm import directives, render

# Every long option in the manual page sbatch(1) of Slurm 22.05.8.
SBATCH_OPTIONS = set(
    (Path(__file__).parents[2] / "data/sbatch_options.txt").read_text("utf-8").split()
)
EVERYTHING: dict[str, Any] = {
    "time_limit_minutes": 2885,
    "slurm": {
        **{"partition": "gpu,big", "account": "a", "qos": "high", "reservation": "r.1"},
        **{"constraint": "h100&(ib|roce)", "exclusive": True},
    },
}


def test_every_directive_is_an_option_of_sbatch() -> None:
    names = [
        directive.removeprefix("--").partition("=")[0]
        for directive in directives(job(**EVERYTHING))
    ]
    assert set(names) <= SBATCH_OPTIONS
    assert len(set(names)) == len(names)


def test_directives_stand_before_the_first_command_and_hold_no_space() -> None:
    text = render(launch_of(**EVERYTHING)).text
    head, _, body = text.partition("\nset -euo pipefail\n")
    lines = [line for line in head.splitlines() if line.startswith("#SBATCH")]
    assert lines[0] == "#SBATCH --job-name=demo"
    assert all(re.fullmatch(r"#SBATCH '?--[a-z-]+(=[^\s'\"#]+)?'?", line) for line in lines)
    assert "#SBATCH" not in body
    assert "#SBATCH '--constraint=h100&(ib|roce)'" in lines


@pytest.mark.parametrize(
    ("minutes", "shown"), [(4, "0-00:04"), (1440, "1-00:00"), (2885, "2-00:05"), (59, "0-00:59")]
)
def test_the_time_limit_is_days_hours_minutes(minutes: int, shown: str) -> None:
    assert f"--time={shown}" in list(directives(job(time_limit_minutes=minutes)))


def test_resources_and_what_happens_when_the_job_is_stopped() -> None:
    found = list(directives(job(grace_seconds=300)))
    for expected in (
        *("--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=4", "--cpus-per-task=16"),
        *("--mem=64G", "--signal=B:TERM@300", "--requeue", "--open-mode=append"),
    ):
        assert expected in found
    assert not any(directive.startswith("--time") for directive in found)
