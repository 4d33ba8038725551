"""Files that stay where they are, by reason, with examples: a part of what several values show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lakeopt.cli.figures import count
from lakeopt.cli.section import Column, Grid, Section
from lakeopt.model.orphans import KeptFile


def kept_files(counts: Mapping[str, int], examples: Sequence[KeptFile]) -> Iterator[Section]:
    """One line a reason, the most files first."""
    if not counts:
        return
    example = {kept.reason: kept.path for kept in reversed(examples)}
    columns = (
        Column("why", fit="wrap"),
        Column("files", right=True),
        Column("for example", fit="middle", rank=1),
    )
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    yield Grid("Kept", columns, [(reason, count(number), example.get(reason, "")) for reason, number in ordered])
