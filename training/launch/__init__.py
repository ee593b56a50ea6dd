"""From one job description to what torchrun, SLURM and Kubernetes take. Imports no torch.

`read_launch(path)` reads and checks a description; `TARGETS[name].render(launch)` gives the file
for a target.
"""

from __future__ import annotations

from training.launch.description import Launch, read_launch
from training.launch.registry import TARGETS
from training.launch.target import Rendered, Target

__all__ = ["TARGETS", "Launch", "Rendered", "Target", "read_launch"]
