"""A datatrove assets folder in miniature, and the full list built once."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.url import Blocklist

MakeAssets = Callable[..., Path]


@pytest.fixture
def make_assets(tmp_path: Path) -> MakeAssets:
    def make(
        domains: str = "bad.com\n# comment\n\nsub.host.org\n1.2.3.4\nxxx\n",
        urls: str = "site.org/Bad/page/\n",
        hard: str = "porn\n#ass\n",
        soft: str = "nude\nescort\n",
        substrings: str = "free sex\n",
    ) -> Path:
        folder = tmp_path / "assets"
        folder.mkdir(exist_ok=True)
        with tarfile.open(folder / "url_filterblacklistsv0.tar.gz", "w:gz") as archive:
            for name, text in (("urls", urls), ("domains", domains)):
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        (folder / "banned_words.txt").write_text(hard)
        (folder / "soft_banned_words.txt").write_text(soft)
        (folder / "banned_subwords.txt").write_text(substrings)
        return folder

    return make


@pytest.fixture(scope="session")
def full_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocklist")
    Blocklist.build(folder)
    return folder
