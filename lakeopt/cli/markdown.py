"""Sections as GitHub-flavoured Markdown, to be pasted into a pull request or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lakeopt.cli.figures import visible
from lakeopt.cli.section import Facts, Grid, Items, Section

#: Characters that Markdown reads as its own; an underscore only where no letter is on one of its sides.
_SPECIAL = re.compile(r"[\\|<>*`\[\]#~]|(?<![^\W_])_|_(?![^\W_])")


def draw(parts: Iterable[Section]) -> str:
    """Markdown of the sections."""
    return "\n\n".join("\n".join(_lines(part)) for part in parts) + "\n"


def escape(text: str) -> str:
    r"""A text that Markdown shows as it is, on one line.

    >>> escape("a|b *c* tail_num\n_x_")
    'a\\|b \\*c\\* tail_num \\_x\\_'
    """
    return _SPECIAL.sub(lambda match: "\\" + match[0], visible(" ".join(text.split())))


def code(text: str) -> str:
    """A text between as many backticks as it needs.

    >>> code("a`b"), code("plain")
    ('`` a`b ``', '`plain`')
    """
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _lines(part: Section) -> Iterator[str]:
    if part.title:
        yield f"### {escape(part.title)}"
        yield ""
    if isinstance(part, Facts):
        yield "| | |"
        yield "|---|---|"
        for name, value in part.pairs:
            yield f"| {escape(name)} | {escape(str(value))} |"
    elif isinstance(part, Items):
        for item in part.items:
            yield f"- **{escape(str(item.label))}** {escape(item.text)}"
            if item.details:
                yield f"  <br>{escape(item.details)}"
            if item.command:
                yield f"  <br>{code(visible(item.command))}"
    else:
        yield from _grid(part)


def _grid(part: Grid) -> Iterator[str]:
    yield "| " + " | ".join(escape(column.title) for column in part.columns) + " |"
    yield "|" + "|".join("---:" if column.right else "---" for column in part.columns) + "|"
    for row in part.rows:
        yield "| " + " | ".join(escape(str(value)) for value in row) + " |"
    if part.note:
        yield ""
        yield escape(part.note)
