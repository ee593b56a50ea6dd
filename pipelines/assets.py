"""Lists and models that recipes name, built or found once a machine; nothing is downloaded.

They live in CORPUSMILL_CACHE, else in the user's cache folder; a container image bakes that folder
in with `corpusmill assets`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from pipelines import storage
from pipelines.account import versions
from pipelines.benchmarks import load_index
from pipelines.children import setup_scrubber
from schemas.errors import InputError, OutputError
from schemas.recipe import Recipe
from stages.language import model_path
from stages.refine import RefineAssets
from stages.tokens import Tokenizer
from stages.url import Blocklist, UrlRules

_BLOCK_BYTES = 1 << 20
CACHE_VARIABLE = "CORPUSMILL_CACHE"


def cache_folder() -> Path:
    """CORPUSMILL_CACHE, else XDG_CACHE_HOME/corpusmill, else ~/.cache/corpusmill."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "corpusmill"


def check_assets(recipe: Recipe) -> None:
    """Load, once and before any work, what the workers will load: a missing package, model or
    list is then one line and not a worker that cannot start.

    Raises InputError or UsageError, naming the file or what to install.
    """
    UrlRules(recipe.url.model_copy(update={"blocklist": None}), None)
    setup_scrubber(recipe.pii)
    load_index(recipe.decontamination)
    if recipe.tokenizer.model is not None:
        Tokenizer(storage.read_bytes(recipe.tokenizer.model), recipe.tokenizer.model)


def provide_assets(recipe: Recipe, say: Callable[[str], None] = lambda line: None) -> RefineAssets:
    """Build what the recipe needs and is not there yet; `say` gets a line about slow work.

    Raises OutputError when the cache folder cannot be written.
    """
    if recipe.url.blocklist is None:
        return RefineAssets(blocklist=None)
    folder = _blocklist_folder(recipe.url.blocklist)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            say("building the URL block list, once a machine")
        Blocklist.build(folder)
    except OSError as error:
        raise OutputError(
            f"cannot build the block list in {folder}: {error.strerror or error}; "
            f"set {CACHE_VARIABLE} to a folder that can be written"
        ) from error
    return RefineAssets(blocklist=folder)


def plan_assets(recipe: Recipe) -> RefineAssets:
    """Where this machine would have what the recipe needs; nothing is built."""
    name = recipe.url.blocklist
    return RefineAssets(blocklist=None if name is None else _blocklist_folder(name))


def _blocklist_folder(name: str) -> Path:
    return cache_folder() / f"blocklist-{name}"


def worker_assets(recipe: Recipe, sent: RefineAssets) -> RefineAssets:
    """What a worker uses: what the driver found where that is here too, else this machine's own,
    out of its image (`corpusmill assets`) or built now, once a machine.

    Raises OutputError when the cache folder cannot be written.
    """
    if sent.blocklist is None:
        return sent
    try:
        Blocklist.open(sent.blocklist)
    except InputError:
        return provide_assets(recipe)
    return sent


def stamp(recipe: Recipe) -> str:
    """A hash of what can change a run's output beside the recipe's own values: the content of
    the files that it names, and the versions of the libraries that do the work."""
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    named = [entry.file for entry in recipe.url.lists]
    named += [path for path in (recipe.tokenizer.model,) if path is not None]
    if recipe.decontamination is not None:
        named += [benchmark.file for benchmark in recipe.decontamination.benchmarks]
    model = model_path(recipe.language.model)
    for path in (*named, str(model)):
        with storage.open_input(path) as handle:
            while block := handle.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
