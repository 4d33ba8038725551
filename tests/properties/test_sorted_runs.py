"""What is rewritten after appends, on a model of a partition: a second run finds nothing, depth and bytes are held."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.layout.sorted_runs import KeyedFile, file_groups

TARGET = 1000


def depth_of(files: list[KeyedFile]) -> int:
    """Files that meet between two keys or at one, counted one by one; those of the same single value count once."""
    ranges = [file.range for file in files if file.range is not None]
    wide = [r for r in ranges if r[0] < r[1]]
    points = {r[0] for r in ranges if r[0] == r[1]}
    edges = sorted({end for r in wide for end in r})
    between = [sum(low <= edge < high for low, high in wide) for edge in edges]
    at = [1 + sum(low < point < high for low, high in wide) for point in points]
    return max([*between, *at], default=0)


@dataclass
class Partition:
    """Files, and what a rewrite makes of them: the range of a group cut into files of the target size."""

    files: list[KeyedFile] = field(default_factory=list)
    runs: int = 0
    written: int = 0
    appended: int = 0

    def append(self, size: int, low: int, high: int) -> None:
        self.runs += 1
        self.appended += size
        self.files.append(KeyedFile(size, (low, high), in_layout=False, run=self.runs))

    def groups(self, max_depth: int = 4, merge_small: bool = True) -> list[tuple[int, ...]]:
        return file_groups(self.files, target_file_bytes=TARGET, max_depth=max_depth, merge_small=merge_small)

    def rewrite(self, ratio: float = 1.0, known: bool = True, **options: int) -> int:
        """Bytes that one run reads."""
        groups = self.groups(**options)
        self.runs += 1
        gone = {row for group in groups for row in group}
        after = [file for row, file in enumerate(self.files) if row not in gone]
        for group in groups:
            after += self._made(group, ratio, known)
        read = sum(self.files[row].bytes for row in gone)
        self.files, self.written = after, self.written + read
        return read

    def _made(self, group: tuple[int, ...], ratio: float, known: bool) -> list[KeyedFile]:
        total = max(1, round(ratio * sum(self.files[row].bytes for row in group)))
        count = math.ceil(total / TARGET)
        ranges = [file.range for row in group if (file := self.files[row]).range is not None]
        low, high = min((r[0] for r in ranges), default=0), max((r[1] for r in ranges), default=0)
        cuts = [low + (high - low) * part // count for part in range(count + 1)]
        sizes = [TARGET] * (total // TARGET) + ([total % TARGET] if total % TARGET else [])
        return [
            KeyedFile(size, (cuts[n], cuts[n + 1]) if known else None, True, self.runs) for n, size in enumerate(sizes)
        ]


ranges = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(tuple)
keyed = st.builds(
    KeyedFile,
    st.integers(1, 3000),
    st.none() | ranges,
    st.booleans(),
    st.integers(0, 4),
    st.sampled_from([False] * 4 + [True]),
)
some_files = st.lists(keyed, max_size=25) | st.lists(
    st.builds(KeyedFile, st.integers(1, 3000), ranges, st.booleans(), st.integers(0, 4), st.booleans()), max_size=25
)


@settings(deadline=None)
@given(some_files, st.integers(1, 5), st.floats(0.2, 1.3), st.booleans())
def test_a_second_run_finds_nothing(files: list[KeyedFile], depth: int, ratio: float, small: bool) -> None:
    partition = Partition(files, runs=100)
    groups = partition.groups(depth, small)
    rows = [row for group in groups for row in group]
    assert len(rows) == len(set(rows))
    assert set(rows) >= {row for row, file in enumerate(files) if not file.in_layout or file.under_deletes}
    known = all(file.range is not None for file in files if file.in_layout)
    partition.rewrite(ratio, known, max_depth=depth, merge_small=small)
    if known:
        assert depth_of(partition.files) <= depth
    assert partition.groups(depth, small) == []


@settings(deadline=None)
@given(some_files, st.integers(1, 5))
def test_what_lies_in_order_and_meets_few_others_is_left_alone(files: list[KeyedFile], depth: int) -> None:
    """No file is rewritten for its size alone, except small ones where they are many."""
    kept = [KeyedFile(f.bytes, f.range or (31, 40), True, f.run) for f in files if f.bytes >= TARGET / 2]
    assert (file_groups(kept, target_file_bytes=TARGET, max_depth=depth) == []) == (depth_of(kept) <= depth)


@given(st.lists(st.integers(500, 3000), min_size=1, max_size=12))
def test_files_of_a_healthy_size_that_are_not_sorted_are_rewritten(sizes: list[int]) -> None:
    files = [KeyedFile(size, (0, 100), False, 1) for size in sizes]
    assert file_groups(files, target_file_bytes=TARGET) == [tuple(range(len(sizes)))]


def append(partition: Partition, size: int, keys: str, draw: random.Random) -> None:
    """Some rows: anywhere among the keys, behind all of them, or behind them with a tenth that came late."""
    end = max((file.range[1] for file in partition.files if file.range), default=0)
    if keys == "random":
        partition.append(size, draw.randrange(1000), 10**6 - draw.randrange(1000))
    else:
        begin = max(0, end - size) if keys == "late" and draw.random() < 0.1 else end
        partition.append(size, begin + draw.randrange(10), begin + size)


@pytest.mark.parametrize("keys", ["random", "behind", "late"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), first=st.sampled_from([20_000, 100_000]))
def test_after_an_append_of_one_hundredth_a_run_rewrites_little(keys: str, seed: int, first: int) -> None:
    partition, draw = Partition(), random.Random(seed)
    append(partition, first, keys, draw)
    assert partition.rewrite() == first
    total = sum(file.bytes for file in partition.files)
    append(partition, total // 100, keys, draw)
    assert 0 < partition.rewrite() <= 0.05 * total
    assert partition.groups() == []


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("keys", ["random", "behind", "late"])
def test_while_a_table_grows_depth_stays_bounded_and_each_byte_is_written_a_few_times(keys: str, known: bool) -> None:
    """250 appends of 1 % each make it 12 times as large. ``known``: bounds tell the order, else only commits do."""
    partition, draw = Partition(), random.Random(7)
    append(partition, 20_000, keys, draw)
    partition.rewrite(known=known)
    for count in range(1, 251):
        total = sum(file.bytes for file in partition.files)
        append(partition, total // 100, keys, draw)
        partition.rewrite(known=known)
        if known and count % 10 == 0:
            assert depth_of(partition.files) <= 4
        elif not known:
            assert len({file.run for file in partition.files}) <= 4
        assert sum(file.bytes < TARGET / 2 for file in partition.files) <= max(4, len(partition.files) // 8)
        assert partition.written <= (2 + 2 * math.log2(1 + count)) * partition.appended


@pytest.mark.parametrize("keys", ["random", "behind"])
def test_appends_that_are_small_from_the_first_on_are_written_a_few_times_too(keys: str) -> None:
    partition, draw = Partition(), random.Random(3)
    for count in range(1, 401):
        append(partition, 40, keys, draw)
        partition.rewrite()
        assert count % 10 or depth_of(partition.files) <= 4
        assert partition.written <= (2 + 2 * math.log2(1 + count)) * partition.appended
