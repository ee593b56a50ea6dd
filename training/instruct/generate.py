"""`corpusmill instruct generate`: the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.errors import CorpusmillError, OutputError
from training.instruct.asking import Asker
from training.instruct.budget import Account, BudgetSpent
from training.instruct.cache import AnswerCache
from training.instruct.config import GenerateConfig, ModelSource
from training.instruct.methods import METHODS, Run, Workshop
from training.instruct.output import CACHE, Output
from training.instruct.requests import Generator
from training.instruct.seeds import seeds_sha256


def open_generator(source: ModelSource) -> Generator:
    """Who answers. Raises UsageError or InputError in one line."""
    if source.endpoint is not None:
        from training.instruct.endpoint import Endpoint

        return Endpoint(source)
    from training.instruct.own_model import OwnModel, open_model

    assert source.folder is not None
    return OwnModel(*open_model(source.folder))


def generate(
    config: GenerateConfig,
    generator: Generator | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Make records until there are `config.count`, or the budget or the method's means are spent.

    Returns the content of summary.json: `state` is complete, exhausted, budget or failed. Answers
    are kept as they come, so that the same command goes on after a kill, and asks nothing twice.
    Raises UsageError or InputError before work (all is read and checked before the folder is
    touched), and CorpusmillError where the model stopped answering.
    """
    run = METHODS[config.method].prepare(config)
    digest = seeds_sha256(getattr(config, config.method).seeds)
    asked = generator if generator is not None else open_generator(config.model)
    try:
        output = Output(config, digest)
        with output.locked():
            return _made(config, run, asked, output, say)
    finally:
        if generator is None:
            asked.close()


def _made(
    config: GenerateConfig, run: Run, asked: Generator, output: Output, say: Callable[[str], None]
) -> dict[str, Any]:
    cache = AnswerCache(output.folder / CACHE)
    account = Account(config.budget, config.prices, cache.answers())
    asker = Asker(asked, cache, account)
    failure: CorpusmillError | None = None
    try:
        with output:
            state = run(Workshop(config, asker, output, say))
    except BudgetSpent as spent:
        state = "budget"
        say(str(spent))
    except OutputError:
        raise  # a summary would speak of records that are not there
    except CorpusmillError as error:
        state, failure = "failed", error
    finally:
        asker.close()
        cache.close()
    summary = output.summarize(
        {
            "state": state,
            "method": config.method,
            "source": METHODS[config.method].source,
            "model": dict(asked.identity),
            "seed": config.seed,
            **account.summary(),
        }
    )
    if failure is not None:
        raise failure
    return summary
