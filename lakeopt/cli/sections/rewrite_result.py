"""What ``lakeopt rewrite`` and ``lakeopt apply`` show when they are done."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, WORTH_WAY_OUT, change, count, in_blocks, key, seconds, size, worth_words
from lakeopt.cli.section import Cell, Column, Facts, Grid, Item, Items, Section
from lakeopt.model.plan import NOT_WORTH_IT
from lakeopt.model.result import RewriteResult, Shuffle, Verification

ROWS = None
#: Tasks of which one has so many times the rows of most others are uneven.
UNEVEN = 1.3


def sections(value: RewriteResult) -> Iterator[Section]:
    """What changed, how it was proved, where the time went."""
    yield (
        _facts(value)
        if value.groups_done or value.groups_failed
        else Facts(f"Nothing to rewrite in {value.table}", (("layout", _layout(value)), ("plan", value.plan_id)))
    )
    if value.skipped:
        words = {NOT_WORTH_IT: worth_words(value.not_worth_it)}
        rows = [(reason + words.get(reason, ""), count(groups)) for reason, groups in value.skipped.items()]
        note = WORTH_WAY_OUT if value.not_worth_it else None
        yield Grid("Left alone", (Column("reason", fit="wrap"), Column("groups", right=True)), rows, note)
    if value.failed:
        yield Items("Failed", [Item(Cell(group.partition, "critical"), group.error) for group in value.failed])


def _facts(value: RewriteResult) -> Facts:
    files = f"{count(value.rewritten_data_files_count)} → {count(value.added_data_files_count)}"
    if value.removed_delete_files_count:
        files += f", and {count(value.removed_delete_files_count)} delete files removed"
    spent = ", ".join(f"{name} {seconds(taken)}" for name, taken in value.seconds.items())
    shrunk = change(value.bytes_before, value.bytes_after)
    groups = f"{value.groups_done} done, {value.groups_skipped} skipped, {value.groups_failed} failed"
    return Facts(
        f"Rewrote {value.table}",
        (
            ("layout", _layout(value)),
            ("data files", files),
            ("bytes", f"{size(value.bytes_before)} → {size(value.bytes_after)}"),
            ("ratio", shrunk),
            ("rows", count(value.record_count)),
            ("proof", _proof(value.verification)),
            ("snapshot", _snapshots(value.snapshot_ids)),
            ("groups", Cell(groups, "critical" if value.groups_failed else None)),
            ("time", f"{seconds(value.elapsed_seconds)} ({spent})" if spent else seconds(value.elapsed_seconds)),
            ("peak memory", size(value.peak_rss_bytes)),
            *_shuffle(value.shuffle),
            ("plan", value.plan_id),
        ),
    )


def _shuffle(moved: Shuffle | None) -> Iterator[tuple[str, Cell]]:
    """What went between tasks, and what to do where it hurts."""
    if moved is None:
        return
    spill = f", {size(moved.spilled_bytes)} spilled to disk" if moved.spilled_bytes else ""
    much = moved.spilled_bytes > moved.written_bytes
    advice = ": give executors more memory, or a smaller --target-file-size" if much else ""
    words = f"{size(moved.written_bytes)} between {count(moved.tasks)} tasks{spill}{advice}"
    yield "shuffle", Cell(words, "warning" if much else None)
    skews = {"rows": moved.rows_skew, "bytes": moved.bytes_skew, "time": moved.seconds_skew}
    told = ", ".join(f"{name} {skew:.2f}" for name, skew in skews.items() if skew is not None)
    uneven = (moved.rows_skew or 1) > UNEVEN
    yield "largest task to median", Cell(told or NOTHING, "warning" if uneven else None)


def _snapshots(ids: tuple[str, ...]) -> str:
    """The only one, or the last of many."""
    return f"{ids[-1]}, the last of {count(len(ids))}" if len(ids) > 1 else ", ".join(ids) or NOTHING


def _layout(value: RewriteResult) -> str:
    layout = value.layout
    return (
        f"{layout.strategy}, by {key(layout.columns)}{in_blocks(layout.block_rows)}"
        if layout.columns
        else layout.strategy
    )


def _proof(proof: Verification | None) -> Cell:
    if proof is None:
        return Cell(NOTHING)
    if not proof.matched:
        return Cell(f"{proof.method} differ", "critical")
    if proof.method == "bytes":
        return Cell(f"copied bytes equal ({count(proof.record_count)} rows)", "good")
    if "bytes" in proof.method:
        return Cell(f"copied bytes equal, and the rows of what was decoded ({count(proof.record_count)})", "good")
    if proof.fingerprint is None:
        return Cell(f"row counts equal ({count(proof.record_count)}); values were not compared", "warning")
    return Cell(f"rows equal, fingerprint {proof.fingerprint} ({proof.version})", "good")
