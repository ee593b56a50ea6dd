"""Shell scripts from templates in which every value is quoted."""

from __future__ import annotations

import shlex
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from schemas.errors import UsageError
from training.launch.description import Launch
from training.launch.trainer import environment


def shell_words(value: Any) -> str:
    """A value as one word of a shell command, a list as one word for each item."""
    if isinstance(value, list | tuple):
        return " ".join(shlex.quote(str(item)) for item in value)
    return shlex.quote(str(value))


def render_script(template: str, launch: Launch, **values: Any) -> str:
    """A template of this package, filled in.

    The templates print nothing unquoted: the environment quotes each value as it is printed.
    Raises UsageError for a secret that has no file.
    """
    templates = Environment(
        loader=PackageLoader("training.launch"),
        autoescape=False,  # shell, not HTML: `finalize` does the quoting
        finalize=shell_words,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    job = launch.job
    return templates.get_template(template).render(
        job=job,
        environment=environment(job),
        secrets=_secret_files(launch),
        config_text=launch.config_text,
        config_folder=config_folder(launch),
        config_path=launch.config_path(config_folder(launch)),
        **values,
    )


def config_folder(launch: Launch) -> str:
    """Where a script writes the configuration that it carries."""
    return f"{launch.job.output}/launch"


def _secret_files(launch: Launch) -> dict[str, str]:
    files = {}
    for secret in launch.job.secrets:
        if secret.file is None:
            raise UsageError(f"secrets: {secret.name} needs `file` for torchrun and SLURM")
        files[secret.name] = secret.file
    return files
