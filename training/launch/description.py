"""A job description read from its file, with the configuration that travels with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from schemas.checked import checked
from schemas.errors import InputError, UsageError
from schemas.job import TrainingJob
from schemas.secret_names import looks_secret
from schemas.yaml_text import parse_mapping
from training.assignments import assign
from training.config import check_pretrain
from training.launch.parallel import check_parallel
from training.sft.config import check_sft

STAGE_CHECKS: dict[str, Callable[[Mapping[str, Any], str], object]] = {
    "pretrain": check_pretrain,
    "sft": check_sft,
}
"""How the configuration of a stage is checked where the job is rendered, not where it fails."""

CONFIG_BYTES_MAX = 512 * 1024
"""A ConfigMap holds 1 MiB, and a script has to stay well under it (kubernetes.io, ConfigMap)."""


@dataclass(frozen=True)
class Launch:
    """A job, and the text of its configuration file where that travels with it."""

    job: TrainingJob
    config_text: str | None = None

    def config_path(self, folder: str) -> str:
        """Where the trainer finds its configuration, when a carried one is put into `folder`."""
        if self.config_text is None:
            return self.job.config
        return f"{folder}/{self.job.name}{PurePosixPath(self.job.config).suffix}"

    def warnings(self) -> list[str]:
        """One line for each thing that works today and may not mean the same tomorrow."""
        job = self.job
        if job.image is None or job.image_is_pinned:
            return []
        return [f"image {job.image} is a tag that may move: pin it by digest, image@sha256:..."]


def read_launch(path: Path, overrides: Sequence[str] = ()) -> Launch:
    """The description at `path`, with `key=value` overrides applied to it.

    A configuration that lies beside it, or under the absolute path it names, is checked against
    the number of GPUs.

    Raises:
        InputError: a file that is missing or no text.
        UsageError: no YAML, an unknown key, a value that does not fit, degrees of parallelism that
            do not divide the number of GPUs.
    """
    tree = _tree(path)
    for override in overrides:
        assign(tree, override, "--set")
    job = checked(TrainingJob, tree, str(path))
    config = path.parent / job.config  # an absolute path stays as it is
    carried = not Path(job.config).is_absolute()
    if not carried and not config.is_file():
        return Launch(job)
    text = _text(config)
    _check_config(job, text, config)
    return Launch(job, text if carried else None)


def _check_config(job: TrainingJob, text: str, path: Path) -> None:
    if len(text.encode()) > CONFIG_BYTES_MAX:
        raise UsageError(f"{path}: larger than {CONFIG_BYTES_MAX // 1024} KiB, for a configuration")
    if looks_secret(text):
        raise UsageError(f"{path}: holds what looks like a secret; list it under `secrets`")
    tree = parse_mapping(text, str(path))
    for override in job.overrides:
        assign(tree, override, "overrides")
    check_parallel(tree.get("parallel"), job, str(path))
    check = STAGE_CHECKS.get(job.stage)
    if check is not None:
        check({**tree, "output": job.output}, str(path))


def _tree(path: Path) -> dict[str, Any]:
    return parse_mapping(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error
