"""English words that one tokenisation rule does not cover: contractions and abbreviations.

The words are those that spaCy 3.8 splits or keeps whole (spacy/lang/en/tokenizer_exceptions.py);
the tables are built from stems and endings instead of being listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

_APOSTROPHES = ("'", "\u2019", "")
_PRONOUNS: dict[str, tuple[str, ...]] = {
    "i": ("m", "ll", "d", "ve"),
    "you": ("ll", "d", "ve", "re"),
    "he": ("ll", "d", "s"),
    "she": ("ll", "d", "s"),
    "it": ("ll", "d", "s"),
    "we": ("ll", "d", "ve", "re"),
    "they": ("ll", "d", "ve", "re"),
    "who": ("s", "ll", "re", "ve", "d"),
    "what": ("s", "ll", "re", "ve", "d"),
    "when": ("s", "ll", "re", "ve", "d"),
    "where": ("s", "ll", "re", "ve", "d"),
    "why": ("s", "ll", "re", "ve", "d"),
    "how": ("s", "ll", "re", "ve", "d"),
    "there": ("s", "ll", "re", "ve", "d"),
    "that": ("s", "ll", "d"),
    "this": ("s", "ll", "d"),
    "these": ("ll", "re", "ve", "d"),
    "those": ("ll", "re", "ve", "d"),
}
_NEGATED = (
    "ca could do does did had may might must need ought sha should wo would ai are is was "
    "were have has dare"
)
_WITH_HAVE = ("could", "might", "must", "should", "would", "not")
_WHOLE_WORDS = "ill its hell shell shed were well whore"
"""Words that only look like a contraction without its apostrophe."""

_IRREGULAR = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "let's": ("let", "'s"),
    "let\u2019s": ("let", "\u2019s"),
    "c'mon": ("c'm", "on"),
    "y'all": ("y'", "all"),
    "yall": ("y", "all"),
}

_ABBREVIATIONS = (
    "a.m. p.m. e.g. E.g. i.e. I.e. vs. v.s. co. Co. Corp. Inc. Ltd. Bros. Messrs. Mr. Mrs. "
    "Ms. Dr. Prof. Rev. Gen. Gov. Sen. Rep. Adm. Jr. St. Mt. Md. Mo. Mont. Ph.D. Ak. Ala. "
    "Ariz. Ark. Calif. Colo. Conn. Del. Fla. Ga. Ia. Id. Ill. Ind. Kan. Kans. Ky. La. Mass. "
    "Mich. Minn. Miss. Neb. Nebr. Nev. Okla. Ore. Pa. Tenn. Va. Wash. Wis. Jan. Feb. Mar. "
    "Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec."
)
ABBREVIATIONS: tuple[str, ...] = tuple(_ABBREVIATIONS.split())
"""Words that keep their full stop. (Initials such as U.S. need no list.)"""


def _spellings(stem: str, endings: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The contraction of a stem and its endings with ', with U+2019 and with neither."""
    for apostrophe in _APOSTROPHES:
        parts = (
            stem,
            *(e.replace("nt", f"n{apostrophe}t") if e == "nt" else apostrophe + e for e in endings),
        )
        yield "".join(parts), parts


def _lower_case() -> Iterator[tuple[str, tuple[str, ...]]]:
    for stem, endings in _PRONOUNS.items():
        for ending in endings:
            yield from _spellings(stem, (ending,))
            if ending in ("ll", "d"):
                yield from _spellings(stem, (ending, "ve"))
    for verb in _NEGATED.split():
        yield from _spellings(verb, ("nt",))
    for verb in _WITH_HAVE:
        yield from _spellings(verb, ("ve",))
    yield from _IRREGULAR.items()


@cache
def contractions() -> dict[str, tuple[str, ...]]:
    """Word -> the words it stands for, for lower case and capitalised spellings."""
    table: dict[str, tuple[str, ...]] = {}
    whole = set(_WHOLE_WORDS.split())
    for word, parts in _lower_case():
        if word in whole:
            continue
        table[word] = parts
        table[word[0].upper() + word[1:]] = (parts[0][0].upper() + parts[0][1:], *parts[1:])
    for hour in range(1, 13):
        for half in ("am", "pm", "a.m.", "p.m."):
            table[f"{hour}{half}"] = (str(hour), half)
    return table
