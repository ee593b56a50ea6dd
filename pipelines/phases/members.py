"""The records of deduplication: a document's keys, its way through the steps, its verdict."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import xxhash

from schemas.errors import InputError, UsageError


class Key(NamedTuple):
    """One kept document as phase 1 describes it: the columns of schemas.tables.KEY_V1."""

    id: str
    segment: str
    row: int
    warc_file: str
    warc_offset: int
    date: str
    n_chars: int
    language_score: float
    url_key: int
    content_hash: str
    bands: bytes


class ClusterRow(NamedTuple):
    """The verdict on one document that has duplicates: the columns of CLUSTER_V1."""

    id: str
    cluster_id: str
    """The id of the document that stays for all of the cluster."""
    cluster_size: int
    """Documents in the cluster, the one that stays included."""
    method: str
    """Dropped: the step that dropped it. Kept: the last step in which it won."""
    kept: bool
    segment: str
    row: int
    warc_file: str
    warc_offset: int


class Member(NamedTuple):
    """A document between two steps. It crosses shuffles as a plain tuple (`tuple(member)`),
    which Beam encodes natively; a NamedTuple would be pickled."""

    uid: bytes
    """16 bytes over (segment, row), which are unique even when a record is read twice."""
    value: float
    """What the keep policy looks at; the least wins."""
    id: str
    warc_file: str
    warc_offset: int
    segment: str
    row: int
    url_key: bytes
    """8 bytes; empty: no URL."""
    content_key: bytes
    """16 bytes; empty: unknown. A dropped document carries that of the one it was dropped for,
    and so follows it into the next step."""
    bands: bytes
    node: bytes
    """uid of the document that stands for this one: its own while nothing dropped it."""
    size: int
    """Documents that `node` stands for so far, itself included."""
    method: str
    """The last step in which this document met a duplicate; empty: none yet."""
    dropped: bool


def _newest(key: Key) -> float:
    # A date as written may be cut or carry fractions; digits in order compare as the dates do.
    if not re.match(r"\d{4}", key.date):
        return 0.0
    return -float(re.sub(r"\D", "", key.date)[:14].ljust(14, "0"))


def _best_score(key: Key) -> float:
    return -key.language_score if key.language_score == key.language_score else float("inf")


POLICIES: dict[str, Callable[[Key], float]] = {
    "longest": lambda key: float(-key.n_chars),
    "newest": _newest,
    "best_score": _best_score,
    "least_id": lambda key: 0.0,
}
"""`dedup.keep` -> what makes a document worth keeping, least first. Unreadable dates count as
oldest, a score that is not a number as worst."""


def policy_of(name: str) -> Callable[[Key], float]:
    """The policy by name. Raises UsageError that names the known ones."""
    try:
        return POLICIES[name]
    except KeyError:
        known = ", ".join(POLICIES)
        raise UsageError(f"dedup.keep: {name} is not known; use one of {known}") from None


def member_of(key: Key, policy: str, bands: int) -> Member:
    """A document before the first step.

    Args:
        key: the document.
        policy: name of the keep policy.
        bands: how many band hashes the recipe makes; 0 leaves them behind.

    Raises:
        InputError: the band hashes were made with other settings.
    """
    if bands and len(key.bands) not in (0, 8 * bands):
        raise InputError(
            f"document {key.id} of {key.segment} has {len(key.bands) // 8} MinHash bands, the "
            f"recipe {bands}: its keys come from another recipe; extract again"
        )
    uid = xxhash.xxh3_128_digest(f"{key.segment}\0{key.row}".encode())
    return Member(
        uid=uid,
        value=POLICIES[policy](key),
        id=key.id,
        warc_file=key.warc_file,
        warc_offset=key.warc_offset,
        segment=key.segment,
        row=key.row,
        url_key=key.url_key.to_bytes(8, "big") if key.url_key else b"",
        content_key=bytes.fromhex(key.content_hash),
        bands=key.bands if bands else b"",
        node=uid,
        size=1,
        method="",
        dropped=False,
    )


def rank(plain: tuple[Any, ...]) -> tuple[Any, ...]:
    """The total order of the keep policy over members: those still in play first, then by the
    policy's value, then by id, file, offset, segment and row."""
    member = Member(*plain)
    return (
        member.dropped,
        member.value,
        member.id,
        member.warc_file,
        member.warc_offset,
        member.segment,
        member.row,
    )
