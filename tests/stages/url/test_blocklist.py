from __future__ import annotations

import gzip
import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.errors import InputError, OutputError
from stages.url import Blocklist
from stages.url.address import split_address


def test_full_list_is_the_wheels(full_folder: Path) -> None:
    blocklist = Blocklist.open(full_folder)
    # Line counts of the two files in datatrove 0.10.1.
    assert (blocklist.n_domains, blocklist.n_urls) == (4_558_940, 19_587)
    assert blocklist.has_domain("0-1avsex.com")
    assert not blocklist.has_domain("example.org")
    assert not blocklist.has_domain("")
    assert "porn" in blocklist.words.hard
    assert "sex" in blocklist.words.soft
    assert "2girls1cup" in blocklist.words.substrings


def test_full_list_holds_the_published_samples(full_folder: Path, shared_data: Path) -> None:
    blocklist = Blocklist.open(full_folder)
    lists = shared_data / "lists_and_models" / "url_lists"
    with gzip.open(lists / "fineweb_blocked_domains_1of150.txt.gz", "rt") as file:
        assert all(blocklist.has_domain(line.strip()) for line in file)
    with gzip.open(lists / "fineweb_blocked_urls.txt.gz", "rt") as file:
        assert all(blocklist.has_url(split_address(line).entry) for line in file)


def test_opening_is_fast_and_small(full_folder: Path) -> None:
    start = time.perf_counter()
    Blocklist.open(full_folder)
    assert time.perf_counter() - start < 0.5
    size_bytes = sum(path.stat().st_size for path in full_folder.iterdir())
    assert size_bytes < 40_000_000


def test_reading_the_lists_does_not_import_datatrove(repository: Path) -> None:
    code = "import sys, stages.url.fineweb as f; f.FinewebLists().words(); "
    code += "sys.exit('datatrove' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True)


def test_small_list(make_assets, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    blocklist = Blocklist.build(
        tmp_path / "out", lambda *step: calls.append(step), assets=make_assets()
    )
    assert (blocklist.n_domains, blocklist.n_urls) == (4, 1)
    assert blocklist.has_domain("sub.host.org")
    assert not blocklist.has_domain("host.org")
    assert blocklist.has_url(split_address("https://www.Site.org/Bad/page").entry)
    assert not blocklist.has_url(split_address("https://site.org/bad/page").entry)
    assert blocklist.words.hard == {"porn"}
    assert blocklist.words.substrings == {"freesex"}
    assert calls[-1][0] == calls[-1][1] > 0


def test_building_again_writes_nothing_until_a_list_changes(make_assets, tmp_path: Path) -> None:
    target = tmp_path / "out"
    Blocklist.build(target, assets=make_assets())
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    Blocklist.build(target, assets=make_assets(), progress=pytest.fail)
    assert {path.name: path.stat().st_mtime_ns for path in target.iterdir()} == before
    changed = Blocklist.build(target, assets=make_assets(domains="other.com\n"))
    assert changed.has_domain("other.com")
    assert not changed.has_domain("bad.com")


def test_damage_is_reported_and_mended(make_assets, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(InputError, match="no usable block list"):
        Blocklist.open(target)
    Blocklist.build(target, assets=make_assets())
    data = next(target.glob("*.u64"))
    data.write_bytes(data.read_bytes()[:-8])
    with pytest.raises(InputError, match="no usable block list"):
        Blocklist.open(target)
    assert Blocklist.build(target, assets=make_assets()).has_domain("bad.com")
    (target / "blocklist.json").write_text(json.dumps([1]))
    assert Blocklist.build(target, assets=make_assets()).has_domain("bad.com")


def test_bad_sources_are_one_clear_line(make_assets, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"banned_words\.txt is not in"):
        Blocklist.build(tmp_path / "out", assets=tmp_path)
    assets = make_assets()
    archive = next(assets.glob("*.tar.gz"))
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(InputError, match="reinstall it"):
        Blocklist.build(tmp_path / "out", assets=assets)


def test_unwritable_target_is_one_clear_line(make_assets, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the block list"):
        Blocklist.build(tmp_path / "file", assets=make_assets())


def _build(folder: str, assets: str) -> None:
    Blocklist.build(folder, assets=Path(assets))


def test_processes_may_build_at_once(make_assets, tmp_path: Path) -> None:
    target, assets = tmp_path / "out", make_assets()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_build, args=(str(target), str(assets))) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(list(target.iterdir())) == 2
    assert Blocklist.open(target).has_domain("bad.com")
