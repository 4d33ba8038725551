"""The ``lakeopt`` program: its commands, and how it ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from lakeopt import __version__
from lakeopt.cli import act_commands, diagnostics, output, read_commands
from lakeopt.cli.options import grouped
from lakeopt.errors import UsageError

# Plain help: drawing it with rich would double the start-up time.
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
for _command in (*read_commands.COMMANDS, *act_commands.COMMANDS):
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
    """Run the program and return its exit code; no exception leaves it."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for a job in the background of a script
            signal.signal(number, _interrupt)
    command = typer.main.get_command(app)
    try:
        # Not through the command's own main, which would turn an interrupt into a bare exit code.
        with command.make_context("lakeopt", words) as context:
            return int(command.invoke(context))
    except typer.Exit as end:
        return end.exit_code
    except TyperException as error:
        message = error.format_message().replace(": Value error, ", ": ")  # what a validator below typer puts before it
        return diagnostics.report(UsageError(message, hint=_usage_hint(words)))
    except BrokenPipeError:  # whoever read the help has seen enough
        return 0
    except (Exception, KeyboardInterrupt) as error:
        return diagnostics.report(error, debug="--debug" in words)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    # One kind of interrupt: whatever cleans up after Ctrl-C cleans up after SIGTERM too.
    raise KeyboardInterrupt(signal.Signals(signum).name)


def _usage_hint(words: Sequence[str]) -> str:
    names = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    named = next((word for word in words if word in names), None)
    return f"lakeopt {named} --help" if named else "lakeopt --help"
