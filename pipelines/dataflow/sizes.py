"""What workers of each phase are given unless the user asks for something else.

docs/dataflow.md has the arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple

from pipelines.phase_names import (
    DEDUP,
    EXTRACT,
    FINISH,
    PACK,
    REPORT,
    SUMMARIZE,
    TOKENIZE,
    TOKENIZER,
)


class WorkerSize(NamedTuple):
    """One worker of a phase. Dataflow starts a process a core in it."""

    machine_type: str
    min_ram: str
    """Beam's resource hint: what a worker must have, whatever machine it is."""
    disk_gb: int
    """Image, logs and temporary files; shuffles and outputs lie elsewhere."""
    threads: int | None = None
    """Bundles that one process works on at a time. None: as Dataflow likes."""


SIZES = {
    EXTRACT: WorkerSize("n2-standard-4", "14GB", 50, threads=1),
    DEDUP: WorkerSize("n2-highmem-4", "28GB", 50),
    FINISH: WorkerSize("n2-standard-4", "14GB", 50, threads=1),
    TOKENIZER: WorkerSize("n2-highmem-4", "28GB", 50, threads=1),
    TOKENIZE: WorkerSize("n2-standard-4", "14GB", 50, threads=1),
    PACK: WorkerSize("n2-highmem-4", "28GB", 50, threads=1),
    SUMMARIZE: WorkerSize("n2-standard-4", "6GB", 50, threads=1),
    REPORT: WorkerSize("n2-highmem-2", "12GB", 50, threads=1),
}
