"""Tokenizers for tests of conversations, as the families have them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from schemas.chat import Message, ToolCall

QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    "<|eot_id|>",
)
LEARN = [
    "user assistant system tool ipython",
    "What is the capital of France? It is Paris.",
    "Über 3 日本 😀 <tool_call> {} im_end im_start",
]

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
TALK = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="What is the capital of France?"),
    Message(role="assistant", content="It is Paris."),
    Message(role="user", content="And 日本? "),
    Message(role="assistant", content="\nTōkyō 😀"),
)
TOOL_TALK = (
    Message(role="user", content="Weather in Bern?"),
    Message(
        role="assistant",
        tool_calls=(ToolCall(name="weather", arguments={"place": "Bern"}, id="call00001"),),
    ),
    Message(role="tool", content='{"degrees": 7}', tool_call_id="call00001", name="weather"),
    Message(role="assistant", content="Seven degrees."),
)


def byte_level(folder: Path, special: tuple[str, ...], eos: str, bos: str | None = None) -> Path:
    """A byte-level tokenizer.json with its settings, as a Hugging Face folder holds them; returns
    the folder. <tool_call> and </tool_call> are added, but not special, as in Qwen2.5."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(LEARN, trainer)
    made.add_tokens(
        [AddedToken(t, special=False, normalized=False) for t in ("<tool_call>", "</tool_call>")]
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": eos}
    told = settings if bos is None else {**settings, "bos_token": bos}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


def qwen(folder: Path) -> Path:
    return byte_level(folder, QWEN, "<|endoftext|>")


def llama(folder: Path) -> Path:
    return byte_level(folder, LLAMA, "<|end_of_text|>", "<|begin_of_text|>")


def sentencepiece_model(folder: Path, **changes: object) -> Path:
    """A model with <|im_start|> that the user defined and <|im_end|> for control."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LEARN),
        model_writer=model,
        **{
            "vocab_size": 360,
            "model_type": "bpe",
            "hard_vocab_limit": False,
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
            "add_dummy_prefix": False,
            "user_defined_symbols": ["\n", "<|im_start|>"],
            "control_symbols": ["<|im_end|>"],
            "minloglevel": 2,
            **changes,
        },
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.model"
    path.write_bytes(model.getvalue())
    return path
