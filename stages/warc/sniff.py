"""What a file is, from its first bytes and never from its name."""

from __future__ import annotations

import re
import zlib

from stages.warc.headers import Header, Malformed, read_header
from stages.warc.window import Window

HEAD_BYTES = 8192
"""Enough of a file for `sniff`."""

GZIP_MAGIC = b"\x1f\x8b\x08"
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|\?xml|head|body|error)", re.IGNORECASE)
_PREFIXES = {b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"PAR1": "parquet"}


def record_kind(content: bytes) -> str:
    """`warc` or `arc` when uncompressed bytes begin with a record, otherwise an empty string."""
    pieces = iter((content,))
    header = read_header(Window(lambda: next(pieces, b"")), 0)
    if isinstance(header, Header):
        return header.source
    return "warc" if isinstance(header, Malformed) else ""


def member_content(head: bytes, max_bytes: int = HEAD_BYTES) -> bytes | None:
    """The first bytes inside the gzip member that begins `head`; None when it is not one."""
    if not head.startswith(GZIP_MAGIC):
        return None
    try:
        return zlib.decompressobj(wbits=31).decompress(head, max_bytes)
    except zlib.error:
        return None


def sniff(head: bytes) -> str:
    """The kind of a file by its first bytes (give it HEAD_BYTES of them).

    One of `warc`, `arc` (plain), `warc.gz`, `arc.gz`, `gzip` (other content), `zstd`, `zip`,
    `bzip2`, `parquet`, `markup`, `empty`, `unknown`. Never raises.
    """
    if not head:
        return "empty"
    if head.startswith(GZIP_MAGIC):
        content = member_content(head)
        kind = record_kind(content.lstrip(b"\r\n")) if content else ""
        return f"{kind}.gz" if kind else "gzip"
    for prefix, name in _PREFIXES.items():
        if head.startswith(prefix):
            return name
    if _MARKUP.match(head):
        return "markup"
    return record_kind(head.lstrip(b"\r\n")) or "unknown"
