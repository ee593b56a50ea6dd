"""How the report's and the card's templates are rendered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.report.formats import FILTERS


def templates(finalize: Callable[[Any], Any], **filters: Callable[..., object]) -> Environment:
    """The package's templates: everything is escaped, an unknown name is an error.

    `finalize` sees each value before it is printed; `filters` are there beside those of formats.
    """
    environment = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=finalize,
    )
    environment.filters.update(FILTERS, **filters)
    return environment
