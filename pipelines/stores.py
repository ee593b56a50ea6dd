"""Beam's file systems for gs://, s3:// and hdfs://, and what to install for them."""

from __future__ import annotations

from importlib.util import find_spec

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from schemas.errors import UsageError

EXTRAS = {
    "gs": "corpusmill[gcp]",
    "s3": "apache-beam[aws]",
    "hdfs": "apache-beam[hadoop]",
    "azfs": "apache-beam[azure]",
}
"""Scheme -> what to install for it."""
_MODULES = {"s3": "boto3", "azfs": "azure.storage.blob"}
"""What Beam's file system imports only when it is used, and then fails on in many lines."""


def file_systems(path: str) -> type[FileSystems]:
    """Beam's FileSystems, once it is sure that one of them takes this path.

    Raises UsageError that says what to install.
    """
    scheme = path.partition("://")[0]
    try:
        FileSystems.get_filesystem(path)
        missing = scheme in _MODULES and not _installed(_MODULES[scheme])
    except (BeamIOError, ValueError, ImportError) as error:
        if scheme not in EXTRAS:
            known = ", ".join(f"{name}://" for name in EXTRAS)
            raise UsageError(
                f"{path}: no such kind of store; known are {known} (and https:// for inputs)"
            ) from error
        if scheme == "hdfs" and _installed("hdfs"):
            raise UsageError(f"{path}: {' '.join(str(error).split())[:300]}") from error
        missing = True
    if missing:
        raise UsageError(
            f"{path}: {scheme}:// needs an extra package: pip install '{EXTRAS[scheme]}'"
        )
    return FileSystems


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # a parent package is missing
        return False
