"""Tokenizers in the format of the `tokenizers` library, which transformers loads without help."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from training.tokenizers.sentencepiece_file import Kind, SentencePieceFile

_SPACE = "\u2581"
_USER_PENALTY = 0.1


def from_sentencepiece(model: SentencePieceFile) -> Tokenizer | None:
    """A tokenizer with the ids of a SentencePiece model, None for word and character models.

    Differences: names of special pieces in a text become their ids, U+2581 becomes a space, among
    segmentations that unigram finds equally likely another may be chosen, and in a run of bytes
    that is no UTF-8 every byte is decoded as U+FFFD.
    """
    pieces = model.pieces
    unknown = next((n for n, piece in enumerate(pieces) if piece.kind is Kind.UNKNOWN), None)
    if unknown is None or not (model.is_bpe or model.is_unigram):
        return None
    core: models.Model
    if model.is_unigram:
        core = models.Unigram(_unigram_scores(model), unknown, byte_fallback=model.byte_fallback)
    else:
        core = models.BPE(
            {piece.text: number for number, piece in enumerate(pieces)},
            _merges(model),
            unk_token=pieces[unknown].text,
            fuse_unk=True,
            byte_fallback=model.byte_fallback,
        )
    tokenizer = Tokenizer(core)
    tokenizer.normalizer = _normalizer(model)
    tokenizer.decoder = _decoder(model)
    special = [p.text for p in pieces if p.kind in (Kind.CONTROL, Kind.UNKNOWN)]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    if model.is_bpe:
        # Unigram weighs them against other pieces; BPE cuts them out first.
        own = [p.text for p in pieces if p.kind is Kind.USER_DEFINED]
        tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in own])
    return tokenizer


def of_bytes(eos_id: int, eos: str) -> Tokenizer:
    """UTF-8 bytes as ids 0 to 255, and one special token `eos`."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    letters = dict(zip(_byte_letters(), range(256), strict=True))
    assert set(letters) == set(alphabet)
    tokenizer = Tokenizer(models.BPE({**letters, eos: eos_id}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(eos, special=True, normalized=False)])
    return tokenizer


def _byte_letters() -> list[str]:
    """The letter that stands for each byte: printable ones for themselves, the others from U+0100
    on (GPT-2's encoder.py, bytes_to_unicode)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _unigram_scores(model: SentencePieceFile) -> list[tuple[str, float]]:
    """Scores; pieces that the user defined get those of sentencepiece's EncodeOptimized: above any
    other way to write them."""
    best = max((p.score for p in model.pieces if p.kind is Kind.NORMAL), default=0.0)

    def score(text: str, given: float, kind: Kind) -> float:
        if kind is Kind.USER_DEFINED:
            return len(text.encode()) * best - _USER_PENALTY
        return given

    return [(piece.text, score(*piece)) for piece in model.pieces]


def _merges(model: SentencePieceFile) -> list[tuple[str, str]]:
    """Pairs in the order in which SentencePiece prefers what they make: all ways to cut a piece in
    two pieces, the highest score first."""
    normal = [piece for piece in model.pieces if piece.kind is Kind.NORMAL]
    known = {piece.text for piece in normal}
    merges = []
    for piece in sorted(normal, key=lambda piece: -piece.score):
        for cut in range(1, len(piece.text)):
            left, right = piece.text[:cut], piece.text[cut:]
            if left in known and right in known:
                merges.append((left, right))
    return merges


def _normalizer(model: SentencePieceFile) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if model.add_dummy_prefix:
        steps.append(normalizers.Prepend(" "))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])


def _decoder(model: SentencePieceFile) -> decoders.Decoder:
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.add_dummy_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)
