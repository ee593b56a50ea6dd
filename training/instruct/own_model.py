"""A model of our own as the one that answers: a run, a checkpoint or a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event

import torch
import xxhash

from model import load_pretrained
from model.decoder import Decoder
from model.generate import generate
from schemas.chat import Message
from training.chat.formatter import ChatFormatter, find_formatter, open_formatter
from training.instruct.requests import Answer, Request
from training.tokenizers import continuation, load_tokenizer

FALLBACK = "plain"
"""The template of a folder that has none."""


class OwnModel:
    """A Generator. Answers depend on the request and the weights alone."""

    concurrency = 1

    def __init__(self, decoder: Decoder, formatter: ChatFormatter) -> None:
        self._decoder = decoder
        self._formatter = formatter
        self.identity: Mapping[str, str] = {
            "weights": _digest(decoder),
            "template": xxhash.xxh3_128_hexdigest(formatter.template.source.encode()),
        }

    def answer(self, request: Request, stopped: Event) -> Answer:
        """A prompt that leaves no room gets an answer without text that was cut: one long record
        costs that record."""
        prompt = self._formatter.prompt([Message(role="user", content=request.prompt)])
        room = self._decoder.longest - len(prompt)
        if room < 1:
            return Answer("", "length", len(prompt), 0)
        (found,) = generate(
            self._decoder,
            [prompt],
            max_new_tokens=min(request.max_tokens, room),
            temperature=request.temperature,
            top_p=request.top_p if request.top_p < 1 else None,
            eos_id=self._formatter.stop_ids,
            seed=request.seed,
        )
        tokens = found.tokens[:-1] if found.finish_reason == "stop" else found.tokens
        text = continuation(self._formatter.tokenizer, prompt, tokens)
        return Answer(text, found.finish_reason, len(prompt), len(found.tokens))

    def close(self) -> None:
        """Nothing is held open."""


def open_model(folder: str, device: str = "auto") -> tuple[Decoder, ChatFormatter]:
    """The decoder of a folder in evaluation mode, and its formatter (or the template `plain`).

    Raises InputError or UsageError in one line.
    """
    place = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu"
    decoder = load_pretrained(Path(folder), torch.device(place if device == "auto" else device))
    decoder.eval()
    tokenizer = load_tokenizer(Path(folder))
    formatter = find_formatter(folder, tokenizer) or open_formatter(FALLBACK, tokenizer)
    return decoder, formatter


def _digest(decoder: Decoder) -> str:
    digest = xxhash.xxh3_128()
    for name, tensor in sorted(decoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
