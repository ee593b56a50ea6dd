"""Pages as the WARC reader hands them on."""

from __future__ import annotations

from schemas.page import Page


def html_page(html: str | bytes, **changes: object) -> Page:
    """A page of this HTML, answered with status 200; any field can be set."""
    page = Page(
        url="https://harbour.example/history",
        date="2024-01-01T00:00:00Z",
        warc_file="a.warc.gz",
        warc_offset=0,
        warc_length=10,
        record_id="<urn:uuid:1>",
        record_type="response",
        source="warc",
        http_status=200,
        content_type="text/html; charset=utf-8",
        mime="",
        body=html.encode() if isinstance(html, str) else html,
    )
    return page._replace(**changes)  # type: ignore[arg-type]


def article_page(paragraphs: tuple[str, ...] | list[str], **changes: object) -> Page:
    """A page whose main content is these paragraphs."""
    body = "".join(f"<p>{p}</p>" for p in paragraphs)
    return html_page(
        f"<html><head><title>Harbour</title></head><body><article>{body}</article></body></html>",
        **changes,
    )
