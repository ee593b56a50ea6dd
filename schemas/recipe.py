"""A recipe: every setting that decides what a run leaves, as one checked tree.

Recipes live as YAML in pipelines/recipes/. Unknown keys are errors; every number carries its
source, next to it in a rule or in `sources` under its dotted path.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PageGate(Section):
    """Which records are pages at all."""

    statuses: list[int] = [200]
    mimes: list[str] = ["text/html", "application/xhtml+xml"]
    """Compared with the HTTP Content-Type; without one, with the identified type or a sniff."""
    max_body_bytes: int = Field(10_000_000, gt=0)


class UrlList(Section):
    """A user's list, one entry a line, `#` comments. `sense: block` drops what it matches;
    `sense: allow` overrides every other URL rule for what it matches."""

    file: str
    kind: Literal["domains", "urls", "words", "substrings"]
    sense: Literal["block", "allow"] = "block"


class UrlFilter(Section):
    blocklist: Literal["fineweb"] | None = None
    """The domain and URL lists of the datatrove wheel."""
    hard_words: bool = False
    soft_words_min: int | None = None
    """Reject from this many distinct soft words on; None: off."""
    substrings: bool = False
    exclude_quality_sources: bool = False
    """Leave out named high-quality sources (Wikipedia, arXiv, ...), as RefinedWeb did."""
    lists: list[UrlList] = []


class LanguageGate(Section):
    """Language of the raw text before extraction: drops a page only when the wanted languages
    together stay below `min_probability` on `characters` characters from the middle."""

    min_probability: float = Field(0.10, ge=0, le=1)
    characters: int = Field(1000, gt=0)


class Extract(Section):
    name: str = "trafilatura"
    favor: Literal["balanced", "precision", "recall"] = "balanced"
    fast: bool = False
    deduplicate: bool = False
    """Remove text repeated within this one page (state is reset for every page)."""
    include_comments: bool = False
    include_tables: bool = True
    max_newlines: int = Field(2, ge=1)
    remove_urls: bool = False
    cpu_seconds: float = Field(10.0, gt=0)
    """CPU time of the whole page, after which its process is killed: CPU and not wall time, so
    that the outcome does not depend on what else the machine does."""
    memory_mb: int = Field(1024, gt=0)
    """Address space that one page may add to its process."""


class Language(Section):
    model: str = "lid.176"
    """`lid.176` (packaged lid.176.ftz) or the path of any fastText model."""
    keep: dict[str, float] | None = None
    """Label -> the score it must exceed. None: every label, with `threshold`."""
    threshold: float = Field(0.65, ge=0, le=1)
    inclusive: bool = False
    """True: score >= threshold keeps; False: score > threshold keeps."""


class Rule(Section):
    """Keep a document only while `signal` lies inside the bounds."""

    rule: str
    signal: str
    min: float | None = None
    """Keep when value >= min."""
    max: float | None = None
    """Keep when value <= max."""
    above: float | None = None
    """Keep when value > above."""
    below: float | None = None
    """Keep when value < below."""
    languages: list[str] | None = None
    """Applies to these languages only; None: to all."""
    version: int = 1
    source: str

    @model_validator(mode="after")
    def _has_a_bound(self) -> Rule:
        if self.min is None and self.max is None and self.above is None and self.below is None:
            raise ValueError(f"rule {self.rule} needs one of min, max, above, below")
        return self


class Edit(Section):
    """A change of the text between rules (C4's line cleaning): later rules see the new text."""

    edit: str
    options: dict[str, Any] = {}
    source: str


class MinHash(Section):
    ngram: int = Field(5, ge=1)
    bands: int = Field(14, ge=1)
    rows: int = Field(8, ge=1)
    seed: int = 1
    allow_low_recall: bool = False
    """Accept settings whose candidate probability at Jaccard 0.8 is below 0.9."""


class Dedup(Section):
    url: bool = True
    exact: bool = True
    minhash: MinHash | None = MinHash()
    keep: Literal["longest", "newest", "best_score", "least_id"] = "longest"


class Pii(Section):
    kinds: list[Literal["email", "ip", "phone", "credit_card", "iban", "name"]] = [
        "email",
        "ip",
        "phone",
        "credit_card",
        "iban",
    ]
    """`name` loads spaCy and a model; the others are patterns and checksums."""
    phone_regions: list[str] = ["US", "GB", "DE", "FR", "ES", "IT", "CN", "IN", "BR"]
    spacy_model: str = "en_core_web_sm"


class Benchmark(Section):
    """A benchmark whose texts must not be trained on: JSON lines or a list, plain or gzip."""

    file: str
    fields: list[str] | None = None
    """Keys of a record whose strings, at any depth, are compared. None: every string."""

    @property
    def name(self) -> str:
        """The file's name without folder and suffixes: `gsm8k_test` of a/gsm8k_test.jsonl.gz."""
        base = self.file.rsplit("/", 1)[-1].removesuffix(".gz")
        return base.removesuffix(".jsonl").removesuffix(".json")


class Decontamination(Section):
    """Remove documents that share n-grams of words with benchmarks (stages.decontamination).

    Published settings: ngram 13 and share 0, any collision (GPT-3, arXiv 2005.14165, appendix C);
    12 and 0 (datatrove 0.10.1, decont/n_grams.py); 8 and 0.5 (Tulu 3, arXiv 2411.15124,
    section 3.2).
    """

    benchmarks: list[Benchmark] = Field(min_length=1)
    """Files, or {file: FILE, fields: [KEY, ...]}."""
    ngram: int = Field(13, ge=1)
    """Words of an n-gram. GPT-3 takes the 5th percentile of a benchmark's lengths, 8 to 13."""
    shortest: int = Field(8, ge=1)
    """A text of fewer than `ngram` words is looked for as a whole, down to this many; shorter ones
    are found everywhere, and are only counted. 8 is GPT-3's smallest n."""
    share: float = Field(0.0, ge=0, lt=1)
    """A document goes when more than this share of the words that are looked for of one string of
    a benchmark's record lie in n-grams that both have. 0: one common n-gram is enough."""
    most_records: int = Field(10, ge=1)
    """N-grams that more records of one benchmark hold are its boilerplate and are not looked for.
    GPT-3 passes over n-grams that more than 10 documents of the training data hold."""

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _files_as_benchmarks(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"file": item} if isinstance(item, str) else item for item in value]

    @model_validator(mode="after")
    def _names_differ(self) -> Decontamination:
        names = [benchmark.name for benchmark in self.benchmarks]
        for name in names:
            if not name or names.count(name) > 1:
                raise ValueError(f"two benchmarks are called {name!r}: give each file its own name")
        return self


class Tokenizer(Section):
    model: str | None = None
    """A SentencePiece model by path; None: train one from the kept text."""
    type: Literal["bpe", "unigram"] = "bpe"
    vocab_size: int = Field(32_000, ge=300)
    """An upper bound: a small corpus gets the largest vocabulary it can support."""
    sample_bytes: int = Field(50_000_000, gt=0)
    """Kept text to train on, picked by hashed id."""
    character_coverage: float = Field(0.9995, gt=0, le=1)


class Shards(Section):
    tokens_per_shard: int = Field(100_000_000, gt=0)
    validation_fraction: float = Field(0.01, ge=0, lt=1)
    seed: int = 1


class Recipe(Section):
    name: str
    version: int = 1
    description: str
    sources: dict[str, str] = {}
    """Dotted key -> where its value comes from."""
    page: PageGate = PageGate()
    url: UrlFilter = UrlFilter()
    gate: LanguageGate | None = None
    extract: Extract = Extract()
    language: Language = Language()
    quality: list[Annotated[Rule | Edit, Field(union_mode="left_to_right")]] = []
    """Rules and edits in the order they run; the first broken rule names the rejection."""
    dedup: Dedup = Dedup()
    pii: Pii = Pii()
    decontamination: Decontamination | None = None
    """None: text is not compared with benchmarks."""
    tokenizer: Tokenizer = Tokenizer()
    shards: Shards = Shards()

    def hash(self) -> str:
        """sha256 over everything that can change the output; prose is left out."""
        content = self.model_dump(mode="json", exclude={"description", "sources"})
        for step in content["quality"]:
            step.pop("source", None)
        # Runs from before the key was there go on under the hash that they have.
        if content["decontamination"] is None:
            del content["decontamination"]
        return hashlib.sha256(
            json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()
