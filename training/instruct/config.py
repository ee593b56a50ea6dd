"""The configuration of `corpusmill instruct generate`, and of who rates. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from model.config import Section
from schemas.checked import checked
from training.config import read_tree

KEYWORDS = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "photo", "video"),
    *("file", "files", "map", "maps", "draw", "plot", "audio", "go to"),
)
"""What a model that reads and writes text cannot be asked for (Self-Instruct, arXiv 2212.10560,
section 2.2 and its bootstrap_instructions.py; photo, video and audio are added here)."""


class ModelSource(Section):
    """Who answers: an OpenAI-compatible endpoint, or a model of our own."""

    endpoint: str | None = None
    """Base URL, to which /chat/completions is added: http://localhost:8000/v1."""
    name: str | None = None
    """The model's name at the endpoint."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key. The key itself is written nowhere."""
    folder: str | None = None
    """A run, a checkpoint of one, or a Hugging Face folder, instead of an endpoint."""
    concurrency: int = Field(4, ge=1)
    timeout_seconds: float = Field(120.0, gt=0)
    attempts: int = Field(6, ge=1)
    """Tries of a request that meets 429, a 5xx, a time-out or a broken answer."""
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    send_seed: bool = True
    """Some servers refuse the field `seed`."""

    @field_validator("endpoint")
    @classmethod
    def _no_secrets(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a URL such as http://localhost:8000/v1 is needed")
        if parts.username or parts.password or parts.query:
            raise ValueError("a URL without user, password and query: see model.api_key_env")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_source(self) -> ModelSource:
        if (self.endpoint is None) == (self.folder is None):
            raise ValueError(
                "nobody to ask: set model.endpoint (an OpenAI-compatible URL such as "
                "http://localhost:8000/v1) and model.name, or model.folder (a run or a Hugging "
                "Face folder)"
                if self.endpoint is None
                else "set one of model.endpoint and model.folder"
            )
        if self.endpoint is not None and not self.name:
            raise ValueError("model.name is needed with model.endpoint")
        return self


class Sampling(Section):
    """How answers are drawn."""

    temperature: float = Field(0.7, ge=0)
    """0.7 and top_p 0.5 are Self-Instruct's for new instructions (appendix A)."""
    top_p: float = Field(0.9, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)


class Budget(Section):
    """A run stops, with all it has, before a request that could go beyond. None: no limit.

    What answers say that they took is counted. A try without an answer (a time-out, say) is not,
    though a server may charge for it.
    """

    max_requests: int | None = Field(None, ge=0)
    max_tokens: int | None = Field(None, ge=0)
    max_cost: float | None = Field(None, ge=0)
    """In the currency of `prices`."""


class Prices(Section):
    """Of a million tokens."""

    prompt: float = Field(0.0, ge=0)
    completion: float = Field(0.0, ge=0)


class SelfInstruct(Section):
    """arXiv 2212.10560, section 2.2 and appendix A."""

    seeds: str
    """JSON lines as self-instruct's seed tasks: id, instruction, instances of input and output,
    is_classification."""
    human_examples: int = Field(6, ge=1)
    machine_examples: int = Field(2, ge=0)
    """In a prompt of 8 examples; more human ones while there are fewer machine-made."""
    rouge_l: float = Field(0.7, gt=0, le=1)
    """An instruction stays when its ROUGE-L with every other is below: the paper's words;
    bootstrap_instructions.py keeps what is at the limit, too."""
    keywords: tuple[str, ...] = KEYWORDS
    min_words: int = Field(4, ge=1)
    """bootstrap_instructions.py drops 3 words and fewer, and more than 150."""
    max_words: int = Field(150, ge=1)
    instances: int = Field(1, ge=1)
    """Instances that are kept of one instruction, at most."""
    classification_examples: tuple[int, int] = (12, 19)
    """Tasks that are classification, and that are not, in the prompt that asks which it is."""


class EvolInstruct(Section):
    """WizardLM, arXiv 2304.12244, section 3."""

    seeds: str
    """Conversations whose first user message is evolved, or self-instruct's seed tasks."""
    format: Literal["messages", "sharegpt", "alpaca", "seed_tasks"] = "messages"
    rounds: int = Field(4, ge=1)
    operations: tuple[str, ...] = (
        "constraints",
        "deepen",
        "concretise",
        "reasoning",
        "input",
        "breadth",
    )
    """Drawn with equal chances: five in depth and one in breadth."""
    sorry_words: int = Field(80, ge=0)
    """An answer with `sorry` and fewer words than this says that the instruction is too hard."""


class GenerateConfig(Section):
    """`corpusmill instruct generate CONFIG.yaml`."""

    output: str
    method: Literal["self_instruct", "evol_instruct"]
    count: int = Field(ge=1)
    """Records to make."""
    seed: int = Field(1, ge=0)
    batch: int = Field(8, ge=1)
    """Requests that are made out of the same state: part of what decides the result, so that
    `model.concurrency` is not."""
    patience: int = Field(20, ge=1)
    """Batches in a row without a new record after which a run gives up."""
    model: ModelSource
    sampling: Sampling = Sampling()
    budget: Budget = Budget()
    prices: Prices = Prices()
    self_instruct: SelfInstruct | None = None
    evol_instruct: EvolInstruct | None = None

    @model_validator(mode="before")
    @classmethod
    def _model_is_said(cls, tree: object) -> object:
        # An absent section gets the line that an empty one gets.
        return {"model": {}, **tree} if isinstance(tree, dict) else tree

    @model_validator(mode="after")
    def _method_has_a_section(self) -> GenerateConfig:
        if getattr(self, self.method) is None:
            raise ValueError(f"method {self.method} needs a section {self.method} with seeds")
        return self


class RaterConfig(Section):
    """`corpusmill instruct select --raters CONFIG.yaml`: who rates, and for how much."""

    model: ModelSource
    budget: Budget = Budget()
    prices: Prices = Prices()


def read_raters(path: str | Path) -> RaterConfig:
    """Raises UsageError that names the key, InputError without the file."""
    return checked(RaterConfig, read_tree(path), str(path))


def read_generate(path: str | Path, overrides: Sequence[str] = ()) -> GenerateConfig:
    """A configuration from its file, with `a.b=value` changes.

    Raises UsageError that names the key and the allowed ones, InputError without the file.
    """
    return checked(GenerateConfig, read_tree(path, overrides), str(path))
