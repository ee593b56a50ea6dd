"""The Jinja of chat templates, as transformers runs it: sandboxed, with `{% generation %}`.

Names, filters and flags are those of `_cached_compile_jinja_template` in
transformers/utils/chat_template_utils.py, whose users write these templates.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

BEGIN = "answer_begins"
END = "answer_ends"
"""Variables whose values are written around each generation block."""


class _Generation(Extension):
    """`{% generation %}`: what an assistant says. Its text is put between two marks, which hold
    wherever the block stands: in a macro, or in a text that is set and used later."""

    tags = {"generation"}  # noqa: RUF012 (so declared by jinja)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The nodes of a block, with a mark on each side."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        begin = nodes.Output([nodes.Name(BEGIN, "load")]).set_lineno(line)
        return [begin, nodes.Scope(body).set_lineno(line), nodes.Output([nodes.Name(END, "load")])]


def chat_environment() -> ImmutableSandboxedEnvironment:
    """An environment for chat templates. They come from strangers: they reach nothing outside."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json
    functions: dict[str, Callable[..., Any]] = {
        "raise_exception": _refuse,
        "strftime_now": _now,
    }
    environment.globals.update(functions)
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes for HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
