"""The ConfigMap in which a configuration travels to its pods."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any

from training.launch.description import Launch
from training.launch.objects import metadata


def config_map_name(launch: Launch) -> str:
    """Named by its content: another configuration never changes the one a running job reads."""
    digest = hashlib.sha256((launch.config_text or "").encode()).hexdigest()
    return f"{launch.job.name}-config-{digest[:10]}"


def config_maps(launch: Launch) -> list[dict[str, Any]]:
    """The ConfigMap of a carried configuration; none when the job finds its own."""
    if launch.config_text is None:
        return []
    file_name = PurePosixPath(launch.config_path("/")).name
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(launch.job, config_map_name(launch)),
            "immutable": True,
            "data": {file_name: launch.config_text},
        }
    ]
