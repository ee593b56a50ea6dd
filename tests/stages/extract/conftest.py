"""Real pages for the extractors."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.warc_pages import HtmlPage, dev_warcs, read_pages


@pytest.fixture(scope="session")
def real_pages(shared_data: Path) -> list[HtmlPage]:
    """Every twentieth of the 1,849 pages."""
    pages = [page for warc in dev_warcs(shared_data) for page in read_pages(warc)]
    return pages[::20]
