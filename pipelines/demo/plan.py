"""A page of the sample before it is written: its address, its bytes and its intended end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pipelines.demo.articles import Article
from pipelines.demo.layouts import LAYOUTS
from pipelines.demo.sites import SITES, Declared, Site

End = Literal["kept", "rejected", "duplicate", "one_of", "error"]
RELATED = 4
_WRONG_META = {"utf-8": "iso-8859-1", "iso-8859-1": "utf-8"}
_WRONG_META_BY_LANGUAGE = {"zh": "gbk"}


class Expected(NamedTuple):
    """What should become of a page under recipe `demo`. Empty fields are left out of the file."""

    case: str
    """What the page is there for."""
    end: End = "kept"
    """`one_of`: exactly one page of the cluster is kept, which of them hangs on the ids."""
    stage: str = ""
    rule: str = ""
    method: str = ""
    """Step that drops the page: url, exact or minhash."""
    cluster: str = ""
    """Pages with the same name here are duplicates of each other."""
    of: str = ""
    """URL of the page that stays for this one."""
    error: str = ""
    language: str = ""
    pii: Mapping[str, int] = MappingProxyType({})
    """Counts by kind; of the kept pages without the field, none has any."""


class Planned(NamedTuple):
    """One response or revisit record."""

    url: str
    body: bytes
    expected: Expected
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/html; charset=utf-8"),)
    mime: str = "text/html"
    record_type: Literal["response", "revisit"] = "response"
    wound: Literal["", "short_block", "cut_member", "flipped_bits"] = ""
    """What is done to the record after it was compressed."""


def row(planned: Planned, offset: int) -> dict[str, Any]:
    """The line of expected.jsonl; `offset` in bytes of the compressed file."""
    fields = {name: value for name, value in planned.expected._asdict().items() if value}
    return {"url": planned.url, "offset": offset, **fields}


def charset_label(site: Site, language: str) -> str:
    """What the page's own markup says its charset is; empty when it says nothing."""
    if site.declared == "wrong_meta":
        return _WRONG_META_BY_LANGUAGE.get(language, _WRONG_META[site.encoding])
    return site.encoding if site.declared in ("meta", "both") else ""


def meta_tag(label: str, layout: str) -> str:
    """A charset declaration in the style of the layout; empty for an empty label."""
    if not label:
        return ""
    if layout == "old":
        return f'<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset={label}">'
    return f'<meta charset="{label}">'


def content_type(encoding: str, declared: Declared) -> str:
    """The Content-Type header of a page."""
    named = declared in ("header", "both", "wrong_meta")
    return f"text/html; charset={encoding}" if named else "text/html"


def site_of(article: Article, siblings: Sequence[Article]) -> Site:
    """The articles of a file go round its hosts in turn."""
    sites = SITES[article.source]
    return sites[[other.slug for other in siblings].index(article.slug) % len(sites)]


def address(site: Site, slug: str) -> str:
    """The URL of an article."""
    return f"https://{site.host}/{slug}" + (".htm" if site.layout == "old" else "")


def html_of(article: Article, site: Site, related: Sequence[Article]) -> str:
    """The page as text, in the site's layout."""
    charset = meta_tag(charset_label(site, article.language), site.layout)
    return LAYOUTS[site.layout](_typeset(article, site), site.name, charset, related)


def encoded(html: str, site: Site) -> bytes:
    """The page as bytes, in the site's encoding."""
    body = html.encode(site.encoding)
    return b"\xef\xbb\xbf" + body if site.declared == "bom" else body


def page(
    article: Article,
    siblings: Sequence[Article],
    expected: Expected,
    *,
    site: Site | None = None,
    url: str = "",
) -> Planned:
    """An article as a page of its site.

    Args:
        article: the text.
        siblings: the articles of its file, among which the related ones are found.
        expected: its intended end.
        site: the host, when it is not the article's own.
        url: the address, when it is not the article's own on that host.
    """
    site = site or site_of(article, siblings)
    others = [other for other in siblings if other.slug != article.slug]
    start = len(article.slug) % max(1, len(others))
    related = (others[start:] + others[:start])[:RELATED]
    return Planned(
        url or address(site, article.slug),
        encoded(html_of(article, site, related), site),
        expected,
        headers=(("Content-Type", content_type(site.encoding, site.declared)),),
    )


def _typeset(article: Article, site: Site) -> Article:
    """English in windows-1252 is set with curly quotes, so that its bytes are not mere ASCII."""
    if article.language != "en" or site.encoding != "windows-1252":
        return article
    blocks = tuple(
        block._replace(text=block.text.replace("'", "’").replace(' "', " “").replace('"', "”"))
        for block in article.blocks
    )
    return article._replace(blocks=blocks)
