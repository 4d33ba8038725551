"""What strategies choose: a second run finds nothing to do."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt import registry
from lakeopt.errors import UsageError
from lakeopt.layout.file_groups import bins, is_well_sized
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
    excess: list[int] | None = None,
    in_order: list[bool] | None = None,
    deletes: list[list[str]] | None = None,
) -> PartitionState:
    files = file_list(sizes, [1] * len(sizes), deletes or [[]] * len(sizes))
    return PartitionState(0, "{}", files, excess or [0] * len(sizes), in_order or [True] * len(sizes))


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
    for disorder in (
        state(sizes, excess=[0, 1, 1]),
        state(sizes, in_order=[True, False, True]),
        state([100] * 20),
    ):
        groups = sort.choose(disorder, target_file_bytes=TARGET, max_group_bytes=1).groups
        assert groups == (tuple(range(disorder.files.num_rows)),)


@pytest.mark.parametrize("name", registry.names(registry.STRATEGIES))
@given(data=st.data())
def test_every_file_under_deletes_is_rewritten(name: str, data: st.DataObject) -> None:
    """Whatever its size and order: a run leaves no delete file that it could have applied."""
    sizes = data.draw(st.lists(st.integers(1, 3000), min_size=1, max_size=12))
    deletes = data.draw(st.lists(st.sampled_from([[], ["d"]]), min_size=len(sizes), max_size=len(sizes)))
    choice = strategy(name).choose(state(sizes, deletes=deletes), target_file_bytes=TARGET, max_group_bytes=5000)
    rewritten = {row for group in choice.groups for row in group}
    assert rewritten >= {row for row, paths in enumerate(deletes) if paths}


@given(
    count=st.integers(1, 40),
    under=st.sets(st.integers(0, 39), max_size=10),
    left=st.floats(0, 1),
    parts=st.integers(0, 2),
)
def test_few_files_under_deletes_are_sorted_alone_and_a_second_run_finds_nothing(
    count: int, under: set[int], left: float, parts: int
) -> None:
    """Whatever the deletes leave of a file, and in how many files it comes back: 0, 1 or 2."""
    deletes = [["d"] if row in under else [] for row in range(count)]
    sizes = [990] * count
    choice = strategy("sort").choose(state(sizes, deletes=deletes), target_file_bytes=TARGET, max_group_bytes=5000)
    if not under & set(range(count)):
        assert choice.groups == ()
    elif choice.groups == (tuple(range(count)),):
        assert count < 15 or len(under) * 8 > count
    else:
        assert choice.groups == tuple((row,) for row in sorted(under) if row < count)
        kept = [990 for row in range(count) if row not in under]
        after = state(kept + [round(990 * left / max(parts, 1))] * parts * len(choice.groups))
        again = strategy("sort").choose(after, target_file_bytes=TARGET, max_group_bytes=5000)
        assert again.groups == ()


def test_files_under_deletes_are_sorted_with_all_where_bounds_do_not_tell_the_order() -> None:
    one = state([990] * 20, deletes=[["d"]] + [[]] * 19, excess=[0] * 19 + [-1])
    choice = strategy("sort").choose(one, target_file_bytes=TARGET, max_group_bytes=5000)
    assert choice.groups == (tuple(range(20)),)


def test_bin_pack_leaves_large_files_without_deletes_alone() -> None:
    one = state([1000, 1000, 100], deletes=[[], ["d"], []])
    choice = strategy("bin-pack").choose(one, target_file_bytes=TARGET, max_group_bytes=5000)
    assert choice.groups == ((1, 2),)


def test_unknown_ranges_count_as_ordered_only_within_one_snapshot() -> None:
    sort = strategy("sort")
    one = state([1000, 1000], excess=[-1, -1])
    assert not sort.choose(one, target_file_bytes=TARGET, max_group_bytes=1).groups
    files = file_list([1000, 1000], [1, 2], [[], []])
    two = PartitionState(0, "{}", files, [-1, -1], [True, True])
    assert sort.choose(two, target_file_bytes=TARGET, max_group_bytes=1).groups


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


@given(st.integers(1, 40), st.integers(1, TARGET))
def test_what_a_rewrite_writes_is_well_sized(full: int, last: int) -> None:
    assert is_well_sized([TARGET] * full + [last], TARGET)
