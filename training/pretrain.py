"""Pretraining: what `corpusmill pretrain` trains on, and what it stops for."""

from __future__ import annotations

from collections.abc import Sequence

from model.config import ModelConfig
from schemas.errors import UsageError
from schemas.shards import ShardManifestV1
from training.assembly import Assembly
from training.checkpoint.together import Together
from training.config import PretrainConfig
from training.data.corpus import Corpus, open_corpus
from training.data.validation import validation_batches
from training.run_folder import RunFolder
from training.samples import SamplesLook
from training.stage import Look, Opened, Vocabulary
from training.step import StepHook
from training.tokenizers import load_tokenizer, save_tokenizer
from training.trainer import Outcome, train
from training.validation import ValidationLook


def pretrain(config: PretrainConfig, command: Sequence[str] = ()) -> Outcome:
    """Train a decoder on shards. Every rank calls it. Raises as `train`."""
    return train(Pretraining(config), command)


class Pretraining:
    """See `training.stage.Stage`."""

    name = "pretrain"

    def __init__(self, config: PretrainConfig) -> None:
        self.config = config
        self.sequence_length = config.data.sequence_length
        self.prefetch = config.data.prefetch

    def vocabulary(self) -> Vocabulary:
        """Of the manifest, or of the tokenizer of the text."""
        data, tokenizer = self.config.data, self.config.tokenizer
        if data.text is not None:
            if tokenizer is None:
                raise UsageError(
                    "tokenizer: data.text needs one: byte, a SentencePiece model, or a "
                    "tokenizer.json"
                )
            return Vocabulary(load_tokenizer(tokenizer).vocab_size, f"the tokenizer {tokenizer}")
        manifests = [source.manifest for source in (data.mixture or {}).values()]
        path = manifests[0] if manifests else data.manifest
        assert path is not None
        size = ShardManifestV1.from_file(path).vocab_size
        return Vocabulary(size, f"the tokenizer of {path}")

    def open(self, together: Together, shape: ModelConfig) -> Opened:
        """The corpus; the first rank tokenizes and checks before the others look."""
        held: list[Corpus] = []
        together.on_first(lambda: held.append(self._open(leader=together.rank == 0)))
        self.corpus = held[0] if held else self._open(leader=False)
        return Opened(self.corpus, load_tokenizer(self.corpus.tokenizer_file))

    def _open(self, leader: bool) -> Corpus:
        config = self.config
        is_file = config.tokenizer not in (None, "byte")
        return open_corpus(
            config.data,
            config.seed,
            config.output,
            tokenizer=None if config.data.text is None else load_tokenizer(config.tokenizer or ""),
            tokenizer_file=config.tokenizer if is_file else None,
            samples=config.train.steps * config.train.batch_size,
            leader=leader,
        )

    def keep(self, folder: RunFolder) -> None:
        """The tokenizer."""
        save_tokenizer(self.corpus.tokenizer_file, folder.tokenizer)

    def looks(self, run: Assembly) -> Sequence[Look]:
        """Validation where there is a split, samples where they are asked for."""
        config = self.config
        held = validation_batches(
            self.corpus,
            config.train.batch_size,
            config.validation.batches,
            run.tokenizer.byte_lengths(),
            largest=config.validation.sources,
        )
        run.notices.extend(held.notices)
        looks: list[Look] = [ValidationLook(run, held.sources)] if held.sources else []
        if config.samples is not None:
            looks.append(SamplesLook(run, config.samples))
        return looks

    def where_to_look(self, step: int) -> str:
        """The documents."""
        return (
            "or look at the documents of the step: "
            f"corpusmill trace {self.config.output} --step {step}"
        )

    def hooks(self, run: Assembly) -> Sequence[StepHook]:
        """None of its own."""
        return ()
