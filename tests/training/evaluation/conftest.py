"""A model of bytes, small and with opinions, as a folder and opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model.decoder import Decoder
from model.huggingface import save_huggingface
from model.presets import preset
from training.evaluation.subject import Subject, open_subject
from training.tokenizers import save_tokenizer

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="session")
def byte_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    decoder = Decoder(preset("debug", 257))
    decoder.initialize(3)
    state = {n: t * 6 if t.ndim > 1 else t for n, t in decoder.state_dict().items()}
    save_huggingface(decoder.config, state, folder)
    save_tokenizer("byte", folder)
    return folder


@pytest.fixture(scope="session")
def subject(byte_model: Path) -> Subject:
    return open_subject(byte_model)


@pytest.fixture
def chatty(subject: Subject, byte_model: Path, tmp_path: Path) -> Subject:
    """The same model with a chat template."""
    folder = tmp_path / "chatty"
    shutil.copytree(byte_model, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return subject._replace(folder=folder)
