"""Foreign text in Markdown: read as text, never as markup, HTML or a link."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from pipelines.report.untrusted import clean, shorten

VALUE_CHARACTERS = 300

_SPECIAL = re.compile(r"([\\`*\[\]|~#$@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.)")
"""CommonMark's inline markup, and what GitHub turns into links, maths and strikethrough.
An underscore inside a word is no emphasis."""
_SPACE = re.compile(r"\s+")
_BACKTICKS = re.compile("`+")


def prose(value: object) -> Markup:
    """A value on one line, with every character that Markdown would act on escaped."""
    if isinstance(value, Markup):
        return value
    text = _SPECIAL.sub(r"\\\1", clean(_SPACE.sub(" ", str(value))))
    # Quotes are plain in Markdown; the other entities keep HTML out.
    plain = str(escape(text)).replace("&#34;", '"').replace("&#39;", "'")
    return Markup(plain)


def code(value: object) -> Markup:
    """A code span, also inside a table: nothing in it is markup."""
    text = shorten(clean(" ".join(str(value).split())), VALUE_CHARACTERS)
    if not text:
        return Markup("–")
    # In tables GitHub splits at a pipe even in code; the escape would show outside of them.
    text = text.replace("|", "¦")
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return Markup(f"{fence}{pad}{text}{pad}{fence}")
