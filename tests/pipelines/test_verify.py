"""Whatever is changed in a finished run is a finding, in one line, with exit code 1."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.cli.main import run
from pipelines.demo import sample_path
from stages.tokens import Tokenizer

pytestmark = pytest.mark.slow


def curate(output: Path, *more: str) -> Path:
    with sample_path() as sample:
        arguments = ["curate", "--input", str(sample), "--output", str(output), "--recipe", "demo"]
        assert run([*arguments, "--quiet", "--segment-mb", "0.2", "--json", *more]) == 0
    return output


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("verify") / "out")


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("verify") / "out", "--annotate")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def findings(output: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Name -> problem of what verify complains about."""
    capsys.readouterr()
    code = run(["verify", str(output), "--json"])
    captured = capsys.readouterr()
    assert captured.err == ""
    problems = {row["name"]: row["problem"] for row in json.loads(captured.out) if row["problem"]}
    assert code == (1 if problems else 0)
    assert all("\n" not in problem for problem in problems.values())
    return problems


def said(output: Path, capsys: pytest.CaptureFixture[str]) -> str:
    return "\n".join(f"{name}: {text}" for name, text in findings(output, capsys).items())


def test_whole_runs_have_no_findings(
    finished: Path, annotated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert findings(finished, capsys) == {}
    assert findings(annotated, capsys) == {}


def biggest(folder: Path) -> Path:
    return max(folder.glob("*.parquet"), key=lambda path: pq.read_metadata(path).num_rows)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def with_first(name: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    """The table with one value of its first row changed."""

    def change(table: pa.Table) -> pa.Table:
        field = table.schema.field(name)
        values = [value, *table.column(name).to_pylist()[1:]]
        return table.set_column(table.schema.names.index(name), field, pa.array(values, field.type))

    return change


@pytest.mark.parametrize("folder", ["documents", "rejected", "errors", "clusters", "shards"])
@pytest.mark.parametrize("how", ["junk", "cut", "empty"])
def test_files_that_cannot_be_read(
    folder: str, how: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = biggest(copy / folder)
    data = path.read_bytes()
    path.write_bytes({"junk": b"junk" * 99, "cut": data[: len(data) // 2], "empty": b""}[how])
    assert path.name in said(copy, capsys)


@pytest.mark.parametrize(
    "name", ["shards/docs.parquet", "shards/manifest.json", "shards/train/shard-00000.bin"]
)
def test_files_that_are_gone(name: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / name).unlink()
    assert Path(name).name in said(copy, capsys)


@pytest.mark.parametrize("folder", ["documents", "rejected", "errors"])
def test_rows_that_are_gone(folder: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(biggest(copy / folder), lambda table: table.slice(1))
    assert f"{folder}/ has " in said(copy, capsys)


@pytest.mark.parametrize(
    ("folder", "column", "value", "finding"),
    [
        ("documents", "recipe_hash", "0" * 64, "a document has recipe_hash 000"),
        ("documents", "language", "xx", "xx: 1 rows, run.json says 0"),
        ("documents", "id", "f" * 32, "docs.parquet lacks 1 (first: id ffff"),
        ("documents", "url", "http://other.org/", "docs.parquet lacks 1"),
        ("documents", "split", "test", "docs.parquet lacks 1"),
        ("rejected", "rule", "none", "none: 1 rows, run.json says 0"),
        ("errors", "error", "none", "none: 1 rows, run.json says 0"),
        ("clusters", "method", "none", "clusters drop"),
        ("shards", "id", "f" * 32, "docs.parquet lacks 1"),
    ],
)
def test_rows_that_were_changed(
    folder: str,
    column: str,
    value: str,
    finding: str,
    copy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = biggest(copy / folder)
    change = with_first(column, value)
    if folder == "clusters":  # only what is dropped is counted
        rewrite(path, lambda table: table.sort_by("kept"))
    rewrite(path, change)
    assert finding in said(copy, capsys)


def test_a_cluster_that_keeps_another_page(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def keep_all(table: pa.Table) -> pa.Table:
        index = table.schema.names.index("kept")
        all_kept = pc.or_(table.column("kept"), True)
        return table.set_column(index, table.schema.field("kept"), all_kept)

    rewrite(biggest(copy / "clusters"), keep_all)
    assert "dedup.exact: 0 rows, run.json says 5" in said(copy, capsys)


def test_another_column_type(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(biggest(copy / "rejected"), lambda table: table.drop_columns(["detail"]))
    assert "has other columns or types (detail)" in said(copy, capsys)


def bump(record: Any, *path: str | int) -> None:
    *parents, last = path
    for key in parents:
        record = record[key]
    record[last] += 1


@pytest.mark.parametrize(
    ("path", "finding"),
    [
        (("phases", 0, "in"), "phase extract does not reconcile"),
        (("phases", 1, "rejected"), "phase dedup does not reconcile"),
        (("funnel", 0, "kept"), "funnel step records says"),
        (("funnel", 3, "rejected"), "funnel step url says"),
        (("funnel", -1, "kept"), "funnel step dedup.minhash says"),
        (("rules", "dedup.exact"), "but `rules` accounts for"),
        (("errors", "read.truncated"), "but `errors` accounts for"),
        (("languages", "en"), "but `languages` accounts for"),
        (("shards", 0, "docs"), "but `shards` accounts for"),
        (("shards", 0, "tokens"), "split train has"),
    ],
)
def test_numbers_of_the_record(
    path: tuple[str | int, ...], finding: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((copy / "run.json").read_text())
    bump(record, *path)
    (copy / "run.json").write_text(json.dumps(record))
    assert finding in said(copy, capsys)


@pytest.mark.parametrize("name", ["fingerprint", "recipe_hash"])
def test_the_record_of_another_run(
    name: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((copy / "run.json").read_text())
    record[name] = "0" * 64
    (copy / "run.json").write_text(json.dumps(record))
    assert f"its {name} is" in said(copy, capsys)


def test_decoded_text_cannot_steer_the_terminal(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tokenizer, "decode", lambda self, tokens: "a\x1b[2J\x9bb\nc")
    for more in ([], ["--json"]):
        assert run(["shards", "cat", str(finished / "shards"), *more]) == 0
        shown = capsys.readouterr().out
        assert not set(shown) & set("\x1b\x9b")
        assert r"a\u001b[2J\u009bb" in shown


@pytest.mark.parametrize("name", ["shards", "clusters"])
def test_an_annotated_run_has_no_more(
    name: str, annotated: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Path(shutil.copytree(annotated, tmp_path / "out"))
    shutil.copytree(finished / name, output / name, dirs_exist_ok=True)
    assert "an annotated run has no clusters and no shards" in said(output, capsys)


def test_verdicts_of_an_annotated_run(
    annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Path(shutil.copytree(annotated, tmp_path / "out"))
    rewrite(biggest(output / "verdicts"), lambda table: table.slice(1))
    assert "verdicts/ has" in said(output, capsys)
