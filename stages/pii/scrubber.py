"""Scrubber: personal data out of a text, stand-ins in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from schemas.recipe import Pii
from stages.pii.addresses import IpFinder
from stages.pii.cards import CardFinder
from stages.pii.emails import EmailFinder
from stages.pii.ibans import IbanFinder
from stages.pii.names import NameFinder
from stages.pii.phones import PhoneFinder
from stages.pii.replace import REPLACERS, stand_ins
from stages.pii.spans import Finder, Span, resolve

FINDERS: dict[str, Callable[[Pii], Finder]] = {
    "email": lambda settings: EmailFinder(),
    "ip": lambda settings: IpFinder(),
    "phone": lambda settings: PhoneFinder(settings.phone_regions),
    "credit_card": lambda settings: CardFinder(),
    "iban": lambda settings: IbanFinder(),
    "name": lambda settings: NameFinder(settings.spacy_model),
}
"""Kind -> what makes its finder; a new kind is one line here, in `replace` and in `spans`."""

_MAX_PASSES = 4
"""Two do for all web text seen; the limit is for text made to go on."""


class Scrubber:
    """Replaces the kinds of personal data that the settings name.

    Construction imports Presidio, and spaCy with its model only for `name`. Raises InputError when
    the packages of the extra `pii` or the model are missing, UsageError for an unknown region.
    """

    def __init__(self, settings: Pii) -> None:
        self._settings = settings
        self._kinds: tuple[str, ...] = tuple(dict.fromkeys(settings.kinds))
        self._finders = [FINDERS[kind](settings) for kind in self._kinds]

    def __reduce__(self) -> tuple[type[Scrubber], tuple[Pii]]:
        # Recognizers and models do not travel between processes; the settings do.
        return Scrubber, (self._settings,)

    def find(self, text: str) -> list[Span]:
        """What `scrub` would replace, in order and without overlap."""
        spans = [span for finder in self._finders for span in finder.find(text)]
        return resolve(spans, stand_ins(text)) if spans else []

    def scrub(self, text: str) -> tuple[str, dict[str, int]]:
        """The text with stand-ins, and how many were put in for each kind asked for.

        The same value gets the same stand-in in every text, run and process. Scrubbing the result
        again changes nothing.
        """
        counts = dict.fromkeys(self._kinds, 0)
        # A stand-in may uncover what was glued to the value: "020 7946 0958a@b.org".
        for _ in range(_MAX_PASSES):
            spans = self.find(text)
            if not spans:
                break
            counts.update(Counter(span.kind for span in spans) + Counter(counts))
            text = _replaced(text, spans)
        return text, counts


def _replaced(text: str, spans: list[Span]) -> str:
    pieces: list[str] = []
    done = 0
    for span in spans:
        pieces += (text[done : span.start], REPLACERS[span.kind](span.value))
        done = span.end
    pieces.append(text[done:])
    return "".join(pieces)
