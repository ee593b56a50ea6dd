"""`corpusmill`: the commands, and what the user sees of an error."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from pipelines.cli import (
    assets,
    chat,
    curate,
    decide,
    demo,
    deploy,
    estimate,
    eval_,
    export,
    generate,
    import_,
    inspect,
    instruct,
    launch,
    phase,
    plan,
    pretrain,
    recipes,
    report,
    sft,
    shards,
    trace,
    verify,
)
from pipelines.cli.terminal import visible
from schemas.errors import CorpusmillError, UsageError

_WORKER_THREADS = (
    "run_worker",
    "read_grpc_client_inputs",
    "read_state",
    "read_log_control_messages",
)
"""apache_beam/runners/worker: worker_pool_main, data_plane, sdk_worker, log_handler."""

INTERRUPTED = 130
"""Exit code of a process that SIGINT ended, as shells count it."""


class _Commands(TyperGroup):
    """The commands, and what Ctrl-C does to each of them."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # A second Ctrl-C ends the process at once, while this one waits for its children.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            line = "interrupted; what was finished is kept: run the same command to go on"
            typer.echo(line, err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    name="corpusmill",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Common Crawl in, trained model out.\n\n"
        "Start with [bold]corpusmill demo[/bold]: it needs no network and takes a minute. "
        "Every command takes --debug, which shows a traceback for an error instead of one line."
    ),
)

for _module in (
    demo,
    curate,
    phase,
    decide,
    recipes,
    inspect,
    report,
    verify,
    shards,
    pretrain,
    sft,
    launch,
    assets,
    deploy,
    estimate,
    plan,
    trace,
    export,
    import_,
    generate,
    eval_,
    chat,
    instruct,
):
    _module.register(app)


def main() -> NoReturn:
    """Entry point of the console script. Exit code 0, 2 for wrong usage, 1 for a failed run, 130
    for one that was interrupted."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    sys.exit(run([a for a in arguments if a != "--debug"], debug))


def run(arguments: list[str], debug: bool = False) -> int:
    """Run one command line; returns the exit code."""
    _quiet_libraries(debug)
    command = typer.main.get_command(app)
    try:
        command(args=arguments, prog_name="corpusmill")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except CorpusmillError as error:
        if debug:
            raise
        _complain(str(error))
        return 2 if isinstance(error, UsageError) else 1
    except Exception as error:
        if debug:
            raise
        line = " ".join(str(error).split())[:500]
        _complain(f"{type(error).__name__}: {line} (run again with --debug for the traceback)")
        return 1
    return 0


def _complain(line: str) -> None:
    console = Console(stderr=True, soft_wrap=True, emoji=False)
    console.print("[bold red]error:[/bold red] ", end="")
    console.print(visible(line, one_line=True), markup=False, highlight=False)


def _quiet_libraries(debug: bool) -> None:
    """Libraries log what we report ourselves; with --debug everything is shown."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.CRITICAL)
    if not debug:
        # Some of Beam's loggers set a level of their own.
        for handler in logging.getLogger().handlers:
            handler.setLevel(logging.CRITICAL + 1)
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL + 1)
        threading.excepthook = _report_thread


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    """Beam's worker threads end with errors when a job server hangs up, or is told to; what
    happens in a step comes to the driver through the runner."""
    if not (failure.thread and failure.thread.name.startswith(_WORKER_THREADS)):
        threading.__excepthook__(failure)
