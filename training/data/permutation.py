"""A permutation of 0 to n - 1 from a key, of which any part can be had without the others."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

_ROUNDS = 6
_CHUNK = 1 << 15
"""Numbers at a time: what they need on the way stays in the cache."""


class Permutation:
    """A shuffled order of `size` things that depends on the key and on nothing else.

    A Feistel network over pairs (x // b, x % b) with a * b just above `size`, its round functions
    added modulo a and b; what falls outside goes round again (Black and Rogaway, "Ciphers with
    arbitrary finite domains", CT-RSA 2002, methods 2 and 3). Whole-number arithmetic of its own:
    the order is the same on every machine and with every version of numpy, and takes no memory.
    """

    def __init__(self, size: int, *key: int | str) -> None:
        """Of 0 <= size < 2**62 things. `key` is any sequence of numbers and words."""
        self.size = size
        self.dtype: np.dtype[np.integer] = np.dtype(np.uint32 if size <= 1 << 32 else np.int64)
        """Of arrays that hold the whole order."""
        self._rows = math.isqrt(max(size - 1, 0)) + 1
        self._columns = -(-max(size, 1) // self._rows)
        text = "\0".join(f"{type(part).__name__}:{part}" for part in key)
        digest = hashlib.blake2b(text.encode(), digest_size=8 * _ROUNDS).digest()
        self._keys = np.frombuffer(digest, dtype="<u8").astype(np.uint64)

    def __getitem__(self, numbers: npt.ArrayLike) -> IntArray:
        """What stands at these places: int64 of the same length (one-dimensional)."""
        places = np.atleast_1d(np.asarray(numbers, dtype=np.uint64))
        if self.size < 2:
            return np.zeros(len(places), dtype=np.int64)
        moved = self._walk(places)
        outside = np.flatnonzero(moved >= np.uint64(self.size))
        while len(outside):
            moved[outside] = self._walk(moved[outside])
            outside = outside[moved[outside] >= np.uint64(self.size)]
        return moved.astype(np.int64)

    def array(self) -> npt.NDArray[np.integer]:
        """The whole order: 4 bytes for each of up to 2**32 things."""
        whole: npt.NDArray[np.integer] = np.empty(self.size, dtype=self.dtype)
        self.fill(whole)
        return whole

    def fill(self, target: npt.NDArray[np.integer], start: int = 0) -> None:
        """Write what stands at `start`, `start` + 1, ... into `target`."""
        for first in range(0, len(target), _CHUNK):
            part = target[first : first + _CHUNK]
            part[:] = self[np.arange(start + first, start + first + len(part), dtype=np.uint64)]

    def _walk(self, x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        rows, columns = np.uint64(self._rows), np.uint64(self._columns)
        left = x // columns
        right = x - left * columns
        for number, key in enumerate(self._keys):
            if number % 2:
                right += _mixed(left, key, columns)
                np.subtract(right, columns, out=right, where=right >= columns)
            else:
                left += _mixed(right, key, rows)
                np.subtract(left, rows, out=left, where=left >= rows)
        return left * columns + right


def _mixed(x: npt.NDArray[np.uint64], key: np.uint64, below: np.uint64) -> npt.NDArray[np.uint64]:
    """The round function: splitmix64's finalizer (Steele et al., OOPSLA 2014), upper half scaled
    to 0 <= y < below, which is less than 2**32."""
    x = x + key
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x >>= np.uint64(32)
    x *= below
    x >>= np.uint64(32)
    return x
