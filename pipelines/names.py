"""What inputs are called: which file a path means, and how it is named in what a run leaves."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import xxhash

WEB = ("http://", "https://")

_SIGNATURES = frozenset(("signature", "sig", "x-amz-signature", "x-goog-signature"))
"""Query keys, in lower case, that make a URL a signed one."""
_SIGNING_PREFIXES = ("x-amz-", "x-goog-")
_SIGNING = _SIGNATURES | {"expires", "awsaccesskeyid", "googleaccessid"}
_SIGNING |= {"key-pair-id", "policy", "hash-algorithm"}
_SIGNING |= {"sv", "ss", "srt", "sr", "sp", "se", "st", "spr", "sip"}
_SIGNING |= {"skoid", "sktid", "skt", "ske", "sks", "skv"}
"""What signing adds to a query: S3 (signature versions 2 and 4), Google Cloud Storage, CloudFront,
and Azure shared access signatures, by their documentation."""


def is_remote(path: str) -> bool:
    """Whether a path names a store rather than a local file."""
    return "://" in path


def identity_of(path: str) -> str:
    """The same for every spelling of a local file, its absolute path without links, and for a URL
    however it is signed."""
    if path.startswith(WEB):
        return _unsigned(path)
    return path if is_remote(path) else os.path.realpath(path)


def _unsigned(url: str) -> str:
    """A URL without credentials and without what signing it added."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if _SIGNATURES.isdisjoint(key.lower() for key, _ in pairs):
        query = parts.query
    else:
        query = urlencode([pair for pair in pairs if not _signs(pair[0].lower())])
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def _signs(key: str) -> bool:
    return key in _SIGNING or key.startswith(_SIGNING_PREFIXES)


def place_of(path: str) -> str:
    """The absolute path, links and all, by which inputs are put in order."""
    return path if is_remote(path) else os.path.abspath(path)


def shown(path: str) -> str:
    """A path to write down or to print: of a URL, neither credentials nor the query, which in a
    signed URL is the key to the file; of a local name, no bytes that are not UTF-8."""
    if path.startswith(WEB):
        parts = urlsplit(path)
        path = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def written(path: str) -> str:
    """A path as files of a run may hold it: a URL as it is shown, anything else as it is."""
    return shown(path) if path.startswith(WEB) else path


def base_name(path: str) -> str:
    """The last part of a path or URL, as it is shown."""
    return shown(path).rsplit("/", 1)[-1]


def labels_of(paths: Iterable[str]) -> dict[str, str]:
    """The name of each of the paths in documents and errors: its base name, with as many of the
    folders above as tell it from the others (d1/x.warc.gz, d2/x.warc.gz).

    URLs that differ in their query alone get a hash of it.
    """
    parts = {path: shown(place_of(path)).split("/") for path in paths}
    labels: dict[str, str] = {}
    depth = 1
    while left := [path for path in parts if path not in labels]:
        tails = {path: "/".join(parts[path][-depth:]) for path in left}
        counts = Counter(tails.values())
        for path, tail in tails.items():
            if counts[tail] == 1:
                labels[path] = tail
            elif depth >= len(parts[path]):
                identity = identity_of(path).encode("utf-8", "surrogateescape")
                digest = xxhash.xxh64_hexdigest(identity)
                labels[path] = f"{parts[path][-1]}#{digest[:8]}"
        depth += 1
    return {path: labels[path] for path in parts}
