"""The tensors of a folder: one safetensors file, or some with an index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from schemas.errors import InputError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises InputError."""
    try:
        tree = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: is no JSON object")
    return tree


class SafetensorsFolder:
    """Tensors by name, mapped from their files and read when asked for."""

    def __init__(self, folder: Path) -> None:
        """Find the files. Raises InputError when one is missing or damaged."""
        self.folder = folder
        self._open: dict[str, Any] = {}
        self.files = self._by_name()
        """Name of the file that holds each tensor."""

    def tensor(self, name: str) -> Tensor:
        """Read one tensor. Raises InputError."""
        try:
            tensor: Tensor = self._file(self.files[name]).get_tensor(name)
        except SafetensorError as error:
            path = self.folder / self.files[name]
            raise InputError(f"{path}: {name} cannot be read: {error}") from error
        return tensor

    def _by_name(self) -> dict[str, str]:
        if (self.folder / INDEX).exists():
            files = read_object(self.folder / INDEX).get("weight_map")
            if not isinstance(files, dict) or not all(map(_is_file_name, files.values())):
                raise InputError(f"{self.folder / INDEX}: has no weight_map of file names")
            held = {name: set(self._file(name).keys()) for name in sorted(set(files.values()))}
            for tensor, file in files.items():
                if tensor not in held[file]:
                    raise InputError(f"{self.folder / file}: {tensor}, of the index, is not in it")
            return files
        if not (self.folder / SINGLE).exists():
            raise InputError(
                f"{self.folder}: has no {SINGLE} and no {INDEX}; convert other formats to "
                "safetensors first"
            )
        return dict.fromkeys(self._file(SINGLE).keys(), SINGLE)

    def _file(self, name: str) -> Any:
        if name not in self._open:
            path = self.folder / name
            try:
                self._open[name] = safe_open(path, framework="pt", device="cpu")
            except FileNotFoundError as error:
                raise InputError(f"{path}: is missing") from error
            except (OSError, SafetensorError) as error:
                reason = " ".join(str(error).split())
                raise InputError(f"{path}: is no whole safetensors file: {reason}") from error
        return self._open[name]


def _is_file_name(value: object) -> bool:
    """Whether an index can name it: a file of its own folder."""
    return isinstance(value, str) and Path(value).name == value
