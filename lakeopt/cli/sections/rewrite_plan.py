"""What ``lakeopt rewrite --dry-run`` shows, and what is asked about before a rewrite starts."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import (
    NOTHING,
    WORTH_WAY_OUT,
    count,
    counted,
    in_blocks,
    key,
    named,
    percent,
    size,
    worth_words,
)
from lakeopt.cli.section import Cell, Column, Facts, Grid, Section
from lakeopt.model.plan import RewritePlan, SkippedGroup, Worth

ROWS = "groups"
SHOWN = 20


def sections(value: RewritePlan) -> Iterator[Section]:
    """What will be done to which files, then what is left alone and why."""
    layout = value.layout
    after = f"{counted(value.estimate.files_after, 'file')} of {size(value.target_file_bytes)} at most"
    if value.estimate.bytes_after is not None:
        after += f", about {size(value.estimate.bytes_after)}"
    if any(group.from_spec_ids for group in value.groups):
        after += "; where rows move to another partition spec, at least one for each partition"
    files = sum(group.file_count for group in value.groups)
    rows = sum(group.record_count for group in value.groups)
    to_do: Cell | str = f"{counted(files, 'file')}, {size(value.estimate.bytes_to_read)}, {count(rows)} rows"
    if not value.groups:
        to_do = Cell("nothing to do", "good")
    options = {name: int(text) if text.isdecimal() else text for name, text in value.writer.items()}
    written = ", ".join(f"{name.replace('_', ' ')} {named(name, option)}" for name, option in options.items())
    why = f" ({value.engine_reason})" if value.engine_reason else ""
    parts = ", each group by itself" if value.partial_progress else ""
    yield Facts(
        f"Plan {value.plan_id} for {value.table}",
        (
            (
                "layout",
                f"{layout.strategy}, by {key(layout.columns)}{in_blocks(layout.block_rows)}"
                if layout.columns
                else layout.strategy,
            ),
            *_chosen(value),
            ("rewrites", to_do),
            ("becomes", after if value.groups else NOTHING),
            ("base snapshot", f"{value.base_snapshot_id or NOTHING} on {value.branch}"),
            ("engine", f"{value.engine}{why}, committed by {value.committer}{parts}, proved by {_proof(value)}"),
            ("written with", written or NOTHING),
            *(("not applied", choice) for choice in value.not_applied),
        ),
    )
    if value.groups:
        yield _groups(value)
    if value.skipped:
        yield _skipped(value)


def _chosen(value: RewritePlan) -> Iterator[tuple[str, Cell | str]]:
    """What the layout was chosen by, where it was measured."""
    held = value.measured
    if held is None:
        return
    saved = f"saves {percent(1 - held.bytes_ratio)} of the bytes in arrival order, as measured"
    if value.is_remembered:
        kind = "saved" if held.arrival_bytes else "foretold to save"
        saved = f"remembered since {held.measured_at[:10]}, {kind} {percent(1 - held.ratio)}"
    yield "chosen", f"{saved}, for {held.goal}"


def _groups(value: RewritePlan) -> Section:
    columns: tuple[Column, ...] = (
        Column("partition", fit="wrap"),
        Column("files", right=True),
        Column("size", right=True),
        Column("rows", right=True),
    )
    rows: list[tuple[str, ...]] = [
        (group.partition, count(group.file_count), size(group.bytes), count(group.record_count))
        for group in value.groups[:SHOWN]
    ]
    if any(group.method_reason for group in value.groups):
        columns = (*columns, Column("method", fit="wrap"))
        rows = [
            (*row, f"{group.method}: {group.method_reason}" if group.method_reason else group.method)
            for row, group in zip(rows, value.groups, strict=False)
        ]
    if any(group.across is not None for group in value.groups):
        columns = (*columns, Column("across ranges", right=True))
        rows = [(*row, percent(group.across)) for row, group in zip(rows, value.groups, strict=False)]
    left = len(value.groups) - SHOWN
    return Grid(counted(len(value.groups), "file group"), columns, rows, f"{left} more in --json" if left > 0 else None)


def _proof(value: RewritePlan) -> str:
    """What will be compared, by the methods of the groups where the plan leaves it to them."""
    if value.verify != "auto":
        return value.verify
    return " and ".join(sorted({"bytes" if group.method == "copy" else "rows" for group in value.groups})) or "rows"


def _skipped(value: RewritePlan) -> Section:
    """Skipped groups with the same reason are one line."""
    by_reason: dict[str, list[SkippedGroup]] = {}
    for group in value.skipped:
        by_reason.setdefault(group.reason, []).append(group)
    columns = (
        Column("reason", fit="wrap"),
        Column("groups", right=True),
        Column("files", right=True),
        Column("size", right=True),
    )
    rows = [
        (
            reason + worth_words(Worth.together(groups)),
            count(len(groups)),
            count(sum(group.file_count for group in groups)),
            size(sum(group.bytes for group in groups)),
        )
        for reason, groups in by_reason.items()
    ]
    judged = any(group.worth is not None for group in value.skipped)
    return Grid("Left alone", columns, rows, WORTH_WAY_OUT if judged else None)
