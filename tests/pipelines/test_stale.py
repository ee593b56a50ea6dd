"""What a run leaves in its output folder at the end, and what it does not touch."""

from __future__ import annotations

from pathlib import Path

from pipelines.stale import drop_stale
from pipelines.workspace import Workspace

TASK = "0123456789abcdef-000000000000"
OTHER = "0123456789abcdef-000000050000"


def test_what_a_killed_worker_had_begun_to_write_goes(tmp_path: Path) -> None:
    kept = [
        *(f"{folder}/{TASK}.parquet" for folder in ("documents", "rejected", "verdicts")),
        f".work/annotated/{TASK}.parquet",
        "shards/train/shard-00000.bin",
        "documents/notes.tmp",
        "verdicts/of mine.parquet.tmp",
        "run.json",
    ]
    begun = [
        *(f"{folder}/{TASK}.parquet.abdc1a08.tmp" for folder in ("documents", "verdicts")),
        f"errors/{TASK}.parquet.00000000.tmp",
        f".work/annotated/{TASK}.parquet.12345678.tmp",
        "clusters/part.parquet.12345678.tmp",
        "shards/manifest.json.12345678.tmp",
        "shards/train/shard-00000.bin.12345678.tmp",
        "shards/validation/shard-00000.idx.12345678.tmp",
        "run.json.12345678.tmp",
    ]
    for name in (*kept, *begun, f"rejected/{OTHER}.parquet"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    drop_stale(Workspace(str(tmp_path)), [TASK], None)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)
