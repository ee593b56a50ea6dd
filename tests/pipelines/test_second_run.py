"""A second run into the same folder: equal to a fresh one, or refused with nothing touched."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.cli.main import run
from pipelines.phases.finish import VALIDATION, split_of
from pipelines.phases.tokenize import shuffle_key
from pipelines.workspace import Workspace
from schemas.errors import OutputError
from schemas.recipe import Shards
from tests.builders.outputs import sums

SUBJECTS = [
    "harbour",
    "lighthouse",
    "bakery",
    "orchard",
    "mill",
    "quarry",
    "chapel",
    "market",
    "ferry",
    "bridge",
    "library",
    "garden",
    "workshop",
    "theatre",
    "railway",
    "museum",
    "school",
    "station",
    "castle",
    "meadow",
    "forest",
    "river",
    "valley",
    "canal",
]
VERBS = [
    "built",
    "repaired",
    "painted",
    "visited",
    "measured",
    "described",
    "remembered",
    "abandoned",
    "restored",
]
PLACES = [
    "in the north",
    "beside the old road",
    "behind the hill",
    "under the tower",
    "near the sea",
]
SETTINGS = [
    *("--set", "language.keep={en: 0.2}", "--set", "gate=null", "--set", "dedup.minhash=null"),
    *("--set", "quality=[]", "--set", "url.blocklist=null", "--set", "pii.kinds=[]"),
    *("--set", "tokenizer.vocab_size=400", "--set", "shards.validation_fraction=0.3"),
    *("--set", "shards.tokens_per_shard=900"),
]


def text_of(number: int) -> str:
    sentences = []
    for step in range(6):
        pick = hashlib.sha256(f"{number} {step}".encode()).digest()
        subject = SUBJECTS[pick[0] % len(SUBJECTS)]
        sentences.append(
            f"The {subject} {PLACES[pick[1] % 5]} was {VERBS[pick[2] % 9]} in the year "
            f"{1700 + pick[3]} by the people of the {SUBJECTS[pick[4] % len(SUBJECTS)]}."
        )
    return " ".join(sentences)


def write_lines(path: Path, numbers: range) -> Path:
    rows = [{"url": f"https://e.example/{n}", "text": text_of(n)} for n in numbers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return write_lines(folder / "a.jsonl", range(40)), write_lines(
        folder / "b.jsonl", range(40, 60)
    )


def curate(output: Path, *inputs: Path, more: list[str] | None = None, recipe: str = "demo") -> int:
    arguments = ["curate", "--output", str(output), "--recipe", recipe, "--quiet", "--workers", "1"]
    for path in inputs:
        arguments += ["--input", str(path)]
    return run([*arguments, *SETTINGS, *(more or [])])


def shard_sums(output: Path) -> dict[str, str]:
    return {name: value for name, value in sums(output).items() if name.startswith("shards/")}


@pytest.fixture(scope="module")
def fresh(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("fresh") / "out"
    assert curate(output, inputs[0]) == 0
    return output


@pytest.fixture
def output(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "out"))


@pytest.mark.slow
def test_inputs_that_come_and_go(output: Path, fresh: Path, inputs: tuple[Path, Path]) -> None:
    assert curate(output, *inputs) == 0
    assert run(["verify", str(output)]) == 0
    assert shard_sums(output) != shard_sums(fresh)
    assert curate(output, inputs[0]) == 0
    assert sums(output) == sums(fresh)
    assert run(["verify", str(output)]) == 0


@pytest.mark.slow
def test_another_cut_leaves_the_same(output: Path, fresh: Path, inputs: tuple[Path, Path]) -> None:
    assert curate(output, inputs[0], more=["--segment-mb", "0.01"]) == 0
    assert shard_sums(output) == shard_sums(fresh)
    assert run(["verify", str(output)]) == 0
    assert curate(output, inputs[0]) == 0
    assert sums(output) == sums(fresh)


def delete_documents(output: Path) -> None:
    next((output / "documents").iterdir()).unlink()


def delete_a_shard(output: Path) -> None:
    next((output / "shards" / "train").glob("*.bin")).unlink()


def cut_a_shard(output: Path) -> None:
    path = next((output / "shards" / "train").glob("*.idx"))
    path.write_bytes(path.read_bytes()[:-8])


def delete_the_tokenizer(output: Path) -> None:
    (output / "shards" / "tokenizer.model").unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    "harm", [delete_documents, delete_a_shard, cut_a_shard, delete_the_tokenizer]
)
def test_what_was_lost_is_made_again(
    harm: Callable[[Path], None], output: Path, fresh: Path, inputs: tuple[Path, Path]
) -> None:
    harm(output)
    assert curate(output, inputs[0]) == 0
    assert sums(output) == sums(fresh)
    assert run(["verify", str(output)]) == 0


@pytest.mark.slow
def test_a_changed_list_is_noticed(tmp_path: Path, inputs: tuple[Path, Path]) -> None:
    blocked = tmp_path / "list.txt"
    blocked.write_text("https://e.example/1\n")
    more = ["--set", f"url.lists=[{{file: {blocked}, kind: urls}}]"]
    assert curate(tmp_path / "out", inputs[0], more=more) == 0
    blocked.write_text("https://e.example/1\nhttps://e.example/2\n")
    assert curate(tmp_path / "out", inputs[0], more=more) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["rules"]["url.user_list"] == 2


@pytest.mark.slow
def test_nothing_to_do_leaves_the_account_alone(output: Path, inputs: tuple[Path, Path]) -> None:
    before = (output / "run.json").read_bytes()
    assert curate(output, inputs[0]) == 0
    assert (output / "run.json").read_bytes() == before


@pytest.mark.slow
def test_no_resume_makes_every_task_anew(
    output: Path, fresh: Path, inputs: tuple[Path, Path]
) -> None:
    """Workers take over what is complete for its key: of a discarded run nothing may be left."""
    markers = sorted((output / ".work").glob("*/*.done.json"))
    assert {path.parent.name for path in markers} >= {"extract", "finish", "tokens"}
    for path in markers:
        record = json.loads(path.read_text())
        record["content"]["old"] = True
        path.write_text(json.dumps(record))
    assert curate(output, inputs[0]) == 0
    assert all('"old"' in path.read_text() for path in markers)
    assert curate(output, inputs[0], more=["--no-resume"]) == 0
    assert not any('"old"' in path.read_text() for path in markers)
    assert sums(output) == sums(fresh)


@pytest.mark.slow
@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("stopped_at", ["documents", "shards", ".work"])
def test_a_discard_that_was_stopped_can_be_repeated(
    stopped_at: str,
    clean: bool,
    output: Path,
    fresh: Path,
    inputs: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if clean:
        assert curate(output, inputs[0], more=["--clean"]) == 0
    remove_folder = storage.remove_folder

    def stop(folder: str, keep: Collection[str] = ()) -> None:
        if folder.endswith(f"/{stopped_at}"):
            raise OutputError("stopped")
        remove_folder(folder, keep)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "remove_folder", stop)
        assert curate(output, inputs[0], more=["--no-resume"]) == 1
    assert not (output / "run.json").exists()
    assert curate(output, inputs[0], more=["--no-resume"]) == 0
    assert sums(output) == sums(fresh)


@pytest.mark.slow
def test_after_clean_another_recipe_is_still_refused(
    tmp_path: Path, inputs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert curate(tmp_path / "out", inputs[0], more=["--clean"]) == 0
    assert not (tmp_path / "out" / ".work").exists()
    before = sums(tmp_path / "out")
    capsys.readouterr()
    assert curate(tmp_path / "out", inputs[0], more=["--set", "dedup.keep=newest"]) == 2
    assert "holds a run of recipe demo" in capsys.readouterr().err
    assert sums(tmp_path / "out") == before


@pytest.mark.parametrize("more", [[], ["--no-resume"]])
def test_foreign_folders_are_left_alone(
    tmp_path: Path,
    inputs: tuple[Path, Path],
    more: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    thesis = tmp_path / "documents" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    assert curate(tmp_path, inputs[0], more=more) == 2
    assert "is not the work of a run" in capsys.readouterr().err
    assert thesis.read_text() == "years of work"


@pytest.mark.slow
def test_foreign_files_in_a_runs_folders_are_kept(
    output: Path, inputs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = output / "documents" / "mine.parquet"
    mine.write_bytes(b"not a run's")
    assert curate(output, *inputs) == 1
    assert "mine.parquet cannot be read" in capsys.readouterr().err
    assert mine.exists()


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    taken = pytest.raises(OutputError, match=r"another run works .*process \d+")
    with workspace.locked(), taken, workspace.locked():
        pass
    with workspace.locked():
        pass


def test_split_and_order_are_independent() -> None:
    settings = Shards(validation_fraction=0.1)
    ids = [f"{n:032x}" for n in range(4000)]
    held_out = [shuffle_key(i, settings.seed) for i in ids if split_of(i, settings) == VALIDATION]
    assert 320 < len(held_out) < 480
    quarters = [sum(key * 4 >> 64 == quarter for key in held_out) for quarter in range(4)]
    assert min(quarters) > len(held_out) / 8
