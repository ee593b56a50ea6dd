"""Workers must have the versions that the driver keys the work by.

Work is taken over when its key is the same, and the key covers the versions of the libraries as
the driver has them. A worker of another image or environment would leave other bytes under it.
"""

from __future__ import annotations

import apache_beam as beam

from pipelines import account
from schemas.errors import UsageError

SOURCE = "source"
"""What account.corpusmill_version says where nothing is installed."""


class Versioned(beam.DoFn):
    """A DoFn that refuses to work with other versions than it was made with."""

    def __init__(self) -> None:
        self._versions = _versions()

    def setup(self) -> None:
        """Raises UsageError, in one line."""
        check_versions(self._versions, _versions())
        self.start()

    def start(self) -> None:
        """What a worker makes ready, once."""


def check_versions(driver: dict[str, str], worker: dict[str, str]) -> None:
    """Raise UsageError, naming each package whose versions differ."""
    differing = [
        f"{name} {worker.get(name, 'none')} instead of {driver.get(name, 'none')}"
        for name in sorted({*driver, *worker})
        if driver.get(name) != worker.get(name)
        and SOURCE not in (driver.get(name), worker.get(name))
    ]
    if differing:
        raise UsageError(
            f"a worker has {', '.join(differing)}: install the driver's versions there (or take "
            "the driver's from the workers' image), and run the same command again"
        )


def _versions() -> dict[str, str]:
    found = account.versions() | {"corpusmill": account.corpusmill_version()}
    # Beam asks for the same Python 3.N; what comes after it does not change the output.
    found["python"] = ".".join(found["python"].split(".")[:2])
    return found
