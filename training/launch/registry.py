"""The targets by name: a new one is a file beside this one and a line here."""

from __future__ import annotations

from training.launch import jobset, slurm, torchrun, trainjob
from training.launch.target import Target

TARGETS: dict[str, Target] = {
    "torchrun": torchrun.TARGET,
    "slurm": slurm.TARGET,
    "trainjob": trainjob.TARGET,
    "jobset": jobset.TARGET,
}
