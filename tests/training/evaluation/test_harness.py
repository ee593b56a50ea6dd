"""Our model in lm-eval, beside its own model for transformers on the exported folder, and our tasks
beside lm-eval's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import UsageError
from tests.training.tokenizers.test_tokenizers import byte_level_file, sentencepiece_file
from training.evaluation import gsm8k, multiple_choice
from training.evaluation.likelihood import request
from training.evaluation.subject import Subject, open_subject
from training.evaluation.task import Options
from training.evaluation.tasks import find_task
from training.tokenizers import load_tokenizer, save_tokenizer

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.slow

CHOICES = """\
task: local_choices
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/choices.jsonl}}, cache_dir: {folder}/cache}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""
NUMBERS = """\
task: local_numbers
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/numbers.jsonl}}, cache_dir: {folder}/cache}}
test_split: test
output_type: generate_until
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["Question:"], do_sample: false, max_gen_toks: 12}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
WORDS = ("river", "stone", "Öl", "a long grey wall", "sun")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    choices = [
        {
            "question": f"What is number {n}" + "?" * (n % 4),
            "choices": [f"{WORDS[(n * k + k) % 5]} {k}" for k in range(2 + n % 3)],
            "answer": n % 2,
        }
        for n in range(40)
    ]
    numbers = [{"question": "q" * n, "answer": f"#### {n}"} for n in (2, 11, 40)]
    for name, rows, task in (
        ("choices", choices, CHOICES),
        ("numbers", numbers, NUMBERS),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"{name}.yaml").write_text(task.format(folder=folder))
    return folder


def test_multiple_choice_agrees_item_by_item(subject: Subject, folder: Path) -> None:
    theirs = find_task("lm_eval/local_choices").run(subject, Options(include=folder))
    ours = multiple_choice.multiple_choice(subject, Options(data=folder / "choices.jsonl"))
    assert theirs.items == ours.items == 40
    for name in ("acc", "acc_norm"):
        assert [row[name] for row in theirs.rows] == [row[name] for row in ours.rows]
        assert theirs.value(name) == pytest.approx(ours.value(name))
        assert 0 < ours.value(name) < 1
    limited = find_task("lm_eval/local_choices").run(subject, Options(include=folder, limit=5))
    assert limited.items == 5


def test_greedy_answers_agree(subject: Subject, folder: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from training.evaluation.harness import CorpusmillLM

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found: Any = simple_evaluate(
        model=CorpusmillLM(subject), tasks=["local_numbers"], task_manager=manager
    )
    said = [sample["resps"][0][0] for sample in found["samples"]["local_numbers"]]
    ours = gsm8k.run(subject, Options(data=folder / "numbers.jsonl", max_new_tokens=12))
    assert said == [row["answer"] for row in ours.rows]


def exported(subject: Subject, folder: Path) -> Any:
    """The folder that an export writes, in lm-eval's backend `hf`."""
    from model.huggingface import save_huggingface
    from training.tokenizers.exporting import export_tokenizer

    folder.mkdir(exist_ok=True)
    export_tokenizer(subject.folder, folder)
    decoder = subject.decoder
    save_huggingface(decoder.config, decoder.state_dict(), folder, eos_id=subject.tokenizer.eos_id)
    return of_lm_eval(folder)


def of_lm_eval(folder: Path) -> Any:
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    return HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(folder),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(folder),
        device="cpu",
        batch_size=4,
    )


def asked(kind: Any, *arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, one, number) for number, one in enumerate(arguments)]


def test_equals_lm_evals_model_for_transformers(
    subject: Subject, tmp_path: Path, folder: Path
) -> None:
    from training.evaluation.harness import CorpusmillLM

    theirs, ours = exported(subject, tmp_path), CorpusmillLM(subject)
    pairs = asked(
        "loglikelihood", ("The sky is", " blue"), ("The sky is ", "red"), ("", "x y"),
        ("word " * 70, " end"),
    )  # fmt: skip
    for mine, other in zip(ours.loglikelihood(pairs), theirs.loglikelihood(pairs), strict=True):
        assert mine[0] == pytest.approx(other[0], rel=1e-4)
        assert mine[1] == other[1]
    texts = asked("loglikelihood_rolling", ("short",), ("a longer text, " * 50,))
    assert ours.loglikelihood_rolling(texts) == pytest.approx(
        theirs.loglikelihood_rolling(texts), rel=1e-4
    )
    settings = {"until": ["e"], "do_sample": False, "max_gen_toks": 10}
    prompts = asked("generate_until", ("The sky", settings), ("word " * 70, settings))
    assert ours.generate_until(prompts) == theirs.generate_until(prompts)


@pytest.mark.parametrize("make", [sentencepiece_file, byte_level_file])
def test_pairs_are_cut_where_lm_eval_cuts_them(make: Any, tmp_path: Path) -> None:
    from lm_eval.api.model import TemplateLM
    from transformers import PreTrainedTokenizerFast

    from training.tokenizers.exporting import export_tokenizer

    for name in ("run", "hf"):
        (tmp_path / name).mkdir()
    names = {"bos_token": "<bos>", "eos_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    save_tokenizer(make(tmp_path), tmp_path / "run")
    words = load_tokenizer(tmp_path / "run")
    export_tokenizer(tmp_path / "run", tmp_path / "hf")
    theirs: Any = PreTrainedTokenizerFast.from_pretrained(tmp_path / "hf")
    bos = bool(theirs.encode(""))
    lm: Any = SimpleNamespace(backend="causal", tok_encode=theirs.encode)
    for context, continuation in (
        ("some words", " to learn"),
        ("some words to ", " learn"),
        ("more words\n\n", "and"),
        ("wor", "ds from"),
        ("日", "本 and words"),
        ("a  ", " b"),
        ("Answer:", " words"),
        (" some", "words"),
        ("x\t", "y"),
    ):
        found = request(words, context, continuation, bos=bos)
        assert (list(found.context), list(found.continuation)) == TemplateLM._encode_pair(
            lm, context, continuation
        )


def test_texts_that_begin_with_bos_equal_those_of_lm_evals_model(tmp_path: Path) -> None:
    """But for rolling log-likelihoods, in which lm-eval's model scores the BOS that the tokenizer
    writes, behind another one."""
    from model.decoder import Decoder
    from model.huggingface import save_huggingface
    from model.presets import preset
    from training.evaluation.harness import CorpusmillLM

    names = {"bos_token": "<bos>", "eos_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    byte_level_file(tmp_path, "tokenizer.json")
    decoder = Decoder(preset("debug", 300))
    decoder.initialize(3)
    state = {n: t * 6 if t.ndim > 1 else t for n, t in decoder.state_dict().items()}
    save_huggingface(decoder.config, state, tmp_path, eos_id=0)
    opened = open_subject(tmp_path)
    assert opened.bos
    theirs, ours = of_lm_eval(tmp_path), CorpusmillLM(opened)
    pairs = asked(
        "loglikelihood", ("some words", " to learn"), ("words ", "and"), ("", "more"),
        ("日 x " * 90, " end"),
    )  # fmt: skip
    for mine, other in zip(ours.loglikelihood(pairs), theirs.loglikelihood(pairs), strict=True):
        assert mine == (pytest.approx(other[0], rel=1e-4), other[1])
    settings = {"until": ["e"], "max_gen_toks": 10}
    prompts = asked("generate_until", ("some words", settings), ("日 x " * 90, settings))
    assert ours.generate_until(prompts) == theirs.generate_until(prompts)
    rolling = asked("loglikelihood_rolling", ("words to learn from",))
    ((twice, _),) = theirs._loglikelihood_tokens([(None, [1], [1])])
    (after_one,) = ours.loglikelihood_rolling(rolling)
    words = opened.tokenizer.encode("words to learn from").tolist()
    ((expected, _),) = theirs._loglikelihood_tokens([(None, [1], words)])
    assert after_one == pytest.approx(expected, rel=1e-4)
    assert theirs.loglikelihood_rolling(rolling)[0] == pytest.approx(
        twice + theirs._loglikelihood_tokens([(None, [1, 1], words)])[0][0], rel=1e-4
    )


def test_conversations_equal_those_of_lm_evals_model(
    chatty: Subject, tmp_path: Path, folder: Path
) -> None:
    """Texts, log-likelihoods and greedy answers through the exported chat template."""
    from training.evaluation.chat_form import chat_form
    from training.evaluation.harness import CorpusmillLM

    theirs = exported(chatty, tmp_path / "hf")
    ours = CorpusmillLM(chatty, formatter=chat_form(chatty, None))
    history = [
        {"role": "system", "content": "Be brief. "},
        {"role": "user", "content": "What is wet?\nAnswer:"},
        {"role": "assistant", "content": "Water"},
        {"role": "user", "content": "And hot <eos>?"},
    ]
    begun = [*history, {"role": "assistant", "content": "It is "}]
    texts = [ours.apply_chat_template(history), ours.apply_chat_template(begun, False)]
    assert texts == [theirs.apply_chat_template(history), theirs.apply_chat_template(begun, False)]
    assert texts[0].endswith("[assistant]")
    assert texts[1].endswith("[assistant]It is ")
    pairs = asked("loglikelihood", *((text, end) for text in texts for end in ("fire", " a sun")))
    for mine, other in zip(ours.loglikelihood(pairs), theirs.loglikelihood(pairs), strict=True):
        assert mine == (pytest.approx(other[0], rel=1e-4), other[1])
    prompts = asked("generate_until", *((text, {"max_gen_toks": 10}) for text in texts))
    assert ours.generate_until(prompts) == theirs.generate_until(prompts)
    assert ours.chat_template(True) == theirs.chat_template(True)
    assert ours.chat_template(False) is None
    assert "/" not in ours.tokenizer_name


def test_a_task_goes_through_the_chat_template_where_asked(
    chatty: Subject, subject: Subject, folder: Path
) -> None:
    task = find_task("lm_eval/local_numbers")
    options = Options(include=folder, shots=0)
    plain, chat = task.run(chatty, options), task.run(chatty, replace(options, chat=True))
    assert plain.settings["chat_template"] is None
    assert str(chat.settings["chat_template"]).endswith("chat_template.jinja")
    with pytest.raises(UsageError, match="has no chat template"):
        task.run(subject, replace(options, chat=True))


def test_greedy_answers_agree_through_a_chat_template(chatty: Subject, folder: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from training.evaluation.chat_form import chat_form
    from training.evaluation.harness import CorpusmillLM

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    lm = CorpusmillLM(chatty, formatter=chat_form(chatty, None))
    found: Any = simple_evaluate(
        model=lm, tasks=["local_numbers"], task_manager=manager, apply_chat_template=True
    )
    said = [sample["resps"][0][0] for sample in found["samples"]["local_numbers"]]
    ours = gsm8k.run(chatty, Options(data=folder / "numbers.jsonl", max_new_tokens=12))
    assert said == [row["answer"] for row in ours.rows]
    assert ours.settings["chat_template"]


def test_new_tokens_may_be_fewer_than_a_task_asks_for(
    subject: Subject, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task says 12."""
    asked_for: list[int] = []

    def noted(decoder: Any, words: Any, prompts: Any, **how: Any) -> list[str]:
        asked_for.append(how["max_new_tokens"])
        return [""] * len(prompts)

    from training.evaluation import harness

    monkeypatch.setattr(harness, "greedy_answers", noted)
    for new in (None, 3):
        options = Options(include=folder, max_new_tokens=new)
        find_task("lm_eval/local_numbers").run(subject, options)
    assert asked_for == [12, 3]


def written(subject: Subject, settings: dict[str, Any]) -> str:
    from lm_eval.api.instance import Instance

    from training.evaluation.harness import CorpusmillLM

    (text,) = CorpusmillLM(subject).generate_until(
        [Instance("generate_until", {}, ("The sky", settings), 0)]
    )
    return text


def test_generation_settings_are_read_as_lm_eval_reads_them(subject: Subject) -> None:
    whole = written(subject, {"max_gen_toks": 10})
    assert len(subject.tokenizer.encode(whole)) >= 10
    stop = whole[5:7]
    cut = whole[: whole.index(stop)]
    for until in (stop, (stop,), [stop, "never"]):
        assert written(subject, {"max_gen_toks": 10, "until": until}) == cut
    same: list[dict[str, Any]] = [
        {"until": None, "do_sample": False, "temperature": 0.7, "top_p": 0.9},
        {"num_beams": 1, "temperature": 0.0, "until": []},
    ]
    for settings in same:
        assert written(subject, {"max_gen_toks": 10, **settings}) == whole
    assert written(subject, {"max_new_tokens": 10}) == whole
    # Half of the model's window, which has no room for lm-eval's 256.
    assert written(subject, {}) == written(subject, {"max_gen_toks": 128})
    # In lm-eval's order: what the first one leaves has none of the second.
    overlapping = [whole[6:7], whole[5:7]]
    assert (
        written(subject, {"max_gen_toks": 10, "until": overlapping})
        == (whole.split(overlapping[0])[0].split(overlapping[1])[0])
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": None}, "generation_kwargs of the task.*NoneType"),
        ({"max_gen_toks": "ten"}, "generation_kwargs of the task.*'ten'"),
        ({"until": 5}, "generation_kwargs of the task.*not iterable"),
        ({"temperature": 0.7}, "samples its answers"),
        ({"do_sample": True}, "samples its answers"),
        ({"num_beams": 4}, "asks for num_beams 4"),
        ({"max_gen_toks": 256}, "asks for 256 new tokens, and the model has room for 256"),
    ],
)
def test_generation_settings_that_cannot_be_are_named(
    settings: dict[str, Any], said: str, subject: Subject
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        written(subject, settings)
    assert "\n" not in str(caught.value)


def test_what_lm_eval_does_not_know_is_named(subject: Subject, folder: Path) -> None:
    from schemas.errors import InputError

    with pytest.raises(InputError, match="lm-eval knows no task local_poems"):
        find_task("lm_eval/local_poems").run(subject, Options(include=folder))
    with pytest.raises(InputError, match="is no folder"):
        find_task("lm_eval/local_choices").run(subject, Options(include=folder / "absent"))
