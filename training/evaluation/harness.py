"""Our decoder as a model of lm-eval (Gao et al., the evaluation harness), and its tasks run on it.

This imports lm-eval, the extra `eval`; nothing else of ours does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from lm_eval.tasks import TaskManager

from schemas.errors import InputError, UsageError
from training.chat.formatter import ChatFormatter
from training.evaluation.answers import greedy_answers
from training.evaluation.chat_form import needed_chat_form
from training.evaluation.likelihood import Request, likelihoods, numbers_only, request
from training.evaluation.perplexity import windows
from training.evaluation.subject import Subject
from training.evaluation.task import Z_95, Figure, Options, Result
from training.evaluation.templated_text import TemplatedText
from training.tokenizers import prompt_tokens

_GREEDY = frozenset(
    ("until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k", "min_p")
)
"""Generation settings that are heeded, or have no say where nothing is drawn."""

_NEUTRAL = {"num_beams": 1, "repetition_penalty": 1.0}
"""Values with which others change nothing."""


class _Settings(NamedTuple):
    """How answers are made."""

    new_tokens: int
    stops: tuple[str, ...]
    """Texts that end one."""


class CorpusmillLM(LM):
    """The three calls that lm-eval makes, answered by our decoder.

    Requests are cut as by lm-eval's model for transformers: a context that is too long loses its
    beginning, and rolling log-likelihoods begin with BOS, or EOS where there is none.
    """

    def __init__(
        self, subject: Subject, batch_size: int = 32, formatter: ChatFormatter | None = None
    ) -> None:
        """With `formatter`, contexts are texts of its template: tell lm-eval
        `apply_chat_template=True`."""
        super().__init__()
        self.subject = subject
        self.batch_size = batch_size
        self._chat = None if formatter is None else TemplatedText(formatter)

    @property
    def tokenizer_name(self) -> str:
        """For lm-eval's caches, which are files."""
        return str(self.subject.folder).replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The source of the template, where lm-eval is told to apply one; of several names it
        knows none. Raises UsageError where there is none."""
        return self._templated().formatter.template.source if chat_template else None

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The text of messages, see `TemplatedText.write`. Raises UsageError, InputError."""
        return self._templated().write(chat_history, generation_prompt=add_generation_prompt)

    def _templated(self) -> TemplatedText:
        if self._chat is None:
            raise UsageError("apply_chat_template needs CorpusmillLM(..., formatter=...)")
        return self._chat

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """(sum of log-probabilities, whether it is the greedy text) of (context, continuation)."""
        subject = self.subject
        asked = [
            request(
                subject.tokenizer,
                *instance.args,
                bos=subject.bos and self._chat is None,
                encode=None if self._chat is None else self._chat.tokens,
            )
            for instance in requests
        ]
        found = numbers_only(likelihoods(subject.decoder, asked, self.batch_size))
        return [(one.logprob, one.greedy) for one in found]

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """Sum of log-probabilities of all tokens of (text,), in disjoint windows.

        Where a tokenizer writes BOS, lm-eval's own model scores that as well, behind another BOS:
        no text holds the two, and so they are one here.
        """
        subject = self.subject
        words, longest = subject.tokenizer, subject.decoder.longest
        first = words.eos_id if words.bos_id is None else words.bos_id
        asked: list[Request] = []
        owners: list[int] = []
        for number, instance in enumerate(requests):
            tokens = [first, *words.encode(instance.args[0]).tolist()]
            # lm-eval's windows: each but the last is disjoint from the one before.
            for window in windows(len(tokens), 1, longest, longest):
                context = tokens[window.start : window.first]
                asked.append(Request(tuple(context), tuple(tokens[window.first : window.end])))
                owners.append(number)
        sums = np.zeros(len(requests))
        found = numbers_only(likelihoods(subject.decoder, asked, self.batch_size))
        for owner, one in zip(owners, found, strict=True):
            sums[owner] += one.logprob
        return [float(total) for total in sums]

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Greedy text after (context, generation_kwargs) up to the first text of `until`, or the
        name of EOS.

        Raises UsageError for a task that samples, or asks for more than the model has room for.
        """
        answers = [""] * len(requests)
        by_settings: dict[_Settings, list[int]] = {}
        for number, instance in enumerate(requests):
            by_settings.setdefault(self._settings(instance.args[1]), []).append(number)
        for settings, numbers in by_settings.items():
            contexts = [requests[number].args[0] for number in numbers]
            texts = self._written(contexts, settings.new_tokens)
            for number, text in zip(numbers, texts, strict=True):
                answers[number] = postprocess_generated_text(text, list(settings.stops), None)
        return answers

    def _settings(self, given: Mapping[str, Any]) -> _Settings:
        """lm-eval's reading of generation_kwargs, whose default are 256 new tokens; a model with
        no room for those has half of its window for them."""
        longest = self.subject.decoder.longest
        default = 256 if longest > 256 else max(1, longest // 2)
        until = given.get("until")
        try:
            stops = [until] if isinstance(until, str) else list(until or ())
            read = dict(normalize_gen_kwargs({**given, "until": stops}, default))
        except (TypeError, ValueError) as error:
            raise UsageError(f"generation_kwargs of the task, {dict(given)}: {error}") from error
        if read["do_sample"]:
            raise UsageError("the task samples its answers; only greedy ones are made here")
        for name, value in read.items():
            if name not in _GREEDY and value not in (None, _NEUTRAL.get(name)):
                raise UsageError(
                    f"the task asks for {name} {value}; only plain greedy answers are made here"
                )
        if not 1 <= read["max_gen_toks"] < longest:
            raise UsageError(
                f"the task asks for {read['max_gen_toks']} new tokens, and the model has room for "
                f"{longest} with the question: take fewer --max-new-tokens"
            )
        eos = self.subject.tokenizer.token_names.get("eos_token")
        return _Settings(read["max_gen_toks"], tuple(handle_stop_sequences(stops, eos)))

    def _written(self, contexts: Sequence[str], count: int) -> list[str]:
        """What the model writes after each, whatever the texts say that end an answer."""
        words = self.subject.tokenizer
        room = self.subject.decoder.longest - count
        if self._chat is None:
            stop_ids = frozenset((words.eos_id,))
            prompts = [prompt_tokens(words, text, bos=self.subject.bos) for text in contexts]
        else:
            stop_ids = self._chat.formatter.stop_ids
            prompts = [self._chat.tokens(text) or [words.eos_id] for text in contexts]
        return greedy_answers(
            self.subject.decoder,
            words,
            [prompt[-room:] for prompt in prompts],
            max_new_tokens=count,
            stop_ids=stop_ids,
            batch_size=self.batch_size,
        )


def run(name: str, subject: Subject, options: Options) -> Result:
    """lm-eval's task `name` on our decoder; `include` is a folder of further task files (YAML).

    Its figures are as it names them, with its filter behind a slash where it has one. Intervals of
    its averages are 1.96 standard errors wide on both sides, as it computes those. Where `chat` is
    True, questions go through the chat template, each example as a turn. Raises InputError for a
    task that is not known, UsageError where there is no template.
    """
    formatter = needed_chat_form(subject, options.template) if options.chat else None
    new = options.max_new_tokens
    found = simple_evaluate(
        model=CorpusmillLM(subject, options.batch_size, formatter),
        tasks=[name],
        task_manager=_manager(name, options.include),
        limit=options.limit,
        num_fewshot=options.shots,
        gen_kwargs=None if new is None else {"max_gen_toks": new},
        apply_chat_template=formatter is not None,
        log_samples=True,
    )
    results, samples = found["results"], found["samples"]
    rows = [
        {"document": sample["doc"], **_metrics(sample), **({} if task == name else {"group": task})}
        for task, each in samples.items()
        for sample in each
    ]
    figures = [
        figure
        for task, values in results.items()
        for figure in _figures("" if task == name else task, values, len(samples.get(task, rows)))
    ]
    template = None if formatter is None else formatter.template.name
    settings = {"lm_eval": version("lm_eval"), "chat_template": template}
    return Result(figures, len(rows), settings, rows)


def _manager(name: str, include: Path | None) -> TaskManager:
    """Knows the task; lm-eval's own ones, which take a while to list, only where it is among
    them."""
    if include is not None:
        if not include.is_dir():
            raise InputError(f"--include {include}: is no folder of task files")
        own = TaskManager(include_path=str(include), include_defaults=False)
        if name in own.all_tasks:
            return own
    manager = TaskManager(include_path=None if include is None else str(include))
    if name not in manager.all_tasks:
        raise InputError(f"lm-eval knows no task {name}: name another, or --include its folder")
    return manager


def _metrics(sample: dict[str, Any]) -> dict[str, Any]:
    return {name: sample[name] for name in sample["metrics"]}


def _figures(group: str, values: dict[str, Any], count: int) -> list[Figure]:
    figures = []
    for key, value in values.items():
        metric, comma, chosen = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, float | int):
            continue
        error = values.get(f"{metric}_stderr,{chosen}")
        wide = Z_95 * error if isinstance(error, float) and math.isfinite(error) else None
        figures.append(
            Figure(
                metric if chosen == "none" else f"{metric}/{chosen}",
                float(value),
                group,
                None if wide is None else value - wide,
                None if wide is None else value + wide,
                count,
            )
        )
    return figures
