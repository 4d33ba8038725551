"""What strategies choose: a second run finds nothing to do."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt import registry
from lakeopt.errors import UsageError
from lakeopt.layout.file_groups import bins
from lakeopt.layout.strategies.base import PartitionState, Strategy
from lakeopt.model.plan import SortField

TARGET = 1000


def file_list(sizes: list[int], snapshots: list[int], deletes: list[list[str]]) -> pa.Table:
    return pa.table(
        {
            "file_size_in_bytes": pa.array(sizes, pa.int64()),
            "snapshot_id": pa.array(snapshots, pa.int64()),
            "delete_files": pa.array(deletes, pa.list_(pa.string())),
        }
    )


def state(
    sizes: list[int],
    ranges: list[tuple[int, int] | None] | None = None,
    in_order: list[bool] | None = None,
    deletes: list[list[str]] | None = None,
    snapshots: list[int] | None = None,
) -> PartitionState:
    """Files side by side, in order, unless something else is said."""
    count = len(sizes)
    files = file_list(sizes, snapshots or [1] * count, deletes or [[]] * count)
    beside: list[tuple[int, int] | None] = [(10 * n, 10 * n + 10) for n in range(count)]
    return PartitionState(0, "{}", files, ranges or beside, in_order or [True] * count)


def strategy(name: str) -> Strategy:
    loaded: Strategy = registry.load(registry.STRATEGIES, name).STRATEGY
    return loaded


@pytest.mark.parametrize("name", registry.names(registry.STRATEGIES))
@given(sizes=st.lists(st.integers(1, 3000), max_size=40))
def test_each_file_is_in_at_most_one_group(name: str, sizes: list[int]) -> None:
    choice = strategy(name).choose(
        state(sizes, in_order=[False] * len(sizes)), target_file_bytes=TARGET, max_group_bytes=5000
    )
    rows = [row for group in choice.groups for row in group]
    assert len(rows) == len(set(rows))
    assert set(rows) <= set(range(len(sizes)))
    assert bool(choice.groups) != bool(choice.reason)


@given(sizes=st.lists(st.integers(1, 3000), max_size=40))
def test_bin_pack_reaches_a_fixed_point(sizes: list[int]) -> None:
    """Files of the groups, replaced by files of the target size, leave a table that is packed within two runs."""
    for _ in range(3):
        choice = strategy("bin-pack").choose(state(sizes), target_file_bytes=TARGET, max_group_bytes=50_000)
        if not choice.groups:
            return
        replaced = {row for group in choice.groups for row in group}
        after = [size for row, size in enumerate(sizes) if row not in replaced]
        for group in choice.groups:
            total = sum(sizes[row] for row in group)
            after += [TARGET] * (total // TARGET) + ([total % TARGET] if total % TARGET else [])
        assert len(after) < len(sizes)
        sizes = after
    pytest.fail("bin-pack does not come to rest")


def test_sort_rewrites_what_is_not_in_order() -> None:
    sort = strategy("sort")
    sizes = [1000, 990, 400]
    assert not sort.choose(state(sizes), target_file_bytes=TARGET, max_group_bytes=1).groups
    unsorted = state(sizes, ranges=[(0, 9)] * 3, in_order=[False] * 3)  # files of a healthy size, too
    assert sort.choose(unsorted, target_file_bytes=TARGET, max_group_bytes=1).groups == ((0, 1, 2),)
    one = state(sizes, in_order=[True, False, True])
    assert sort.choose(one, target_file_bytes=TARGET, max_group_bytes=1).groups == ((1,),)
    small = state([100] * 20)
    assert sort.choose(small, target_file_bytes=TARGET, max_group_bytes=1).groups == (tuple(range(20)),)


def test_sort_merges_where_more_files_meet_than_may() -> None:
    deep = state([1000] * 6, ranges=[(0, 9)] * 5 + [(20, 30)])
    for depth, groups in {5: (), 4: ((0, 1, 2, 3, 4),), 1: ((0, 1, 2, 3, 4),)}.items():
        choice = strategy("sort").choose(deep, target_file_bytes=TARGET, max_group_bytes=1, max_depth=depth)
        assert choice.groups == groups
    two = state([1000] * 2, ranges=[(0, 9), (5, 12)])
    assert strategy("pv-buckets").choose(two, target_file_bytes=TARGET, max_group_bytes=1).groups == ((0, 1),)


@pytest.mark.parametrize("name", registry.names(registry.STRATEGIES))
@given(data=st.data())
def test_every_file_under_deletes_is_rewritten(name: str, data: st.DataObject) -> None:
    """Whatever its size and order: a run leaves no delete file that it could have applied."""
    sizes = data.draw(st.lists(st.integers(1, 3000), min_size=1, max_size=12))
    deletes = data.draw(st.lists(st.sampled_from([[], ["d"]]), min_size=len(sizes), max_size=len(sizes)))
    choice = strategy(name).choose(state(sizes, deletes=deletes), target_file_bytes=TARGET, max_group_bytes=5000)
    rewritten = {row for group in choice.groups for row in group}
    assert rewritten >= {row for row, paths in enumerate(deletes) if paths}


@settings(deadline=None)
@given(count=st.integers(1, 40), under=st.sets(st.integers(0, 39), max_size=10), left=st.floats(0, 1))
def test_files_under_deletes_are_sorted_alone_where_they_are_few_and_a_second_run_finds_nothing(
    count: int, under: set[int], left: float
) -> None:
    """Whatever the deletes leave of a file."""
    deletes = [["d"] if row in under else [] for row in range(count)]
    sizes = [990] * count
    choice = strategy("sort").choose(state(sizes, deletes=deletes), target_file_bytes=TARGET, max_group_bytes=5000)
    rows = sorted(under & set(range(count)))
    if len(rows) <= 4:
        assert choice.groups == tuple((row,) for row in rows)
    for group in choice.groups:
        if len(group) == 1:
            sizes[group[0]] = round(990 * left)
    if all(len(group) == 1 for group in choice.groups):
        again = strategy("sort").choose(state(sizes), target_file_bytes=TARGET, max_group_bytes=5000)
        assert again.groups == ()


def test_bin_pack_leaves_large_files_without_deletes_alone() -> None:
    one = state([1000, 1000, 100], deletes=[[], ["d"], []])
    choice = strategy("bin-pack").choose(one, target_file_bytes=TARGET, max_group_bytes=5000)
    assert choice.groups == ((1, 2),)


def test_where_bounds_do_not_tell_the_order_files_of_one_snapshot_are_a_run() -> None:
    sort = strategy("sort")
    unknown: list[tuple[int, int] | None] = [None] * 10
    sizes = [1000] * 10
    one = state(sizes, ranges=unknown)
    assert not sort.choose(one, target_file_bytes=TARGET, max_group_bytes=1).groups
    five = state(sizes, ranges=unknown, snapshots=[1] * 6 + [2, 3, 4, 5])
    assert sort.choose(five, target_file_bytes=TARGET, max_group_bytes=1).groups == ((6, 7, 8, 9),)
    deleted = state(sizes, ranges=unknown, snapshots=[1] * 8 + [2] * 2, deletes=[["d"], *[[]] * 9])
    assert sort.choose(deleted, target_file_bytes=TARGET, max_group_bytes=1).groups == (tuple(range(8)),)


def test_layouts_refuse_what_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="needs columns"):
        strategy("sort").layout(())
    with pytest.raises(UsageError, match="twice"):
        strategy("sort").layout((SortField("a"), SortField("a", "desc")))
    with pytest.raises(UsageError, match="no columns"):
        strategy("bin-pack").layout((SortField("a"),))


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 60))
def test_bins_keep_order_and_bound(sizes: list[int], limit: int) -> None:
    runs = list(bins(sizes, limit))
    assert [position for run in runs for position in run] == list(range(len(sizes)))
    assert all(len(run) == 1 or sum(sizes[p] for p in run) <= limit for run in runs)
