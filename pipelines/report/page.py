"""Rendering: report.html from the sections, with a style sheet that is allowed by its hash."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from markupsafe import Markup

from pipelines.report.gather import RunFacts
from pipelines.report.sections import build_sections
from pipelines.report.templating import templates
from pipelines.report.untrusted import clean, link


def render_page(facts: RunFacts) -> str:
    """The whole page as one HTML document."""
    environment = templates(_printable, link=link)
    style = environment.get_template("style.css.j2").render()
    return environment.get_template("page.html.j2").render(
        facts=facts,
        record=facts.record,
        sections=build_sections(facts),
        style=Markup(style),
        policy=_policy(style),
    )


def _policy(style: str) -> str:
    """Nothing may be loaded or run; of styles, only the page's own sheet, by its hash."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _printable(value: Any) -> Any:
    # Markup is a subclass of str, and was cleaned when it was made.
    return clean(value) if type(value) is str else value
