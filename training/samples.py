"""Text that the model writes while it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.decoder import Decoder
from model.generate import generate
from training.assembly import Assembly
from training.config import Samples
from training.run_folder import write_whole
from training.tokenizers import Tokenizer, continuation, prompt_tokens
from training.whole import whole_decoder

TOP_K = 50
"""Tokens to draw from; GPT-2's published samples (Radford et al. 2019, section 3)."""

SHOWN = 2
SHOWN_CHARACTERS = 160


class SamplesLook:
    """Text from the model as it is: every rank gives its weights, the first one writes."""

    def __init__(self, run: Assembly, settings: Samples) -> None:
        self.every = settings.every
        self.run = run
        self.settings = settings

    def __call__(self, number: int) -> dict[str, Any]:
        """See `training.stage.Look`."""
        run = self.run
        decoder = whole_decoder(run.parallel, run.shape)
        if decoder is None:
            return {}
        rows = write_samples(
            decoder,
            run.tokenizer,
            self.settings,
            seed=run.config.seed,
            step=number,
            path=run.folder.samples,
        )
        for row in rows[:SHOWN]:
            text = " ".join((row["prompt"] + row["text"]).split())
            run.notices.append(f"sample at step {number:,}: {text[:SHOWN_CHARACTERS]}")
        return {}


def write_samples(
    decoder: Decoder, tokenizer: Tokenizer, settings: Samples, *, seed: int, step: int, path: Path
) -> list[dict[str, Any]]:
    """Complete the prompts and append a line each to `path` (step, prompt, text).

    Text depends on the weights, the seed and the step alone. An empty prompt is the start of a
    document, see `prompt_tokens`.
    """
    prompts = [prompt_tokens(tokenizer, prompt) for prompt in settings.prompts]
    found = generate(
        decoder,
        prompts,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_k=TOP_K,
        eos_id=tokenizer.eos_id,
        seed=seed * 1_000_003 + step,
    )
    rows = [
        {"step": step, "prompt": text, "text": continuation(tokenizer, prompt, completion.tokens)}
        for text, prompt, completion in zip(settings.prompts, prompts, found, strict=True)
    ]
    with path.open("a", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return rows


def keep_samples(path: Path, last_step: int) -> None:
    """Drop samples of later steps, which a run that goes on makes anew, and half a last line."""
    if not path.exists():
        return
    lines = path.read_text("utf-8").split("\n")[:-1]
    kept = [line for line in lines if json.loads(line)["step"] <= last_step]
    write_whole(path, "".join(line + "\n" for line in kept))
