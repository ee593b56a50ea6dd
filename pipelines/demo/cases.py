"""The pages that are planted: duplicates, spam, blocked addresses, broken records and the like."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence

from pipelines.demo.articles import Article, Block
from pipelines.demo.plan import Expected, Planned, address, page, site_of
from pipelines.demo.sites import SITES

Library = Mapping[str, Sequence[Article]]
"""Stem of a file -> its articles."""

PII: dict[str, dict[str, int]] = {
    "pii-allotments": {"email": 2, "phone": 2},
    "pii-lodge": {"email": 1, "credit_card": 2, "iban": 1},
    "pii-network": {"ip": 3},
    "de-pii": {"email": 1, "phone": 1, "iban": 1},
    "fr-pii": {"email": 1, "phone": 1, "iban": 1},
    "es-pii": {"email": 2, "iban": 1},
    "zh-pii": {"email": 1, "phone": 1},
}

_REPETITION = "gopher_repetition."
_REJECTED: dict[str, tuple[str, str]] = {
    "thin-opening": ("thin page", "gopher_quality.words_min"),
    "thin-photo": ("thin page", "gopher_quality.words_min"),
    "thin-moved": ("thin page", "gopher_quality.words_min"),
    "thin-soon": ("thin page", "gopher_quality.words_min"),
    "login": ("login wall", "gopher_quality.words_min"),
    "spam-watches": ("keyword spam", _REPETITION + "top_2gram"),
    "spam-loans": ("keyword spam", _REPETITION + "top_2gram"),
    "repeated-lines": ("repeated lines", _REPETITION + "dup_line"),
    "symbols": ("numbers and symbols", "gopher_quality.alpha_words"),
}
"""Slug -> (case, the rule that rejects it)."""

_KEPT_CASES = {
    "lookalikes": "numbers that only look like personal data",
    "policy-lines": "lines that C4 would drop",
    "braces": "code in braces, which C4 would reject",
    "lorem": "a paragraph of lorem ipsum, for which C4 would reject it",
}

_BLOCKED = (
    ("https://www.bluecoincasino.com/garden-notes", "url.domain", "wild-garlic"),
    ("http://blueberryoasis.net/reading", "url.domain", "museum-labels"),
    ("http://bookdjlvpvod.blogspot.com/2019/03/clock.html", "url.domain", "clock-pendulum"),
    ("http://aa-mobile.de/question", "url.url", "speech-short"),
    ("https://films.example/blowjob/notes.html", "url.hard_word", "radio-drama"),
    ("https://pictures.example/erotic-webcam/7", "url.soft_words", "moth-trap"),
)
"""Harmless texts under addresses on FineWeb's lists: (URL, rule, article)."""

_UTM = (
    ("watering-beans", "utm_source=letter&utm_medium=email"),
    ("first-loaf", "utm_campaign=spring&utm_source=feed"),
    ("tides-explained", "fbclid=IwAR0demo"),
    ("zh-tea", "utm_source=weixin&utm_medium=social"),
    ("de-brot", "gclid=demo-click"),
    ("rook-endings", "utm_term=chess"),
)
_COPIES = (
    ("honey-crystals", "print/honey-crystals"),
    ("moon-phases", "archive/2026/moon-phases"),
    ("fr-pain", "imprimer/fr-pain"),
    ("storm-diary", "reader/77/storm-diary"),
    ("ru-dacha", "arhiv/12/ru-dacha"),
)
_NEAR: dict[str, tuple[str, ...]] = {
    "hedgehog-highway": ("Updated in March.",),
    "knots-five": ("First printed in our spring issue.", "Readers have asked for this again."),
    "skelby-harbour": ("Corrected.", "Corrected twice.", "With thanks to the record office."),
    "budget-jars": ("Reprinted with permission of the author.",),
    "de-sternwarte": ("Stand: März.", "Nachdruck erwünscht."),
    "es-tren": ("Publicado en marzo.",),
    "zh-dumplings": ("本文有删改。",),
}
"""Slug -> what each further copy has at its end; the longest copy stays."""


def planted(library: Library) -> Iterator[Planned]:
    """Every planted page."""
    yield from _own_texts(library)
    yield from _blocked(library)
    yield from _tracked(library)
    yield from _copied(library)
    yield from _nearly_copied(library)
    yield from _grown(library)
    yield from _transfers(library)
    yield from _not_pages(library)
    yield from _walls()
    yield from _wounded(library)


def duplicated_slugs() -> dict[str, str]:
    """Slug of each article that has duplicates elsewhere -> name of the cluster."""
    tied = {slug: f"url {slug}" for slug, _ in _UTM} | {
        slug: f"exact {slug}" for slug, _ in _COPIES
    }
    return tied | {slug: f"minhash {slug}" for slug in _NEAR}


def original(article: Article, siblings: Sequence[Article]) -> Expected:
    """The end of an ordinary article, which may have duplicates among the planted pages."""
    cluster = duplicated_slugs().get(article.slug, "")
    if not cluster:
        return Expected("article", language=article.language)
    if article.slug in _NEAR:
        longest = _near_url(article, siblings, len(_NEAR[article.slug]) - 1)
        return Expected(
            "near duplicate", "duplicate", method="minhash", cluster=cluster, of=longest
        )
    return Expected("exact duplicate", "one_of", method=cluster.split()[0], cluster=cluster)


def _find(library: Library, slug: str) -> tuple[Article, Sequence[Article]]:
    for siblings in library.values():
        for article in siblings:
            if article.slug == slug:
                return article, siblings
    raise KeyError(slug)


def _own_texts(library: Library) -> Iterator[Planned]:
    for source in ("en_cases", "de_cases", "fr_cases", "es_cases", "zh_cases"):
        for article in library[source]:
            language = article.language
            if article.slug in PII:
                counts = PII[article.slug]
                expected = Expected("personal data", language=language, pii=counts)
            elif article.slug in _KEPT_CASES:
                expected = Expected(_KEPT_CASES[article.slug], language=language)
            elif article.slug == "caps":
                # The classifier was trained on ordinary text and makes little of capitals.
                expected = _rejected_by("language.score", "all capitals")
            else:
                continue
            yield page(article, library[source], expected)
    for article in library["en_rejected"]:
        case, rule = _REJECTED[article.slug]
        expected = Expected(case, "rejected", stage="quality", rule=rule)
        yield page(article, library["en_rejected"], expected)


def _blocked(library: Library) -> Iterator[Planned]:
    for url, rule, slug in _BLOCKED:
        article, siblings = _find(library, slug)
        expected = Expected("blocked address", "rejected", stage="url", rule=rule)
        yield page(article, siblings, expected, url=url)


def _tracked(library: Library) -> Iterator[Planned]:
    for slug, query in _UTM:
        article, siblings = _find(library, slug)
        url = address(site_of(article, siblings), slug) + "?" + query
        expected = Expected("tracking address", "one_of", method="url", cluster=f"url {slug}")
        yield page(article, siblings, expected, url=url)


def _copied(library: Library) -> Iterator[Planned]:
    for slug, path in _COPIES:
        article, siblings = _find(library, slug)
        url = f"https://{site_of(article, siblings).host}/{path}"
        expected = Expected(
            "same content elsewhere", "one_of", method="exact", cluster=f"exact {slug}"
        )
        yield page(article, siblings, expected, url=url)


def _near_url(article: Article, siblings: Sequence[Article], number: int) -> str:
    host = site_of(article, siblings).host.removeprefix("www.").removesuffix(".example")
    return f"https://mirror-{number + 1}.{host}.example/{article.slug}"


def _nearly_copied(library: Library) -> Iterator[Planned]:
    for slug, endings in _NEAR.items():
        article, siblings = _find(library, slug)
        longest = _near_url(article, siblings, len(endings) - 1)
        for number in range(len(endings)):
            # Every copy has the additions of those before it, so the last is the longest.
            *blocks, last = article.blocks
            longer = last._replace(text=" ".join((last.text, *endings[: number + 1])))
            copy = article._replace(blocks=(*blocks, longer))
            url = _near_url(article, siblings, number)
            kept = number == len(endings) - 1
            expected = Expected(
                "near duplicate",
                "kept" if kept else "duplicate",
                method="minhash",
                cluster=f"minhash {slug}",
                of="" if kept else longest,
                language=article.language if kept else "",
            )
            site = site_of(article, siblings)._replace(layout="blog")
            yield page(copy, siblings, expected, site=site, url=url)


def _grown(library: Library) -> Iterator[Planned]:
    """One page crawled twice under the two spellings of its address; the second time longer."""
    article, siblings = _find(library, "grown-page")
    site = SITES["en_cases"][0]
    longer = "In September we went again, and found nine more, of which one was a tomato."
    grown = article._replace(blocks=(*article.blocks, Block("paragraph", longer)))
    of = f"https://{site.host}/grown-page"
    expected = Expected(
        "crawled twice, then longer", "duplicate", method="url", cluster="url grown-page", of=of
    )
    url = f"http://{site.host.removeprefix('www.')}/grown-page/"
    yield page(article, siblings, expected, url=url)
    kept = Expected(
        "crawled twice, then longer", method="url", cluster="url grown-page", language="en"
    )
    yield page(grown, siblings, kept, url=of)


def _transfers(library: Library) -> Iterator[Planned]:
    for slug in ("gzip-page", "chunked-page"):
        article, siblings = _find(library, slug)
        plain = page(article, siblings, Expected(f"{slug.split('-')[0]} transfer", language="en"))
        if slug == "gzip-page":
            body = gzip.compress(plain.body, mtime=0)
            extra = ("Content-Encoding", "gzip")
        else:
            body = b"".join(
                b"%x\r\n%s\r\n" % (len(part), part)
                for part in (plain.body[i : i + 500] for i in range(0, len(plain.body), 500))
            )
            body += b"0\r\n\r\n"
            extra = ("Transfer-Encoding", "chunked")
        yield plain._replace(body=body, headers=(*plain.headers, extra))


def _rejected_by(rule: str, case: str) -> Expected:
    return Expected(case, "rejected", stage=rule.split(".")[0], rule=rule)


def _not_pages(library: Library) -> Iterator[Planned]:
    base = "https://files.skelby-notices.example"

    def other(name: str, mime: str, body: bytes) -> Planned:
        expected = _rejected_by("page.mime", f"no HTML: {mime}")
        return Planned(
            f"{base}/{name}", body, expected, headers=(("Content-Type", mime),), mime=mime
        )

    yield other("tides.pdf", "application/pdf", _PDF)
    yield other("gauge.json", "application/json", b'{"gauge": "Ouzel 3", "level_m": [1.2, 1.4]}')
    yield other("dot.png", "image/png", _PNG)
    yield other("site.css", "text/css", b"body { margin: 2em } h1 { color: #234 }\n")
    yield other("rota.txt", "text/plain", b"Monday: Peg. Tuesday: Osric. Wednesday: nobody.\n")
    article, siblings = _find(library, "letter-council")
    missing = page(article, siblings, _rejected_by("page.status", "404 with a whole page"))
    yield missing._replace(url=f"{base}/gone", status="404 Not Found")
    yield Planned(
        f"{base}/old-name",
        b"<html><body><a href='/new-name'>Moved</a></body></html>",
        _rejected_by("page.status", "redirect"),
        status="301 Moved Permanently",
        headers=(("Content-Type", "text/html"), ("Location", f"{base}/new-name")),
    )
    yield Planned(f"{base}/empty", b"", _rejected_by("page.empty", "empty body"), mime="")
    revisited = page(*_find(library, "leaf-mould"), _rejected_by("page.revisit", "revisit"))
    yield revisited._replace(record_type="revisit")


def _walls() -> Iterator[Planned]:
    """Pages that hold markup and next to no text."""
    site = SITES["en_rejected"][0]
    links = "".join(
        f'<li><a href="/c/{number}">{colour} {thing}</a></li>'
        for number, (colour, thing) in enumerate(
            (colour, thing)
            for colour in ("Red", "Green", "Blue", "White", "Black", "Striped")
            for thing in ("hats", "gloves", "scarves", "boots", "belts", "socks", "ties", "coats")
        )
    )
    menu = f"<html><head><title>Shop</title></head><body><nav><ul>{links}</ul></nav></body></html>"
    expected = Expected("huge menu", "rejected", stage="quality", rule="gopher_quality.stop_words")
    yield Planned(f"https://{site.host}/departments", menu.encode(), expected)
    script = (
        "<html><head><title>App</title><script>start({root: 'app'})</script></head>"
        "<body><div id='app'></div></body></html>"
    )
    expected = _rejected_by("extract.empty", "script only")
    yield Planned(f"https://{site.host}/app", script.encode(), expected)


def _wounded(library: Library) -> Iterator[Planned]:
    for wound, slug, error in (
        ("short_block", "thunder-distance", "truncated"),
        ("cut_member", "wool-spinning", "corrupt_member"),
        ("flipped_bits", "ferry-delays", "corrupt_member"),
    ):
        article, siblings = _find(library, slug)
        expected = Expected(f"broken record: {wound}", "error", error=error)
        site = site_of(article, siblings)
        broken = page(article, siblings, expected, url=f"https://{site.host}/broken/{slug}")
        yield broken._replace(wound=wound)  # type: ignore[arg-type]


_PDF = (
    b"%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n"
    b"2 0 obj << /Type /Pages /Kids [] /Count 0 >> endobj\n"
    b"trailer << /Root 1 0 R >>\n%%EOF\n"
)
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)
