"""Supervised fine-tuning: what `corpusmill sft` trains on, and what it stops for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from model.config import ModelConfig
from schemas.chat import Conversation
from schemas.errors import InputError, UsageError
from training.assembly import Assembly
from training.chat import ChatFormatter, find_formatter, open_formatter, read_conversations
from training.checkpoint.folder import newest_whole
from training.checkpoint.together import Together
from training.data.state import DataState, check_same_data
from training.data.validation import ValidationSource
from training.run_folder import RunFolder
from training.sft.answers import AnswersLook, askable
from training.sft.config import Eval, Files, SftConfig
from training.sft.corpus import open_encoded
from training.sft.encoded import DROPPED, EncodedConversations, write_encoded
from training.sft.learned import Rules
from training.sft.noise import EmbeddingNoise
from training.sft.rows import SHORT_PLACES, RowShape, validation_rows
from training.stage import Look, Opened, Vocabulary
from training.step import StepHook
from training.tokenizers import Tokenizer, find_tokenizer, load_tokenizer, save_tokenizer
from training.tokenizers.loading import BYTE
from training.trainer import Outcome, train
from training.validation import ValidationLook

DEFAULT_TEMPLATE = "chatml"
HELD_OUT = "eval"
"""Folder of the encoded conversations of data.eval."""
MULTIPLE, COMPILED_MULTIPLE = 8, 64
"""Of the width of rows: compiled blocks are specialized on few widths."""
ENCODING_VERSION = 2
"""Of what this project makes of a conversation: tokens of another version are made anew."""


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

    def open(self, together: Together, shape: ModelConfig) -> Opened:
        """The conversations; the first rank encodes them before the others look."""
        config = self.config
        tokenizer = load_tokenizer(self._tokenizer_spec())
        self.formatter = self._formatter(tokenizer)
        problem = self.formatter.problem
        if problem is not None:
            raise UsageError(f"data.template: cannot be trained with: {problem}")
        self.folder = Path(config.output) / "data"
        self.shape_of_rows = self._row_shape(shape)
        together.on_first(self._encode)
        corpus = open_encoded(config, self.folder, self.shape_of_rows, tokenizer.eos_id)
        return Opened(corpus, tokenizer)

    def _formatter(self, tokenizer: Tokenizer) -> ChatFormatter:
        config = self.config
        if config.data.template is not None:
            return open_formatter(config.data.template, tokenizer)
        found = None if config.init is None else find_formatter(config.init, tokenizer)
        return found or open_formatter(DEFAULT_TEMPLATE, tokenizer)

    def _row_shape(self, shape: ModelConfig) -> RowShape:
        config, parallel = self.config, self.config.parallel
        compiled = config.train.compile
        return RowShape(
            self.sequence_length,
            multiple=COMPILED_MULTIPLE if compiled else MULTIPLE,
            divisor=2 * parallel.cp if parallel.cp > 1 else 1,
            short_places=0 if compiled else SHORT_PLACES,
            masked=shape.moe is not None,
            full=parallel.pp > 1 or config.data.packing != "none",
        )

    @property
    def _rules(self) -> Rules:
        data = self.config.data
        return Rules(data.sequence_length, data.too_long, data.empty_answers, data.train_on)

    def _encode(self) -> None:
        """The first rank's work: tokens of all tasks into the folder of the run."""
        data = self.config.data
        every: dict[str, Files] = dict(data.train)
        if data.eval is not None:
            every[HELD_OUT] = data.eval
        self.notices += self.formatter.notices
        keys = {n: self._key(held.files, held.format or data.format) for n, held in every.items()}
        self._check_tasks({name: keys[name] for name in data.train})
        for name, held in every.items():
            format_, key = held.format or data.format, keys[name]
            counts = write_encoded(
                held.files, format_, self.folder / name, self.formatter, self._rules, key
            )
            self._tell(name, counts)
            if not counts["kept"]:
                where = "data.eval" if name == HELD_OUT else "data.train"
                raise InputError(
                    f"{where}: {', '.join(held.files)}: none of {counts['read']} conversations can "
                    f"be trained on; {self.folder / name / DROPPED} says why"
                )

    def _check_tasks(self, keys: Mapping[str, str]) -> None:
        """Refuse other conversations before the tokens that the run was trained on are replaced:
        `trace` reads them. Raises InputError."""
        found = newest_whole(RunFolder(self.config.output).checkpoints)
        if found is not None:
            state = DataState.from_json(found.record()["data"])
            check_same_data(state, {**state.parts, "tasks": keys}, self.config.seed)

    def _tell(self, name: str, counts: Counter[str]) -> None:
        """A notice for what is not trained on as it stands."""
        what = [f"{counts[r]} dropped ({r})" for r in _REASONS if counts[r]]
        if counts["trimmed"]:
            what.append(f"{counts['trimmed']} without their oldest turns")
        if what:
            self.notices.append(
                f"{name}: of {counts['read']} conversations {', '.join(what)}; see "
                f"{self.folder / name / DROPPED}"
            )

    def _key(self, files: list[str], format_: str) -> str:
        """Of everything that decides the tokens of a task."""
        formatter, spec = self.formatter, self._tokenizer_spec()
        tokenizer = formatter.tokenizer
        parts = {
            "encoding": ENCODING_VERSION,
            "files": [_sha256(path) for path in files],
            "format": format_,
            "tokenizer": spec if spec == BYTE else _sha256(str(find_tokenizer(spec))),
            "names": [dict(tokenizer.token_names), tokenizer.bos_id, tokenizer.eos_id],
            "markers": sorted(tokenizer.markers),
            "template": hashlib.sha256(formatter.template.source.encode()).hexdigest(),
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
        count = config.validation.batches * size
        batches = list(validation_rows(held, self.shape_of_rows, size, count, fill))
        looks: list[Look] = []
        looks.append(ValidationLook(run, [ValidationSource("", batches, len(held))]))
        if config.eval is not None:
            looks.append(self._answers(run, config.eval, held))
        return looks

    def _answers(self, run: Assembly, settings: Eval, held: EncodedConversations) -> AnswersLook:
        """What is asked is chosen before the first step: no question can end a run later."""
        size, fill = settings.batch_size, run.tokenizer.eos_id
        shape = RowShape(self.sequence_length)
        rows = list(validation_rows(held, shape, size, settings.limit, fill))
        if settings.metric != "exact_match":
            return AnswersLook(run, settings, self.formatter, (), rows)
        longest = run.parallel.parts[0].longest - settings.max_new_tokens
        first = islice(self._held_out(), settings.limit)
        asked, problems = run.together.on_first(lambda: askable(self.formatter, first, longest))
        if problems:
            run.notices.append(
                f"eval: {len(problems)} of {len(asked) + len(problems)} questions are left out, "
                f"the first because of {problems[0]}"
            )
        if not asked:
            raise InputError(
                f"data.eval: {', '.join(self._eval_files)}: nothing to ask for eval: "
                f"{problems[0] if problems else 'no conversation'}"
            )
        return AnswersLook(run, settings, self.formatter, asked, rows)

    @property
    def _eval_files(self) -> list[str]:
        held = self.config.data.eval
        return [] if held is None else held.files

    def _held_out(self) -> Iterator[Conversation]:
        data = self.config.data
        for path in self._eval_files:
            format_ = (data.eval.format if data.eval else None) or data.format
            for _, conversation in read_conversations(path, format_):
                yield conversation

    def where_to_look(self, step: int) -> str:
        """The conversations."""
        return (
            "or look at the conversations of the step: "
            f"corpusmill trace {self.config.output} --step {step}"
        )

    def hooks(self, run: Assembly) -> Sequence[StepHook]:
        """Noise on embeddings where it is asked for."""
        alpha = self.config.neftune_alpha
        if alpha is None:
            return ()
        parallel = run.parallel
        key = (self.config.seed, parallel.data_rank, parallel.context_rank)
        ranks = parallel.dims.cp
        return (EmbeddingNoise(parallel.parts, alpha, *key, context_ranks=ranks),)


_REASONS = ("too_long", "empty_answer", "no_answer")


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
