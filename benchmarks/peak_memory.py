"""Peak memory of a part of this process. Linux: the kernel's high-water mark can be set back."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> int:
    """Set the mark back to what is resident now; returns that, in bytes."""
    gc.collect()
    if not _CLEAR.exists():
        sys.exit("peak memory is measured on Linux only")
    _CLEAR.write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """The mark, in bytes."""
    line = next(row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
