"""Undoing HTTP transfer and content encodings, and saying so where they are broken."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

import brotli

MAX_BODY_BYTES = 64 << 20
"""Largest decoded body: a few KB of gzip can hold gigabytes."""

_CHUNK_LINE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
"""Chunk size and ignored extensions: RFC 9112, section 7.1; a bare LF is accepted."""
_LOOKS_READ = re.compile(rb"(?:\xef\xbb\xbf)?[\s\x20-\x7e]{4}")
"""Text, and so nothing compressed."""
_TRIAL_BYTES = 16


class Body(NamedTuple):
    """A payload; `damage` is empty or says why it is not whole."""

    content: bytes
    damage: str = ""


def unchunk(raw: bytes) -> Body:
    """Undo chunked transfer encoding.

    Bytes that do not begin with a chunk are the body itself: many crawlers remove the chunks and
    keep the header. When a later chunk is malformed the rest is kept as it is, and reported.
    """
    parts: list[bytes] = []
    at = 0
    while True:
        line = _CHUNK_LINE.match(raw, at)
        if line is None:
            break
        size = int(line[1], 16)
        begin, end = line.end(), line.end() + size
        if size == 0:
            return Body(b"".join(parts))
        if end > len(raw):
            if not parts and not raw.startswith(b"\r\n", end):
                # A first "chunk" longer than the body may as well be text such as "abc\n...".
                looks_chunked = size < 2 * len(raw)
                return Body(raw[begin:], "chunk_truncated") if looks_chunked else Body(raw)
            return Body(b"".join([*parts, raw[begin:]]), "chunk_truncated")
        parts.append(raw[begin:end])
        at = end
        if raw.startswith(b"\r\n", at):
            at += 2
        elif raw.startswith(b"\n", at):
            at += 1
        elif at < len(raw):
            return Body(b"".join([*parts, raw[at:]]), "bad_chunks")
    if not parts:
        return Body(raw)
    if at >= len(raw):
        return Body(b"".join(parts), "chunks_unterminated")
    return Body(b"".join([*parts, raw[at:]]), "bad_chunks")


def _inflate(raw: bytes, wbits: int, name: str) -> Body:
    """All members of a zlib-family stream; what came before an error is kept."""
    parts: list[bytes] = []
    room = MAX_BODY_BYTES
    while raw:
        inflater = zlib.decompressobj(wbits)
        try:
            piece = inflater.decompress(raw, room + 1)
        except zlib.error:
            return Body(b"".join([*parts, _inflate_prefix(raw, wbits, room)]), f"corrupt_{name}")
        parts.append(piece[:room])
        room -= len(piece)
        if room < 0:
            return Body(b"".join(parts), "body_too_large")
        if not inflater.eof:
            return Body(b"".join(parts), f"truncated_{name}")
        raw = inflater.unused_data
        if wbits != 31 or not raw.startswith(b"\x1f\x8b"):
            break
    return Body(b"".join(parts))


def _inflate_prefix(raw: bytes, wbits: int, room: int) -> bytes:
    """What a damaged stream yields before the error, found by feeding it in small pieces."""
    inflater = zlib.decompressobj(wbits)
    parts: list[bytes] = []
    for at in range(0, len(raw), _TRIAL_BYTES):
        try:
            piece = inflater.decompress(raw[at : at + _TRIAL_BYTES], room + 1)
        except zlib.error:
            break
        parts.append(piece)
        room -= len(piece)
        if room < 0:
            break
    return b"".join(parts)


def _gunzip(raw: bytes) -> Body:
    if not raw.startswith(b"\x1f\x8b"):
        return Body(raw)
    return _inflate(raw, 31, "gzip")


def _inflate_deflate(raw: bytes) -> Body:
    """`deflate` is the zlib format by RFC 9110, section 8.4.1.2; some servers send it raw."""
    wrapped = _inflate(raw, 15, "deflate")
    if wrapped.content or not wrapped.damage:
        return wrapped
    bare = _inflate(raw, -15, "deflate")
    if not bare.damage:
        return bare
    return Body(raw) if _LOOKS_READ.match(raw) else max(bare, wrapped, key=lambda b: len(b.content))


def _unbrotli(raw: bytes) -> Body:
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    room = MAX_BODY_BYTES
    damage = ""
    for at in range(0, len(raw), 4096):
        try:
            piece = decoder.process(raw[at : at + 4096], output_buffer_limit=room + 1)
        except brotli.error:
            damage = "corrupt_br"
            break
        parts.append(piece[:room])
        room -= len(piece)
        if room < 0:
            return Body(b"".join(parts), "body_too_large")
    else:
        damage = "" if decoder.is_finished() else "truncated_br"
    content = b"".join(parts)
    # Brotli has no magic number: undecodable bytes that read as text were decoded before.
    if damage and not content and _LOOKS_READ.match(raw):
        return Body(raw)
    return Body(content, damage)


DECODERS: dict[str, Callable[[bytes], Body]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate_deflate,
    "br": _unbrotli,
    "chunked": unchunk,
}
"""Coding name (Transfer-Encoding and Content-Encoding share them) -> decoder."""

_UNSUPPORTED = frozenset({"zstd", "compress", "x-compress", "dcb", "dcz", "sdch", "bzip2", "xz"})


def decode_body(raw: bytes, transfer_encoding: str, content_encoding: str) -> Body:
    """Undo both header values, last coding first. Names nobody registered ("utf-8", "none")
    change nothing; a body that turns out not to be encoded is taken as it is, as crawlers often
    decode and keep the header. Never raises."""
    body = Body(raw)
    names = f"{content_encoding},{transfer_encoding}".lower().split(",")
    for name in reversed([n.strip() for n in names]):
        if not body.content:
            break
        decoder = DECODERS.get(name)
        if decoder is not None:
            decoded = decoder(body.content)
            body = Body(decoded.content, body.damage or decoded.damage)
        elif name in _UNSUPPORTED and not _LOOKS_READ.match(body.content):
            body = Body(body.content, body.damage or f"unsupported_encoding_{name}")
    return body
