"""What is found to be an orphan, against plain sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.maintenance.remove_orphan_files import REACHABLE, Candidates, decide
from lakeopt.tables.iceberg.deletion.listing import SCHEMA

NOW = datetime(2026, 11, 24, tzinfo=UTC)
name = st.text(st.sampled_from("abü/% "), min_size=1, max_size=6)
rows = st.dictionaries(
    name, st.tuples(st.integers(-5, 5), st.sampled_from(["file", "file", "file", "link", "marker"])), max_size=30
)


def batches(listed: dict[str, tuple[int, str]], size: int) -> list[pa.Table]:
    entries = [
        {"path": path, "bytes": 1, "modified": NOW + timedelta(days=days), "form": form}
        for path, (days, form) in listed.items()
    ]
    return [pa.Table.from_pylist(entries[at : at + size], schema=SCHEMA) for at in range(0, len(entries), size)]


@settings(deadline=None)
@given(rows, st.lists(st.lists(name, max_size=8), max_size=6), st.integers(1, 7))
def test_orphans_are_the_old_files_that_nothing_reaches(
    listed: dict[str, tuple[int, str]], reach: list[list[str]], size: int
) -> None:
    found = decide(batches(listed, size), [pa.array(paths, pa.string()) for paths in reach], NOW)
    old = {path for path, (days, form) in listed.items() if form == "file" and days < 0}
    wanted = old.difference(*reach)
    assert found.orphans()["path"].to_pylist() == sorted(wanted, key=lambda path: path.encode())
    assert found.listed_count == len(listed) == len(wanted) + sum(found.kept.counts.values())
    assert found.kept.counts[REACHABLE] == len(old) - len(wanted)


@settings(deadline=None)
@given(rows, st.lists(name, max_size=8), st.lists(name, max_size=8))
def test_rules_only_ever_take_away(listed: dict[str, tuple[int, str]], kept: list[str], reach: list[str]) -> None:
    """In whatever order, every rule leaves a part of what was there, and none brings a file back."""
    candidates = Candidates(NOW, 1.0)
    for batch in batches(listed, 4):
        candidates.add(batch)
    steps: list[Any] = [
        lambda: candidates.keep(pa.array(kept, pa.string()), "kept"),
        lambda: candidates.reach(pa.array(reach, pa.string())),
        lambda: candidates.keep_where("ü", "named"),
        lambda: candidates.keep_of_plans([]),
    ]
    before = set(candidates.orphans()["path"].to_pylist())
    for step in steps:
        step()
        after = set(candidates.orphans()["path"].to_pylist())
        assert after <= before
        before = after
    assert before.isdisjoint([*kept, *reach])
