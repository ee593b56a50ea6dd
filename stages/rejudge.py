"""rejudge(outcome): another recipe's decision on a page of an annotated run.

It must end as refine() with that recipe would on the page itself: same order of checks, same
values, same text. Only what lies before the text (page checks, extraction) is taken as it is.
"""

from __future__ import annotations

import time

from schemas.recipe import Recipe
from schemas.verdict import Failure, Outcome, Rejection
from stages import decide
from stages.dedup import BandHasher, content_hash, url_key
from stages.language import (
    PACKAGED,
    LanguageIdentifier,
    check_gate_sample,
    check_language,
    model_path,
)
from stages.refine import RefineAssets, internal_error
from stages.signals import family_of
from stages.url import Blocklist, UrlRules


class Rejudger:
    """A recipe, and the one that a run was annotated with. Construct once a process."""

    def __init__(self, recipe: Recipe, annotated: Recipe, assets: RefineAssets) -> None:
        self.recipe = recipe
        blocklist = Blocklist.open(assets.blocklist) if assets.blocklist else None
        self._urls = UrlRules(recipe.url, blocklist)
        self._identifier = LanguageIdentifier(model_path(recipe.language.model))
        # The file behind a path may have changed since; a packaged model has not.
        self._language_known = (
            recipe.language.model == annotated.language.model and recipe.language.model in PACKAGED
        )
        self._reusable = decide.reusable(annotated.quality, recipe.quality)
        self._bands = BandHasher(recipe.dedup.minhash) if recipe.dedup.minhash else None

    def rejudge(self, page: Outcome) -> Outcome:
        """Decide on a page of an annotated run that passed the page checks.

        `page` has the text before edits (blank: none was found) and its annotation; a failure
        stays one unless the URL or the gate would have turned the page down before.
        """
        clock = _Clock()
        try:
            return self._rejudge(page, clock)
        except MemoryError:
            limit = self.recipe.extract.memory_mb
            detail = f"the page needs more than extract.memory_mb={limit}"
            failure = Failure("extract", "out_of_memory", detail)
        except Exception as error:  # noqa: BLE001 - one page's defect is its own row in errors/
            failure = internal_error(clock.step, error)
        return page._replace(failure=failure, seconds_by_step=clock.end(), annotation=None)

    def _rejudge(self, page: Outcome, clock: _Clock) -> Outcome:
        rejection = self._urls.check(page.url)
        if rejection is not None:
            return _turned_down(page, rejection, "", clock)
        sample = page.annotation.gate if page.annotation is not None else None
        if sample is not None and self.recipe.gate is not None:
            clock.begin("gate")
            settings, gate = self.recipe.language, self.recipe.gate
            rejection = check_gate_sample(sample, self._identifier, settings, gate)
            if rejection is not None:
                return _turned_down(page, rejection, sample.start, clock)
        if page.failure is not None:
            return page._replace(seconds_by_step=clock.end(), annotation=None)
        if not page.text.strip():
            empty = Rejection("extract", "extract.empty", 0.0, 1.0)
            return _turned_down(page, empty, page.text, clock)
        return self._judge(page, clock)

    def _judge(self, page: Outcome, clock: _Clock) -> Outcome:
        clock.begin("language")
        language, score = page.language, page.language_score
        if not self._language_known:
            language, score = self._identifier.top(page.text)
        page = page._replace(language=language, language_score=score, annotation=None)
        rejection = check_language(language, score, self.recipe.language)
        if rejection is not None:
            return page._replace(rejection=rejection, seconds_by_step=clock.end())
        clock.begin("quality")
        judgement = decide.judge(
            page.text, self.recipe.quality, language, known=self._known(page.signals)
        )
        page = page._replace(
            text=judgement.text,
            signals=judgement.signals,
            n_chars=len(judgement.text),
            n_words=judgement.n_words,
            rejection=judgement.rejection,
            seconds_by_step=clock.end(),
        )
        return page if page.rejection is not None else self._keep(page, clock)

    def _known(self, signals: dict[str, float]) -> dict[str, dict[str, float]]:
        known: dict[str, dict[str, float]] = {}
        for name, value in signals.items():
            family = family_of(name)
            if family in self._reusable:
                known.setdefault(family, {})[name] = value
        return known

    def _keep(self, page: Outcome, clock: _Clock) -> Outcome:
        clock.begin("hash")
        content, url_hash = content_hash(page.text), url_key(page.url)
        bands = self._bands(page.text) if self._bands else b""
        return page._replace(
            content_hash=content, url_key=url_hash, bands=bands, seconds_by_step=clock.end()
        )


class _Clock:
    """CPU seconds of this process by step."""

    def __init__(self) -> None:
        self.step = "url"
        """What is under way."""
        self._seconds: dict[str, float] = {}
        self._before = time.process_time()

    def begin(self, step: str) -> None:
        """End the step that is under way and begin another."""
        self.end()
        self.step = step

    def end(self) -> dict[str, float]:
        """Charge the step that is under way; returns the seconds of all."""
        now = time.process_time()
        self._seconds[self.step] = self._seconds.get(self.step, 0.0) + now - self._before
        self._before = now
        return self._seconds


def _turned_down(page: Outcome, rejection: Rejection, text: str, clock: _Clock) -> Outcome:
    """As refine() leaves a page that it never came to judge the text of."""
    return page._replace(
        text=text,
        language="",
        language_score=0.0,
        signals={},
        seconds_by_step=clock.end(),
        rejection=rejection,
        failure=None,
        annotation=None,
    )
