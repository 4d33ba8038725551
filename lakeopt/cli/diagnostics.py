"""Alone writes stderr: errors with their hint, questions, progress. Knows the exit codes."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lakeopt.cli import output
from lakeopt.cli.figures import visible
from lakeopt.errors import Interrupted, LakeoptError, Notice, UsageError

if TYPE_CHECKING:
    from lakeopt.model.serde import Document

#: ``progress(phase, done, total)``, as :func:`lakeopt.apply` calls it.
Progress = Callable[[str, int, int], None]


def report(error: BaseException, *, debug: bool = False) -> int:
    """Say what went wrong in one plain line and a hint, and return the exit code. ``debug`` adds the traceback."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        return _say("interrupted", None, Interrupted.exit_code)
    if isinstance(error, LakeoptError):
        return _say(str(error), error.hint, error.exit_code)
    if isinstance(error, MemoryError):
        return _say("out of memory", "give a smaller --memory", 1)
    hint = None if debug else "run it again with --debug and report what it prints"
    return _say(f"internal error: {type(error).__name__}: {error}", hint, 1)


def _say(message: str, hint: str | None, code: int) -> int:
    note(f"error: {message}")
    if hint:
        note(f"hint: {hint}")
    return code


def note(message: str) -> None:
    """One plain line, whatever the message holds."""
    sys.stderr.write(visible(" ".join(message.split())) + "\n")
    sys.stderr.flush()


@contextmanager
def notices() -> Iterator[None]:
    """Say what the library warns of in one line each; warnings of others, which are no user's business, stay as is."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, Notice):
                note(f"warning: {message}")
            else:
                show(message, category, *place, **more)

        warnings.showwarning = tell
        warnings.simplefilter("always", Notice)
        yield


def can_ask() -> bool:
    """Whether a person can be asked: both what they type and what they read is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def require_consent(*, given: bool) -> None:
    """Refuse early what could not be asked about later.

    :raises UsageError: consent is not given, and there is no terminal to ask on.
    """
    if not given and not can_ask():
        raise UsageError(
            "this changes the table, and there is no terminal to ask on",
            hint="give --yes to go ahead, or --dry-run to see the plan",
        )


def confirm(plan: Document, question: str = "Rewrite these files?") -> bool:
    """Show a plan and ask whether to go ahead; anything but yes means no."""
    colour = output.has_colours(sys.stderr.isatty(), os.environ)
    sys.stderr.write(output.render(plan, output.Format.TABLE, width=output.width(), colour=colour))
    sys.stderr.write(f"\n{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _bars() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def waiting(doing: str, *, quiet: bool) -> Iterator[None]:
    """Say on a terminal's stderr what is being done, and for how long already, where the end cannot be foreseen."""
    if quiet or not _bars():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bars:
        bars.add_task(doing, total=None)
        yield


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress | None]:
    """A bar with rate and time left on a terminal's stderr; elsewhere, or when quiet, none."""
    if quiet or not _bars():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bars:
        tasks: dict[str, int] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total, rate="")
            task = next(one for one in bars.tasks if one.id == tasks[phase])
            rate = f"{task.speed:,.0f} rows/s" if task.speed else ""
            bars.update(task.id, completed=done, total=total, rate=rate)

        yield show
