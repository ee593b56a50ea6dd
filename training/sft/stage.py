"""Supervised fine-tuning: what `corpusmill sft` trains on, and what it stops for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from schemas.chat import Conversation
from schemas.errors import InputError, UsageError
from training.assembly import Assembly
from training.chat import ChatFormatter, find_formatter, open_formatter, read_conversations
from training.checkpoint.together import Together
from training.data.validation import ValidationSource
from training.run_folder import RunFolder
from training.sft.answers import AnswersLook, askable
from training.sft.config import Eval, SftConfig
from training.sft.corpus import SftCorpus
from training.sft.encoded import DROPPED, EncodedConversations, Rules, write_encoded
from training.sft.noise import EmbeddingNoise
from training.sft.phases import STRATEGIES, Phases
from training.sft.rows import RowShape, validation_rows
from training.stage import Look, Opened, Vocabulary
from training.step import StepHook
from training.tokenizers import find_tokenizer, load_tokenizer, save_tokenizer
from training.tokenizers.loading import BYTE
from training.trainer import Outcome, train
from training.validation import ValidationLook

DEFAULT_TEMPLATE = "chatml"
HELD_OUT = "eval"
"""Folder of the encoded conversations of data.eval."""
COMPILED_MULTIPLE = 64
"""Of the width of rows: compiled blocks are specialized on few widths."""


def sft(config: SftConfig, command: Sequence[str] = ()) -> Outcome:
    """Fine-tune a decoder on conversations. Every rank calls it. Raises as `train`."""
    return train(Finetuning(config), command)


class Finetuning:
    """See `training.stage.Stage`."""

    name = "sft"

    def __init__(self, config: SftConfig) -> None:
        self.config = config
        self.sequence_length = config.data.sequence_length
        self.prefetch = config.data.prefetch
        self.notices: list[str] = []

    def vocabulary(self) -> Vocabulary:
        """Of the tokenizer: the configuration's, or that of `init`."""
        spec = self._tokenizer_spec()
        return Vocabulary(load_tokenizer(spec).vocab_size, f"the tokenizer {spec}")

    def _tokenizer_spec(self) -> str:
        spec = self.config.tokenizer or self.config.init
        if spec is None:
            raise UsageError(
                "tokenizer: missing: byte, a SentencePiece model or a tokenizer.json; or start "
                "from init, which brings its own"
            )
        return spec

    def open(self, together: Together) -> Opened:
        """The conversations; the first rank encodes them before the others look."""
        config, data = self.config, self.config.data
        tokenizer = load_tokenizer(self._tokenizer_spec())
        self.formatter = self._formatter()
        problem = self.formatter.problem
        if problem is not None:
            raise UsageError(f"data.template: cannot be trained with: {problem}")
        self.folder = Path(config.output) / "data"
        together.on_first(self._encode)
        tasks = {name: EncodedConversations(self.folder / name) for name in data.train}
        sizes = {n: float(t.weight or len(tasks[n])) for n, t in data.train.items()}
        phases = STRATEGIES[data.strategy.name](sizes, data.strategy)
        batch_size = config.train.batch_size
        self.shape_of_rows = self._row_shape()
        corpus = SftCorpus(
            tasks,
            Phases(phases, config.train.steps * batch_size),
            self.shape_of_rows,
            seed=config.seed,
            packed=data.packing == "best_fit",
            fill=tokenizer.eos_id,
            group_steps_of=batch_size if data.group_by_length else None,
            parts={
                "sequence_length": data.sequence_length,
                "packing": data.packing,
                "group_by_length": data.group_by_length,
                "tasks": {
                    n: self._key(t.files, t.format or data.format) for n, t in data.train.items()
                },
            },
        )
        return Opened(corpus, tokenizer)

    def _formatter(self) -> ChatFormatter:
        config = self.config
        tokenizer = load_tokenizer(self._tokenizer_spec())
        if config.data.template is not None:
            return open_formatter(config.data.template, tokenizer)
        found = None if config.init is None else find_formatter(config.init, tokenizer)
        return found or open_formatter(DEFAULT_TEMPLATE, tokenizer)

    def _row_shape(self) -> RowShape:
        config, parallel = self.config, self.config.parallel
        multiple = COMPILED_MULTIPLE if config.train.compile else 8
        full = parallel.pp > 1 or config.data.packing != "none"
        divisor = 2 * parallel.cp if parallel.cp > 1 else 1
        return RowShape(self.sequence_length, multiple, divisor, full)

    @property
    def _rules(self) -> Rules:
        data = self.config.data
        return Rules(data.sequence_length, data.too_long, data.empty_answers, data.train_on)

    def _encode(self) -> None:
        """The first rank's work: tokens of all tasks into the folder of the run."""
        data = self.config.data
        for name, task in data.train.items():
            counts = self._write(name, task.files, task.format or data.format)
            if not counts["kept"]:
                raise InputError(
                    f"data.train: {', '.join(task.files)}: none of {counts['read']} conversations "
                    f"can be trained on; {self.folder / name / DROPPED} says why"
                )
        if data.eval is not None:
            self._write(HELD_OUT, data.eval, data.format)
        self.notices += self.formatter.notices

    def _write(self, name: str, files: list[str], format_: str) -> Counter[str]:
        key = self._key(files, format_)
        folder = self.folder / name
        counts = write_encoded(files, format_, folder, self.formatter, self._rules, key)
        what = [f"{counts[r]} dropped ({r})" for r in _REASONS if counts[r]]
        if counts["trimmed"]:
            what.append(f"{counts['trimmed']} without their oldest turns")
        if what:
            self.notices.append(
                f"{name}: of {counts['read']} conversations {', '.join(what)}; see "
                f"{folder / DROPPED}"
            )
        return counts

    def _key(self, files: list[str], format_: str) -> str:
        """Of everything that decides the tokens of a task."""
        template, spec = self.formatter.template, self._tokenizer_spec()
        parts = {
            "files": [_sha256(path) for path in files],
            "format": format_,
            "tokenizer": spec if spec == BYTE else _sha256(str(find_tokenizer(spec))),
            "template": hashlib.sha256(template.source.encode()).hexdigest(),
            "rules": self._rules._asdict(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def keep(self, folder: RunFolder) -> None:
        """The tokenizer and the chat template."""
        save_tokenizer(self._tokenizer_spec(), folder.tokenizer)
        self.formatter.save(folder.tokenizer)

    def looks(self, run: Assembly) -> Sequence[Look]:
        """Validation and questions, where there are conversations for them."""
        run.notices += self.notices
        config, data = self.config, self.config.data
        if data.eval is None:
            return ()
        held = EncodedConversations(self.folder / HELD_OUT)
        size, fill = config.train.batch_size, run.tokenizer.eos_id
        batches = list(
            validation_rows(held, self.shape_of_rows, size, config.validation.batches, fill)
        )
        looks: list[Look] = []
        if batches:
            looks.append(ValidationLook(run, [ValidationSource("", batches, len(held))]))
        if config.eval is not None:
            looks.append(self._answers(run, config.eval, held))
        return looks

    def _answers(self, run: Assembly, settings: Eval, held: EncodedConversations) -> AnswersLook:
        """What is asked is chosen before the first step: no question can end a run later."""
        size, fill = settings.batch_size, run.tokenizer.eos_id
        shape = RowShape(self.sequence_length)
        rows = list(validation_rows(held, shape, size, -(-settings.limit // size), fill))
        if settings.metric != "exact_match":
            return AnswersLook(run, settings, self.formatter, (), rows)
        longest = run.shape.max_seq_len - settings.max_new_tokens
        first = islice(self._held_out(), settings.limit)
        asked, problems = run.together.on_first(lambda: askable(self.formatter, first, longest))
        if problems:
            run.notices.append(
                f"eval: {len(problems)} of {len(asked) + len(problems)} questions are left out, "
                f"the first because of {problems[0]}"
            )
        if not asked:
            raise InputError(
                f"data.eval: {', '.join(self.config.data.eval or ())}: nothing to ask for eval: "
                f"{problems[0] if problems else 'no conversation'}"
            )
        return AnswersLook(run, settings, self.formatter, asked, rows)

    def _held_out(self) -> Iterator[Conversation]:
        data = self.config.data
        for path in data.eval or ():
            for _, conversation in read_conversations(path, data.format):
                yield conversation

    def hooks(self, run: Assembly) -> Sequence[StepHook]:
        """Noise on embeddings where it is asked for."""
        alpha = self.config.neftune_alpha
        if alpha is None:
            return ()
        parallel = run.parallel
        key = (self.config.seed, parallel.data_rank, parallel.context_rank)
        return (EmbeddingNoise(parallel.parts, alpha, *key),)


_REASONS = ("too_long", "empty_answer", "no_answer")


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
