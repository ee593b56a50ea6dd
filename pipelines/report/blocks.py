"""What a section of the page is made of; each kind of block has one template of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

Cell = str | Markup
"""Plain strings are escaped by the template."""


class Column(NamedTuple):
    """A table column; numbers stand right."""

    title: str
    numeric: bool = False


class Table(NamedTuple):
    """A table; `more` says what was left out, `folded` hides it until it is opened."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    more: str = ""
    folded: bool = False
    template: str = "blocks/table.html.j2"


class Figure(NamedTuple):
    """A chart with its caption and a legend of (style class, meaning)."""

    svg: Markup
    caption: str = ""
    legend: Sequence[tuple[str, str]] = ()
    template: str = "blocks/figure.html.j2"


class Panel(NamedTuple):
    """One of several small charts."""

    title: str
    notes: Sequence[str]
    svg: Markup


class Panels(NamedTuple):
    """Small charts side by side."""

    caption: str
    panels: Sequence[Panel]
    legend: Sequence[tuple[str, str]] = ()
    folded: bool = False
    template: str = "blocks/panels.html.j2"


class Tile(NamedTuple):
    """A number to see at once."""

    label: str
    value: str
    note: str = ""


class Tiles(NamedTuple):
    """A row of tiles."""

    tiles: Sequence[Tile]
    template: str = "blocks/tiles.html.j2"


class Facts(NamedTuple):
    """Terms and values."""

    pairs: Sequence[tuple[str, Cell]]
    template: str = "blocks/facts.html.j2"


class Note(NamedTuple):
    """A paragraph."""

    text: str
    template: str = "blocks/note.html.j2"


class Excerpt(NamedTuple):
    """A document to look at."""

    url: Cell
    facts: Sequence[str]
    text: str


class ExcerptGroup(NamedTuple):
    """Documents under one heading, folded away."""

    title: str
    note: str
    excerpts: Sequence[Excerpt]


class Excerpts(NamedTuple):
    """Groups of documents."""

    groups: Sequence[ExcerptGroup]
    template: str = "blocks/excerpts.html.j2"


Block = Table | Figure | Panels | Tiles | Facts | Note | Excerpts


class Section(NamedTuple):
    """One section of the page."""

    name: str
    """Anchor and id, letters and dashes; also what the navigation calls it."""
    title: str
    lead: str
    blocks: Sequence[Block]

    @property
    def label(self) -> str:
        """For the navigation."""
        return self.name.replace("-", " ").capitalize()
