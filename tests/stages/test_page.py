"""Which records are pages, and what their type is."""

from __future__ import annotations

import pytest

from schemas.page import Page
from schemas.recipe import PageGate
from stages.page import check_page, effective_mime
from tests.builders.pages import html_page

HTML = b"<!DOCTYPE html><html><body>Hello</body></html>"


def page(**changes: object) -> Page:
    return html_page(HTML, **changes)


@pytest.mark.parametrize(
    ("changes", "mime"),
    [
        ({}, "text/html"),
        ({"content_type": "TEXT/HTML;charset=x"}, "text/html"),
        ({"content_type": "text/html", "body": b"%PDF-1.7 ..."}, "application/pdf"),
        ({"content_type": "", "mime": "application/xhtml+xml"}, "application/xhtml+xml"),
        ({"content_type": ""}, "text/html"),
        ({"content_type": "", "body": b"just words"}, "unknown"),
        ({"content_type": "application/octet-stream"}, "text/html"),
        ({"content_type": "application/json", "body": b"{}"}, "application/json"),
        # Libmagic-style identification is not believed over the server.
        ({"mime": "application/xml"}, "text/html"),
    ],
)
def test_effective_mime(changes: dict[str, object], mime: str) -> None:
    assert effective_mime(page(**changes)) == mime


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"http_status": 404}, "page.status"),
        ({"http_status": 301}, "page.status"),
        ({"http_status": 0, "record_type": "resource"}, None),
        ({"record_type": "revisit", "body": b""}, "page.revisit"),
        ({"body": b""}, "page.empty"),
        ({"body": b" \n\t "}, "page.empty"),
        ({"content_type": "image/png"}, "page.mime"),
        ({"body": HTML * 100}, "page.too_large"),
        ({"text": "extracted before", "http_status": 0, "content_type": "text/plain"}, None),
        ({"text": "  "}, "page.empty"),
    ],
)
def test_check_page(changes: dict[str, object], rule: str | None) -> None:
    candidate = page(**changes)
    gate = PageGate(max_body_bytes=1000)
    rejection = check_page(candidate, effective_mime(candidate), gate)
    assert (rejection.rule if rejection else None) == rule
