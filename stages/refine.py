"""refine(page): the whole way of one page, from bytes to kept, rejected or failed (DESIGN 2.2).

Plain Python over the stages; it runs in a child process that may be killed, so it holds no state
that one page could leave for the next.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import xxhash

from schemas.page import Page
from schemas.recipe import Recipe
from schemas.verdict import Annotation, Failure, GateSample, Outcome, Rejection
from stages import charset, decide
from stages.dedup import BandHasher, content_hash, url_key
from stages.extract import EXTRACTORS, ExtractionError, raw_text, tidy
from stages.language import (
    LanguageIdentifier,
    check_gate_sample,
    check_language,
    gate_sample,
    model_path,
)
from stages.page import check_page, effective_mime
from stages.url import Blocklist, UrlRules, host_of
from stages.words import TextView

ANNOTATED_GATE_CHARACTERS = 2000
"""Raw text that an annotated run keeps of a page, at least: gates that look at no more can be
decided later."""

WHOLE_DESPITE = frozenset({"block_digest_mismatch", "payload_digest_mismatch", "invalid_utf8"})
"""Reader's notes on payloads that are whole all the same (docs/reader.md)."""


def damage_of(page: Page) -> str:
    """Why the payload is not whole, or an empty string.

    A body shorter than announced is whole as far as it goes when the crawler says that it cut it
    (WARC-Truncated): every tool keeps those pages of Common Crawl.
    """
    if page.damage in WHOLE_DESPITE or (page.damage == "short_body" and page.truncated):
        return ""
    return page.damage


class RefineAssets(NamedTuple):
    """Files that a recipe needs, resolved before any worker starts."""

    blocklist: Path | None
    """Folder of a built block list, when the recipe asks for one."""


def document_id(page: Page) -> str:
    """32 hex digits over URL, date and payload: a record has the same id wherever it lies."""
    digest = xxhash.xxh3_128()
    payload = page.body if page.text is None else page.text.encode("utf-8", "surrogatepass")
    names = (text.encode("utf-8", "surrogatepass") for text in (page.url, page.date))
    for part in (*names, payload):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def internal_error(step: str, error: Exception) -> Failure:
    """An exception that nobody foresaw: it costs the page that met it, and names its type."""
    message = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    return Failure(step, "internal_error", message.encode("utf-8", "replace").decode("utf-8"))


class _Walk:
    """One page's intermediate results and the CPU clock of its steps."""

    def __init__(self, page: Page, annotate: bool) -> None:
        self.page = page
        self.annotate = annotate
        self.verdict: Rejection | None = None
        self.gate: GateSample | None = None
        self.text = ""
        self.language = ""
        self.language_score = 0.0
        self.mime = ""
        self.charset = ""
        self.extractor = ""
        self.n_words = 0
        self.signals: dict[str, float] = {}
        self.host = ""
        self.seconds: dict[str, float] = {}
        self.step = "page"
        """What is under way."""
        self._clock = time.process_time()

    def begin(self, step: str) -> None:
        """End the step that is under way and begin another."""
        self._charge()
        self.step = step

    def _charge(self) -> None:
        now = time.process_time()
        self.seconds[self.step] = self.seconds.get(self.step, 0.0) + now - self._clock
        self._clock = now

    def ends(self, rejection: Rejection | None) -> Rejection | None:
        """The rejection if it ends the walk: when annotating it is noted, and the walk goes on."""
        if not self.annotate:
            return rejection
        if self.verdict is None:
            self.verdict = rejection
        return None

    def end(
        self,
        rejection: Rejection | None = None,
        failure: Failure | None = None,
        *,
        content: str = "",
        url_hash: int = 0,
        bands: bytes = b"",
    ) -> Outcome:
        self._charge()
        page = self.page
        return Outcome(
            id=document_id(page),
            url=page.url,
            host=self.host,
            text=self.text,
            language=self.language,
            language_score=self.language_score,
            mime=self.mime,
            charset=self.charset,
            extractor=self.extractor,
            n_chars=len(self.text),
            n_words=self.n_words,
            content_hash=content,
            url_key=url_hash,
            bands=bands,
            signals=self.signals,
            seconds_by_step=self.seconds,
            rejection=rejection,
            failure=failure,
            annotation=Annotation(self.verdict, self.gate) if self.annotate else None,
        )


class Refiner:
    """A recipe with its models loaded. Construct once a process; `refine` is pure after that.

    With `annotate` every page that has text goes the whole way, and the outcome says what the
    recipe would decide instead of deciding it.
    """

    def __init__(self, recipe: Recipe, assets: RefineAssets, *, annotate: bool = False) -> None:
        self.recipe = recipe
        self._annotate = annotate
        blocklist = Blocklist.open(assets.blocklist) if assets.blocklist else None
        self._urls = UrlRules(recipe.url, blocklist)
        self._identifier = LanguageIdentifier(model_path(recipe.language.model))
        self._extract = EXTRACTORS[recipe.extract.name]
        self._bands = BandHasher(recipe.dedup.minhash) if recipe.dedup.minhash else None

    def refine(self, page: Page) -> Outcome:
        """Take one page through the recipe, the cheap checks first.

        Returns an Outcome for whatever the page holds; any exception becomes a Failure of the step
        that it came from. Only a crash or the CPU limit ends the process, which the pool turns
        into a Failure.
        """
        walk = _Walk(page, self._annotate)
        try:
            return self._walk(page, walk)
        except ExtractionError as error:
            return walk.end(failure=Failure("extract", "extraction_failed", str(error)[:500]))
        except MemoryError:
            limit = self.recipe.extract.memory_mb
            detail = f"the page needs more than extract.memory_mb={limit}"
            return walk.end(failure=Failure("extract", "out_of_memory", detail))
        except Exception as error:  # noqa: BLE001 - one page's defect is its own row in errors/
            return walk.end(failure=internal_error(walk.step, error))

    def _walk(self, page: Page, walk: _Walk) -> Outcome:
        walk.host = host_of(page.url)
        damage = damage_of(page)
        if damage and page.record_type != "revisit":
            return walk.end(failure=Failure("read", "damaged_payload", damage))
        rejection = self._find_text(page, walk)
        if rejection is None:
            rejection = self._judge(walk)
        if rejection is not None:
            return walk.end(rejection)
        return walk.end() if self._annotate else self._keep(page, walk)

    def _find_text(self, page: Page, walk: _Walk) -> Rejection | None:
        walk.mime = effective_mime(page) if page.text is None else "text/plain"
        rejection = check_page(page, walk.mime, self.recipe.page)
        if rejection is None:
            walk.begin("url")
            rejection = walk.ends(self._urls.check(page.url))
        return rejection if rejection is not None else self._extract_text(page, walk)

    def _judge(self, walk: _Walk) -> Rejection | None:
        recipe = self.recipe
        walk.begin("language")
        walk.language, walk.language_score = self._identifier.top(walk.text)
        rejection = walk.ends(check_language(walk.language, walk.language_score, recipe.language))
        if rejection is None:
            walk.begin("quality")
            judgement = decide.judge(
                walk.text, recipe.quality, walk.language, annotate=self._annotate
            )
            walk.signals, walk.n_words = judgement.signals, judgement.n_words
            if not self._annotate:
                walk.text = judgement.text
            elif judgement.text != walk.text:
                walk.n_words = TextView(walk.text).n_words
            rejection = walk.ends(judgement.rejection)
        return rejection

    def _extract_text(self, page: Page, walk: _Walk) -> Rejection | None:
        recipe = self.recipe
        if page.text is not None:
            walk.begin("extract")
            walk.text, walk.charset, walk.extractor = (
                tidy(page.text, recipe.extract),
                "utf-8",
                "none",
            )
        else:
            walk.begin("decode")
            decoded = charset.decode(page.body, page.content_type)
            walk.charset = decoded.charset
            rejection = self._pass_gate(decoded.text, walk)
            if rejection is not None:
                return rejection
            walk.begin("extract")
            text = self._extract(decoded.text, recipe.extract, page.url)
            walk.text, walk.extractor = tidy(text, recipe.extract), recipe.extract.name
        if not walk.text.strip():
            return Rejection("extract", "extract.empty", 0.0, 1.0)
        return None

    def _pass_gate(self, html: str, walk: _Walk) -> Rejection | None:
        recipe = self.recipe
        gated = recipe.gate is not None and recipe.language.keep is not None
        if not gated and not self._annotate:
            return None
        walk.begin("gate")
        raw = raw_text(html)
        characters = recipe.gate.characters if recipe.gate is not None else 0
        if self._annotate:
            characters = max(characters, ANNOTATED_GATE_CHARACTERS)
        walk.gate = gate_sample(raw, characters)
        rejection = None
        if recipe.gate is not None:
            rejection = walk.ends(
                check_gate_sample(walk.gate, self._identifier, recipe.language, recipe.gate)
            )
        if rejection is not None:
            walk.text = raw
        return rejection

    def _keep(self, page: Page, walk: _Walk) -> Outcome:
        walk.begin("hash")
        content, url_hash = content_hash(walk.text), url_key(page.url)
        bands = self._bands(walk.text) if self._bands else b""
        return walk.end(content=content, url_hash=url_hash, bands=bands)
