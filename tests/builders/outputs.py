"""What a run left, to compare with another run."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDERS = ("documents", "rejected", "errors", "clusters", "shards")
"""Whose files are the same for the same input, whoever made them."""


def sums(output: Path, *folders: str) -> dict[str, str]:
    """Relative path -> SHA-256 of every file in the folders; without names, of FOLDERS."""
    found = (path for name in folders or FOLDERS for path in (output / name).rglob("*"))
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(found)
        if path.is_file()
    }
