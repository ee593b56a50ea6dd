"""How steps, rules and settings of a run are said in words, on the page and on the card."""

from __future__ import annotations

from pipelines.report import formats
from schemas.recipe import Decontamination, Dedup, Extract, Language, Recipe, Rule
from stages.dedup import curve

STEP_MEANINGS = {
    "records": "records that may hold a page",
    "read": "could be read from the file",
    "page": "status, media type and size",
    "url": "address: lists and words",
    "decode": "characters could be decoded",
    "gate": "language before extraction",
    "extract": "main text was found",
    "language": "language of the text",
    "quality": "quality rules",
    "dedup.url": "another copy of the same URL stays",
    "dedup.exact": "another copy of the same text stays",
    "dedup.minhash": "a nearly equal text stays",
    "dedup": "another copy stays",
    "finish": "personal data could be replaced",
    "decontamination": "no text of a benchmark",
    "pack": "tokenized and packed",
}

_SIGNS = (("min", "≥"), ("above", ">"), ("max", "≤"), ("below", "<"))


def meaning(step: str) -> str:
    """What a step of the funnel looks at."""
    return STEP_MEANINGS.get(step, "")


def condition(rule: Rule) -> str:
    """What keeps a document: `gopher_quality.n_words ≥ 50`."""
    bounds = [
        f"{sign} {formats.number(value)}"
        for name, sign in _SIGNS
        if (value := getattr(rule, name)) is not None
    ]
    languages = f" ({', '.join(rule.languages)})" if rule.languages else ""
    return f"{rule.signal} {' and '.join(bounds)}{languages}"


def thresholds(rule: Rule) -> list[float]:
    """The bounds of a rule as numbers."""
    values = (getattr(rule, name) for name, _ in _SIGNS)
    return [value for value in values if value is not None]


def intake_settings(recipe: Recipe) -> list[tuple[str, str]]:
    """What a page must be before its text is looked at, as (what, setting)."""
    url = recipe.url
    checks = [
        f"the {url.blocklist} block list" if url.blocklist else "",
        "hard words" if url.hard_words else "",
        f"{url.soft_words_min} or more soft words" if url.soft_words_min is not None else "",
        "substrings" if url.substrings else "",
        "named high-quality sources" if url.exclude_quality_sources else "",
        *(f"{rule.sense} list of {rule.kind}" for rule in url.lists),
    ]
    return [
        ("HTTP status", ", ".join(map(str, recipe.page.statuses))),
        ("media types", ", ".join(recipe.page.mimes)),
        ("largest page", formats.size(recipe.page.max_body_bytes)),
        ("address checked for", ", ".join(filter(None, checks)) or "nothing"),
        ("extractor", f"{recipe.extract.name}, {_extraction(recipe.extract)}"),
        ("language", _language(recipe.language)),
    ]


def _extraction(settings: Extract) -> str:
    parts = [
        f"favours {settings.favor}",
        "fast" if settings.fast else "",
        "with comments" if settings.include_comments else "without comments",
        "with tables" if settings.include_tables else "without tables",
        "URLs removed" if settings.remove_urls else "",
    ]
    return ", ".join(filter(None, parts))


def _language(settings: Language) -> str:
    sign = "≥" if settings.inclusive else ">"
    if settings.keep is None:
        return f"{settings.model}, any language with a score {sign} {settings.threshold:g}"
    kept = ", ".join(f"{label} {sign} {score:g}" for label, score in settings.keep.items())
    return f"{settings.model}, only {kept or 'none'}"


def decontamination_settings(settings: Decontamination | None) -> list[tuple[str, str]]:
    """Decontamination as (what, setting); empty where there is none."""
    if settings is None:
        return []
    shared = (
        f"one n-gram of {settings.ngram} words in common"
        if not settings.share
        else f"more than {settings.share:.0%} of the words of one string of a record in common "
        f"n-grams of {settings.ngram} words"
    )
    shortest = min(settings.shortest, settings.ngram)
    return [
        ("a document was removed for", shared),
        ("compared as", "words in lower case, without punctuation"),
        (
            f"benchmark texts of {shortest} to {settings.ngram - 1} words",
            "looked for as a whole; shorter ones, and rows of numbers, were not looked for",
        ),
        (
            f"n-grams in more than {settings.most_records} records of a benchmark",
            "left out as its boilerplate",
        ),
    ]


def dedup_settings(settings: Dedup) -> list[tuple[str, str]]:
    """Deduplication as (what, setting)."""
    rows = [
        ("same normalised URL", "removed" if settings.url else "not looked for"),
        ("same text", "removed" if settings.exact else "not looked for"),
    ]
    minhash = settings.minhash
    if minhash is None:
        rows.append(("nearly the same text", "not looked for"))
    else:
        chance = curve.candidate_probability(curve.GUARD_JACCARD, minhash.bands, minhash.rows)
        rows += [
            (
                "nearly the same text",
                f"MinHash over {minhash.ngram}-word shingles, {minhash.bands} bands of "
                f"{minhash.rows} rows, seed {minhash.seed}",
            ),
            (
                f"P(found) at Jaccard {curve.GUARD_JACCARD}",
                f"{chance:.3f}; the curve rises around Jaccard "
                f"{curve.middle(minhash.bands, minhash.rows):.3f}",
            ),
        ]
    rows.append(("of a group stays", settings.keep.replace("_", " ")))
    return rows
