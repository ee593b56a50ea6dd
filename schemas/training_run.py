"""run.json of a training run: what was started, on what, and how it ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import InputError

State = Literal["running", "finished", "stopped", "failed"]


def config_hash(tree: Mapping[str, Any]) -> str:
    """sha256 of a resolved configuration, whatever the order of its keys."""
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class TrainingRunV1(BaseModel):
    """The account of one run. A run that goes on from a checkpoint keeps one account: `starts`
    counts its processes, and seconds add up."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    stage: str
    """pretrain, sft, reward, dpo or rl."""
    command: list[str]
    """As it was typed."""
    versions: dict[str, str]
    environment: dict[str, Any]
    world_size: int
    config_hash: str
    data_fingerprint: str | None = None
    parameters: int
    """Of the whole model, each once."""
    trained_parameters: int | None = None
    """Of these, or beside them as adapters: what is trained. None where records are older."""
    active_parameters: int
    """Of these, the ones that multiply a token: without the embedding and the experts not taken."""
    flops_per_token: float
    peak_flops: float | None = None
    """Of one device, what the MFU is measured against."""
    peak_source: str | None = None
    started: str
    """UTC, ISO 8601."""
    starts: int = 1
    step: int = 0
    steps: int
    tokens: int = 0
    """Trained on, over all ranks and starts."""
    seconds: float = 0.0
    """Wall clock, over all starts."""
    final: dict[str, float | int | str | None] = {}
    """The last figures of metrics.jsonl."""
    state: State = "running"
    message: str | None = None
    """Why the run stopped or failed, in one line."""

    def to_json(self) -> str:
        """The record as written to disk: valid JSON, also of a loss that is no number."""
        tree = self.model_dump(mode="json")
        tree["final"] = {
            key: None if isinstance(value, float) and value - value != 0 else value
            for key, value in tree["final"].items()
        }
        return json.dumps(tree, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_bytes(cls, data: bytes, path: str | Path) -> TrainingRunV1:
        """Parse; raises InputError when it is no record of a training run."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise InputError(
                f"{path} is not a training run's record: {where}: {problem['msg']}"
            ) from error
