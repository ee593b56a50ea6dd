"""A fastText file is whole and supervised, or it is refused before the library sees it."""

from __future__ import annotations

from pathlib import Path

import fasttext
import pytest

from schemas.errors import InputError
from stages.fasttext_file import check_model_file
from stages.language import model_path

PACKAGED = model_path("lid.176")
# fastText's threads each initialise a tenth of the input matrix: with fewer than eleven, a part of
# it is whatever the memory held, and training may end in NaN.
THREADS = 12


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "train.txt"
    rows = [f"__label__{n % 3} word{n % 7} word{n % 5} thing" for n in range(600)]
    path.write_text("\n".join(rows), "utf-8")
    return path


@pytest.mark.parametrize("loss", ["softmax", "hs", "ova"])
def test_trained_and_quantised_models_are_whole(lines: Path, loss: str, tmp_path: Path) -> None:
    options = {"dim": 4, "bucket": 2000, "minn": 2, "maxn": 4, "thread": THREADS, "verbose": 0}
    model = fasttext.train_supervised(str(lines), loss=loss, **options)
    model.save_model(str(tmp_path / "m.bin"))
    check_model_file(tmp_path / "m.bin")
    for qnorm in (False, True):
        model = fasttext.train_supervised(str(lines), loss=loss, **options)
        model.quantize(str(lines), qnorm=qnorm, cutoff=1000, thread=THREADS, verbose=0)
        model.save_model(str(tmp_path / f"{qnorm}.ftz"))
        check_model_file(tmp_path / f"{qnorm}.ftz")


def test_word_vectors_are_refused(lines: Path, tmp_path: Path) -> None:
    model = fasttext.train_unsupervised(
        str(lines), dim=4, bucket=100, minCount=1, thread=THREADS, verbose=0
    )
    model.save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(InputError, match="word vectors"):
        check_model_file(tmp_path / "vectors.bin")


@pytest.mark.parametrize("kept_bytes", [0, 3, 8, 40, 90, 5_000, 120_000, 700_000, 938_012])
def test_a_cut_model_is_refused(kept_bytes: int, tmp_path: Path) -> None:
    (tmp_path / "cut.ftz").write_bytes(PACKAGED.read_bytes()[:kept_bytes])
    with pytest.raises(InputError, match="no whole fastText model"):
        check_model_file(tmp_path / "cut.ftz")


def test_trailing_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "long.ftz").write_bytes(PACKAGED.read_bytes() + b"\0")
    with pytest.raises(InputError, match="938,014 bytes instead of 938,013"):
        check_model_file(tmp_path / "long.ftz")


def test_a_changed_file_is_checked_again(tmp_path: Path) -> None:
    path = tmp_path / "model.ftz"
    path.write_bytes(PACKAGED.read_bytes())
    check_model_file(path)
    path.write_bytes(PACKAGED.read_bytes()[:500])
    with pytest.raises(InputError):
        check_model_file(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        check_model_file(tmp_path / "absent")
