"""A SentencePiece model as a tokenizer of conversations, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from stages.tokens.tokenizer import Tokenizer
from training.tokenizers.contract import Marker, encode_after, is_markup
from training.tokenizers.sentencepiece_file import Kind, SentencePieceFile


class SentencePieceTokenizer(Tokenizer):
    """What shards are made with; see `contract.Tokenizer`."""

    def __init__(self, model: bytes, name: str) -> None:
        super().__init__(model, name)
        self._model = SentencePieceFile.parse(model, name)

    @cached_property
    def token_names(self) -> Mapping[str, str]:
        """BOS and EOS as the model calls them."""
        pieces = self._model.pieces
        names = {"eos_token": pieces[self.eos_id].text}
        if self.bos_id is not None:
            names["bos_token"] = pieces[self.bos_id].text
        return names

    @cached_property
    def markers(self) -> Mapping[str, Marker]:
        """Control pieces, which no text becomes, and pieces that the user defined."""
        found = {}
        for number, (text, _, kind) in enumerate(self._model.pieces):
            control = kind is Kind.CONTROL
            if (control or kind is Kind.USER_DEFINED) and is_markup(text, control):
                found[text] = Marker(number, control)
        return found

    def encode_parts(self, parts: Sequence[int | str]) -> list[list[int]]:
        """Ids of each part. The space that some models put in front of a text stands at the start
        and after ids, not where text follows text."""
        found: list[list[int]] = []
        after_text = False
        for part in parts:
            if isinstance(part, int):
                found.append([part])
                after_text = False
                continue
            bare = after_text and self._model.add_dummy_prefix
            ids = encode_after(self.encode, part) if bare else self.encode(part)
            found.append([int(number) for number in ids])
            after_text = after_text or bool(part)
        return found
