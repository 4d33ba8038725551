"""Alone writes stdout (and the files of ``-o``). Every format is made from the same value."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from lakeopt.errors import UsageError, WorkFailed
from lakeopt.model.serde import Document, to_json


class Format(StrEnum):
    """The forms that every value has."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"


#: Endings of ``-o`` files that choose a format where ``--format`` does not.
SUFFIXES = {
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".md": Format.MARKDOWN,
}
#: Width of tables that no terminal shows, unless ``COLUMNS`` says otherwise.
WIDTH = 120


def render(value: Document, form: Format, *, width: int = WIDTH, colour: bool = False) -> str:
    """The text of a value in one format, ending with a line feed (a format without rows may be empty)."""
    if form is Format.JSON:
        return to_json(value) + "\n"
    if form in (Format.JSONL, Format.CSV):
        from lakeopt.cli import records

        return records.json_lines(value) if form is Format.JSONL else records.comma_separated(value)
    from lakeopt.cli.section import sections

    if form is Format.MARKDOWN:
        from lakeopt.cli import markdown

        return markdown.draw(sections(value))
    from lakeopt.cli import terminal

    return terminal.draw(sections(value), width=width, colour=colour)


def write(value: Document, form: Format, file: Path | None = None) -> None:
    """Write a value to a file, or to stdout; a table takes the width of the terminal."""
    if file is not None:
        save(render(value, form), file)
    else:
        text(
            render(
                value,
                form,
                width=width(),
                colour=has_colours(sys.stdout is not None and sys.stdout.isatty(), os.environ),
            )
        )


def say(thing: object) -> None:
    """Show a step of a longer story as it goes: a value as a table, anything else as a line of text."""
    if isinstance(thing, Document):
        write(thing, Format.TABLE)
    else:
        text(f"{thing}\n")


def save(content: str, file: Path) -> None:
    """Write a file in one step, so that no reader meets half of it.

    :raises UsageError: there is no such folder.
    :raises WorkFailed: the file cannot be written.
    """
    scratch = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        if file.exists() and not file.is_file():  # a device or a pipe takes what it is given
            file.write_text(content, encoding="utf-8", errors="backslashreplace")
            return
        scratch.write_text(content, encoding="utf-8", errors="backslashreplace")
        scratch.replace(file)
    except FileNotFoundError as error:
        raise UsageError(f"no such folder: {file.parent}", hint="make it first, or choose another -o FILE") from error
    except OSError as error:
        with contextlib.suppress(OSError):  # where nothing can be written, nothing can be removed
            scratch.unlink(missing_ok=True)
        raise WorkFailed(f"cannot write {file}: {error.strerror}", hint="choose another -o FILE") from error


def text(content: str) -> None:
    """Write text to stdout. A reader that has seen enough (``| head``) ends the writing, not the work.

    :raises WorkFailed: stdout is closed, or its disk is full.
    """
    if sys.stdout is None:
        raise WorkFailed("stdout is closed", hint="give -o FILE")
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        sys.stdout.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered must go somewhere when the interpreter closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise WorkFailed(f"cannot write to stdout: {error.strerror}", hint="give -o FILE") from error


def width() -> int:
    """Columns of the terminal, ``COLUMNS`` where it is set, else :data:`WIDTH`; never under 40."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, 40)


def has_colours(terminal: bool, environment: Mapping[str, str]) -> bool:
    """Whether to colour: only on a terminal that can, and not against ``NO_COLOR``.

    >>> has_colours(True, {}), has_colours(True, {"NO_COLOR": "1"}), has_colours(False, {})
    (True, False, False)
    """
    return terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
