"""The bytes of UTF-8 as tokens: nothing to train, no file but a note."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from schemas.errors import InputError, UsageError
from stages.tokens.megatron import TokenArray
from training.tokenizers.contract import Marker

EOS = 256

EOS_NAME = "<eos>"
"""What templates of conversations and other programs call it; as a text it is five bytes."""

NOTE = json.dumps({"type": "byte", "vocab_size": EOS + 1, "eos_id": EOS}, sort_keys=True) + "\n"
"""What byte.json holds, in a run or beside shards."""


class ByteTokenizer:
    """Ids 0 to 255 are bytes, 256 is EOS; there is no BOS."""

    vocab_size = EOS + 1
    eos_id = EOS
    bos_id: int | None = None
    token_names: Mapping[str, str] = MappingProxyType({"eos_token": EOS_NAME})
    markers: Mapping[str, Marker] = MappingProxyType({EOS_NAME: Marker(EOS, control=True)})

    def encode(self, text: str) -> TokenArray:
        """Its bytes. Raises InputError for lone surrogates."""
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise InputError("bytes cannot encode a text with lone surrogates") from None
        return np.frombuffer(data, dtype=np.uint8).astype(np.uint16)

    def encode_parts(self, parts: Sequence[int | str]) -> list[list[int]]:
        """Ids of each part."""
        return [[part] if isinstance(part, int) else self.encode(part).tolist() for part in parts]

    def decode(self, tokens: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Bytes that are no UTF-8 become U+FFFD. Raises UsageError for ids above 256."""
        ids = np.asarray(tokens, dtype=np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() <= EOS:
            raise UsageError(f"token ids from {ids.min()} to {ids.max()}: bytes have 0 to {EOS}")
        return ids[ids != EOS].astype(np.uint8).tobytes().decode(errors="replace")

    def byte_lengths(self) -> npt.NDArray[np.int64]:
        """[257]."""
        lengths = np.ones(self.vocab_size, dtype=np.int64)
        lengths[EOS] = 0
        return lengths
