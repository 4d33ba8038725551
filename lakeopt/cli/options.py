"""Options that commands share, as groups: a command takes a group as one value, its help shows each option."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from lakeopt.cli.output import SUFFIXES, Format
from lakeopt.config import load_settings
from lakeopt.errors import UsageError
from lakeopt.layout.readers import READERS
from lakeopt.model import plan
from lakeopt.model.sort_fields import parse_sort_fields
from lakeopt.units import parse_duration, parse_size

Option = typer.Option
Table = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="[catalog.]namespace.table, the folder of a Hive table, or the location of a *.metadata.json file.",
    ),
]
Goal = Annotated[plan.Goal, Option(metavar="storage|reads|balanced", help="What the layout is to be good for.")]
Queries = Annotated[Path | None, Option(metavar="FILE", help="Named SQL queries that the table is judged by.")]
SetDefaultSortOrder = Annotated[bool, Option("--set-default-sort-order", help="Make it the table's sort order.")]
InNewLocation = Annotated[
    bool,
    Option(
        "--in-new-location",
        help="Of a Hive table that cannot be switched: only prepare the new files, in its folder .lakeopt.",
    ),
]
PartialProgress = Annotated[
    bool, Option("--partial-progress", help="Commit each file group by itself, as soon as it is done.")
]
ToCurrentSpec = Annotated[
    bool, Option("--to-current-spec", help="Move rows of older partition specs to the table's current one.")
]
Buckets = Annotated[int | None, Option(min=1, metavar="N", help="PV buckets  [default: files of the target size]")]
Counts = Annotated[
    str | None,
    Option(metavar="exact|sample|previous|FILE", help="Where PV buckets take counts from  [default: exact]"),
]
CompatibleWith = Annotated[
    str,
    Option(
        "--compatible-with", metavar="READERS", help=f"Write only encodings that these read: {','.join(READERS)}|all."
    ),
]
TimeBudget = Annotated[str | None, Option(metavar="DURATION", help="Stop searching after this long, e.g. 30m.")]


@dataclass(frozen=True, slots=True)
class Output:
    """Common to all commands: in which form the value goes where."""

    format: Annotated[Format | None, Option("--format", help="Form of the output  [default: table, or by FILE]")] = None
    json: Annotated[bool, Option("--json", help="Short for --format json.")] = False
    output: Annotated[Path | None, Option("--output", "-o", metavar="FILE", help="Write to FILE, not to stdout.")] = (
        None
    )
    quiet: Annotated[bool, Option("--quiet", "-q", help="No output but errors (and FILE); no progress.")] = False
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.")] = False

    def __post_init__(self) -> None:
        # Refused before any work is done, not when its outcome is to be written.
        if self.json and self.format not in (None, Format.JSON):
            raise UsageError(f"--json and --format {self.format} exclude each other", hint="give only one of them")
        if self.output is not None and not self.output.parent.is_dir():
            raise UsageError(f"no such folder: {self.output.parent}", hint="make it first, or choose another -o FILE")

    @property
    def form(self) -> Format:
        """The format to write."""
        if self.json:
            return Format.JSON
        by_name = SUFFIXES.get(self.output.suffix.lower()) if self.output else None
        return self.format or by_name or Format.TABLE


@dataclass(frozen=True, slots=True)
class PlanOutput(Output):
    """As :class:`Output`, for a command whose ``-o`` saves its plan and whose value always goes to stdout."""

    output: Annotated[Path | None, Option("--output", "-o", metavar="FILE", help="Save the plan to FILE as JSON.")] = (
        None
    )

    @property
    def form(self) -> Format:
        """The format to write, whatever the plan's file is called."""
        return Output(self.format, self.json).form


@dataclass(frozen=True, slots=True)
class PageOutput(Output):
    """As :class:`Output`, for a command whose value is a page too."""

    output: Annotated[
        Path | None, Option("--output", "-o", metavar="FILE", help="Write to FILE: a page where it ends in .html.")
    ] = None

    @property
    def page(self) -> Path | None:
        """The file that the page is to be written to, None where another form is asked for."""
        wanted = self.output is not None and self.output.suffix.lower() in (".html", ".htm")
        return self.output if wanted and self.format is None and not self.json else None


@dataclass(frozen=True, slots=True)
class Acting:
    """Common to commands that change a table."""

    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan and stop.")] = False
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask before changing the table.")] = False
    memory: Annotated[str | None, Option(metavar="SIZE", help="Memory limit, e.g. 4GB  [default: half]")] = None
    threads: Annotated[int | None, Option(min=1, metavar="N", help="Threads  [default: all cores]")] = None

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit, None where the machine decides."""
        return size(self.memory)


@dataclass(frozen=True, slots=True)
class Rewriting(Acting):
    """Common to commands that rewrite data files."""

    spark_conf: Annotated[
        list[str] | None, Option("--spark-conf", metavar="NAME=VALUE", help="A setting of Spark, for --engine spark.")
    ] = None

    @property
    def means(self) -> dict[str, Any]:
        """Memory, and settings with what the command line says of Spark, as :func:`lakeopt.rewrite` takes them.

        :raises UsageError: a setting has no value.
        """
        wrong = [text for text in self.spark_conf or () if "=" not in text.strip("=")]
        if wrong:
            raise UsageError(f"not a setting of Spark: {wrong[0]!r}", hint="write --spark-conf NAME=VALUE")
        said = dict(text.split("=", 1) for text in self.spark_conf or ())
        held = load_settings()
        return {"memory_bytes": self.memory_bytes, "settings": replace(held, spark={**held.spark, **said})}


@dataclass(frozen=True, slots=True)
class Choosing:
    """How a rewrite comes to its layout, and which files it takes for it."""

    max_depth: Annotated[
        int, Option(min=1, metavar="N", help="Sorted files that may meet at a key before they are merged.")
    ] = plan.MAX_DEPTH
    search_again: Annotated[
        bool, Option("--search-again", help="With auto: measure anew, whatever layout the table remembers.")
    ] = False
    time_budget: TimeBudget = None

    @property
    def options(self) -> dict[str, Any]:
        """As :func:`lakeopt.plan` takes them."""
        return {
            "max_depth": self.max_depth,
            "search_again": self.search_again,
            "time_budget": duration(self.time_budget),
        }


def size(text: str | None) -> int | None:
    """Bytes of a size option, None where it is not given."""
    return None if text is None else parse_size(text)


def duration(text: str | None) -> float | None:
    """Seconds of a duration option, None where it is not given."""
    return None if text is None else parse_duration(text)


def names(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in text.split(",")]


def sort_key(text: str | None) -> Any:
    """The sort fields of ``--sort-by``, none where it is not given."""
    return () if text is None else parse_sort_fields(text)


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """Let each parameter whose type is a dataclass stand for one option per field of it."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _parameters(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @wraps(command)
    def run(**values: Any) -> int:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        return command(**values)

    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword}
    return run


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(group)
    ]
