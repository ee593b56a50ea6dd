"""Compare stages.url with datatrove's URLFilter, decision by decision, and time both.

Usage, from the repository, in an environment with the package and its dependencies installed:

    python benchmarks/url_against_datatrove.py FILE...

Each FILE is a WARC (its target URIs are taken), or a text file with one URL or domain a line,
optionally gzip (entries without a scheme get `http://`). URLs made from the wheel's own lists are
always added: every 50th domain under several spellings, every URL with and without `www.`, and
paths built from the word lists. datatrove 0.10.1 itself is imported, with its caches in a
temporary folder and its download of a suffix list switched off.

Prints the table of decisions, each kind of difference with its explanation and examples, and CPU
time a URL. Exits with 1 when a difference has no explanation.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from schemas.recipe import UrlFilter
from stages.url import Blocklist, UrlRules, host_of
from stages.url.address import ENCLOSING
from stages.url.domains import suffixes_of
from stages.url.fineweb import FinewebLists

SETTINGS = UrlFilter(blocklist="fineweb", hard_words=True, soft_words_min=2, substrings=True)
NAMES = {
    "domain": "url.domain",
    "subdomain": "url.domain",
    "url": "url.url",
    "hard_blacklisted": "url.hard_word",
    "soft_blacklisted": "url.soft_words",
    "blacklisted_subword": "url.substring",
}
PASS = "pass"
EXPLAINED = {
    "ip": "IP addresses are listed, but datatrove looks up registered domains and FQDNs only",
    "suffix": "public suffixes (xxx, porn, sex.pl) are listed, but datatrove never looks one up",
    "scheme": "the URL list has no schemes, datatrove compares whole URLs",
    "host spelling": "datatrove compares the host as written, here lower case, punycode, no user",
}


def urls_of(path: Path) -> Iterator[str]:
    if ".warc" in path.name:
        types = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion
        with path.open("rb") as file:
            for record in ArchiveIterator(file, parse_http=False, record_types=types):
                yield (record.headers.get("WARC-Target-URI") or "").strip(ENCLOSING)
        return
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    for entry in map(str.strip, text.split("\n")):
        if entry and not entry.startswith("#"):
            yield entry if "://" in entry else "http://" + entry


def made_urls() -> Iterator[str]:
    lists = FinewebLists()
    for name, entries, _ in lists.entries():
        for entry in (entry.decode() for entry in entries[:: 50 if name == "domains" else 1]):
            yield f"http://{entry}"
            yield f"https://www.{entry}"
            if name == "domains":
                yield f"https://{entry}:8443/a/b?c=d#e"
                yield f"http://{entry.upper()}/"
                yield f"http://user:word@{entry}/"
                yield f"http://{entry}./index.html"
                yield f"http://not-{entry}/"
    words = lists.words()
    soft = sorted(words.soft)
    for word in sorted(words.hard | words.soft | words.substrings):
        for spelling in (word, word.upper(), word.capitalize(), "-".join(word)):
            yield f"http://example.org/a/{spelling}/b.html"
            yield f"http://example.org/a{spelling}b.html"
            yield f"http://{spelling}.example.org/"
    for first, second in pairwise(soft):
        yield f"http://example.org/{first}_{second}"
        yield f"http://example.org/{first}{second}"
        yield f"http://example.org/{first}/{first}"


def explanation(url: str, ours: str, detail: str, theirs: Callable[[str], str]) -> str | None:
    if ours == "url.url":
        return "scheme"
    host = host_of(url)
    if ours == "url.domain" and detail == suffixes_of(host).public:
        return "suffix"
    if ours == "url.domain" and not suffixes_of(host).public:
        return "ip"
    tail = url.partition("://")[2].partition("/")[2]
    return "host spelling" if theirs(f"http://{host}/{tail}") == ours else None


def load_datatrove(folder: str) -> Callable[[str], str]:
    os.environ["HF_ASSETS_CACHE"] = folder
    os.environ["TLDEXTRACT_CACHE"] = folder
    os.environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] = ""
    warnings.simplefilter("ignore", DeprecationWarning)
    from datatrove.data import Document
    from datatrove.pipeline.filters.url_filter import URLFilter

    url_filter = URLFilter()

    def decide(url: str) -> str:
        result = url_filter.filter(Document(text="", id="", metadata={"url": url}))
        return PASS if result is True else NAMES[result[1]]

    decide("http://example.org/")
    return decide


def main() -> int:
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return 0
    given = [url for name in sys.argv[1:] for url in urls_of(Path(name)) if url]
    urls = [*given, *made_urls()]
    with tempfile.TemporaryDirectory() as folder:
        blocklist = Blocklist.build(folder)
        rules = UrlRules(SETTINGS, blocklist)
        theirs = load_datatrove(folder)
        clock = time.process_time()
        found = [rules.check(url) for url in urls]
        ours_seconds = time.process_time() - clock
        clock = time.process_time()
        expected = [theirs(url) for url in urls]
        theirs_seconds = time.process_time() - clock
    table: Counter[tuple[str, str]] = Counter()
    differences: dict[str | None, list[str]] = defaultdict(list)
    for number, (url, rejection, reason) in enumerate(zip(urls, found, expected, strict=True)):
        rule = rejection.rule if rejection else PASS
        table[rule, reason] += 1
        if rule != reason:
            why = explanation(url, rule, rejection.detail if rejection else "", theirs)
            where = "given" if number < len(given) else "made"
            differences[why].append(f"{where}  {rule} / {reason}  {url}")
    print(f"{len(given)} URLs given, {len(urls) - len(given)} made")
    print(f"CPU a URL: corpusmill {ours_seconds / len(urls) * 1e6:.1f} us,", end=" ")
    print(f"datatrove {theirs_seconds / len(urls) * 1e6:.1f} us")
    print(f"{'corpusmill':20}{'datatrove':20}{'URLs':>8}")
    for (rule, reason), count in sorted(table.items()):
        print(f"{rule:20}{reason:20}{count:8}")
    for why, examples in differences.items():
        from_files = sum(line.startswith("given") for line in examples)
        print(f"{len(examples)} differ ({from_files} of the given): ", end="")
        print(EXPLAINED[why] if why else "UNEXPLAINED")
        for line in examples[:3] if why else examples[:50]:
            print("   ", line)
    return 1 if None in differences else 0


if __name__ == "__main__":
    sys.exit(main())
