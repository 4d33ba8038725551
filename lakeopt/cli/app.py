"""The ``lakeopt`` program: its commands, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from lakeopt import __version__
from lakeopt.cli import (
    act_commands,
    bucket_commands,
    diagnostics,
    maintenance_commands,
    movement_commands,
    output,
    read_commands,
)
from lakeopt.cli.options import grouped
from lakeopt.errors import CommitOutcomeUnknown, Interrupted, UsageError

# Plain help: drawing it with rich would double the start-up time.
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
for _module in (read_commands, bucket_commands, act_commands, maintenance_commands, movement_commands):
    for _command in _module.COMMANDS:
        app.command()(grouped(_command))


@app.callback(invoke_without_command=True)
def lakeopt(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> int:
    """Choose, by measuring, how each table of a data lake should lie on disk; rewrite it; prove it equal.

    \b
    Example: lakeopt demo
    """
    if version:
        output.text(f"lakeopt {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        output.text(context.get_help() + "\n")
        raise typer.Exit(UsageError.exit_code)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; no exception leaves it.

    As the program itself (without ``arguments``) nothing follows but the end of the process: signals are ignored
    from then on, so that a late one does not make a failure of what is done.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    with _signals(restored=arguments is not None) as received, diagnostics.notices():
        try:
            # Not through the command's own main, which would turn an interrupt into a bare exit code.
            with typer.main.get_command(app).make_context("lakeopt", words) as context:
                return int(context.command.invoke(context))
        except typer.Exit as end:
            return end.exit_code
        except TyperException as error:
            message = error.format_message().replace(": Value error, ", ": ")  # put there by a validator below typer
            return diagnostics.report(UsageError(message, hint=_usage_hint(words)))
        except BrokenPipeError:  # whoever read the help has seen enough
            return 0
        except (Exception, KeyboardInterrupt) as error:
            return diagnostics.report(_cause(error, received), debug="--debug" in words)


def _cause(error: BaseException, received: Sequence[str]) -> BaseException:
    """What to report: the interrupt, also where a library answered it with an error of its own.

    Only that the outcome of a commit is unknown matters more than that it was interrupted.
    """
    if not received or isinstance(error, CommitOutcomeUnknown):
        return error
    cause = Interrupted(f"interrupted by {received[0]}", hint="lakeopt history TABLE says how far it came")
    cause.__cause__ = error
    return cause


@contextmanager
def _signals(*, restored: bool) -> Iterator[list[str]]:
    """Make one kind of interrupt of SIGINT and SIGTERM: what cleans up after Ctrl-C cleans up after both.

    The names of the signals that came are in the list. One that is ignored, as in a script's background job, stays so.
    """
    received: list[str] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        if _importing(frame):
            Timer(0.05, os.kill, (os.getpid(), signum)).start()
            return
        received.append(signal.Signals(signum).name)
        raise KeyboardInterrupt(received[-1])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heeded = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in heeded:
        signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler if restored else signal.SIG_IGN)


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being made: some that are written in C++ abort the process when that is interrupted."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _usage_hint(words: Sequence[str]) -> str:
    callbacks = (command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands)
    names = {name.replace("_", "-") for name in callbacks}
    named = next((word for word in words if word in names), None)
    return f"lakeopt {named} --help" if named else "lakeopt --help"
