"""Which file groups are copied byte for byte, and which have to be decoded: chosen in the plan, with the reason.

Only a bin-pack can be copied: it leaves rows as they arrived. A codec that the table names must be that of the files;
where it names none, any will do. No file says at which level it was compressed: what the table asks of its writers is
taken for done, and only a level that the command asks for is a reason to decode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lakeopt.errors import LakeoptError
from lakeopt.layout.file_groups import ideal_file_count
from lakeopt.model.plan import FileGroup, Layout, Method, PlannedFile, SkippedGroup
from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.footers import sample_positions
from lakeopt.tables.base import Table

if TYPE_CHECKING:
    from lakeopt.parquet.copyable import Copyable

_CODEC = "write.parquet.compression-codec"
_READERS = 8
#: Files of a group, spread over it, whose footers are read before those of all others.
_LOOK_FIRST = 5


@dataclass(frozen=True, slots=True)
class CopyChoice:
    """The choice for the groups of one plan. ``level_asked``: the command names a compression level."""

    table: Table
    layout: Layout
    writer: WriterOptions
    target_file_bytes: int
    level_asked: bool = False

    def divide(self, groups: Sequence[FileGroup]) -> tuple[tuple[FileGroup, ...], tuple[SkippedGroup, ...]]:
        """Groups with their methods: files that can be copied apart from those that cannot.

        A second run finds no more to do than after a decode: where files stay that cannot be copied, only so many
        are copied as fill new files, and the rest is decoded with the others. What is left of a group then, if it
        is not worth a rewrite, is skipped.
        """
        if self.layout.strategy != "bin-pack" or self.layout.columns:
            return tuple(groups), ()
        made: list[FileGroup] = []
        skipped: list[SkippedGroup] = []
        for group in groups:
            reason = self._refusal(group)
            parts = (
                [_Part(range(group.file_count), "decode", reason)]
                if reason is not None
                else _parts(group, self._files(group.data_files), self.target_file_bytes)
            )
            for part in parts:
                own = _sub_group(group, len(made), part)
                if part.method == "copy" or len(parts) == 1 or _is_worth(own, self.target_file_bytes):
                    made.append(own)
                else:
                    few = "small files that cannot be copied are too few to merge"
                    skipped.append(SkippedGroup(group.partition, few, own.file_count, own.bytes))
        return tuple(made), tuple(skipped)

    def _refusal(self, group: FileGroup) -> str | None:
        """Why no file of a group is copied, whatever is in it."""
        if self.level_asked:
            return "a compression level was asked for"
        if self.writer.encodings or self.writer.bloom_filters:
            return "encodings or bloom filters of columns were chosen"
        if group.switch is not None:
            return "a Hive partition is written as a whole"
        if group.delete_files:
            return "deletes are applied"
        if group.from_spec_ids:
            return "rows move to another partition spec"
        return "files are of an older partition spec" if group.spec_id != self.table.default_spec_id else None

    def _files(self, files: Sequence[PlannedFile]) -> list[Copyable | str]:
        """What copying needs of each file, or why it cannot be copied.

        Where no file of a few that are looked at first can be copied, the footers of all others are left unread.
        """
        from lakeopt.parquet.copyable import BELOW_FLOOR, reaches_floor

        large = [place for place, file in enumerate(files) if reaches_floor(file.bytes, file.record_count)]
        found: list[Copyable | str] = [BELOW_FLOOR] * len(files)
        some = [large[place] for place in sample_positions(len(large), _LOOK_FIRST)]
        with ThreadPoolExecutor(_READERS) as pool:
            first = list(pool.map(self._file, (files[place] for place in some)))
            if first and all(isinstance(file, str) for file in first):
                for place in large:
                    found[place] = first[0]
                return found
            for place, file in zip(large, pool.map(self._file, (files[place] for place in large)), strict=True):
                found[place] = file
        return found

    def _file(self, file: PlannedFile) -> Copyable | str:
        """A file that cannot be read is for the rewrite to tell of."""
        from lakeopt.parquet.copyable import copyable

        try:
            found = copyable(file.path, self.table.schema, self.table.resolve)
        except LakeoptError:
            return "the footer of a file cannot be read"
        if isinstance(found, str):
            return found
        if found.footer.file_bytes != file.bytes:
            return "the size of a file is not what the table says"
        if _CODEC in self.table.properties and found.codecs != {self.writer.codec}:
            held = ", ".join(sorted(found.codecs))
            return f"the table asks for {self.writer.codec}, files hold {held}"
        return found


@dataclass(frozen=True, slots=True)
class _Part:
    """Some files of a group, by their places, and how they are rewritten."""

    places: Sequence[int]
    method: Method
    reason: str


def _parts(group: FileGroup, found: Sequence[Copyable | str], target: int) -> list[_Part]:
    """Files of equal steering that make fewer files when they are copied; then all others, to be decoded."""
    alike: dict[str, list[int]] = {}
    for place, file in enumerate(found):
        if not isinstance(file, str):
            alike.setdefault(file.steering, []).append(place)
    parts = []
    for places in alike.values():
        some = _enough(places, found, target, all_of_them=len(places) == len(found))
        if some:
            parts.append(_Part(some, "copy", _words(found, some)))
    copied = {place for part in parts for place in part.places}
    rest = [place for place in range(group.file_count) if place not in copied]
    if rest:
        parts.append(_Part(rest, "decode", _why(found, rest)))
    return parts


def _enough(places: Sequence[int], found: Sequence[Copyable | str], target: int, *, all_of_them: bool) -> Sequence[int]:
    """As many of these files, from the first, as fill new files of a healthy size; none if that makes no fewer.

    The last new file may be small if there are no others that it could be merged with. Large row groups may leave
    files small that a second run would find.
    """
    from lakeopt.layout.file_groups import is_small
    from lakeopt.parquet.sizing import packed

    for count in range(len(places), 0, -1):
        some = places[:count]
        sizes = [size for place in some for size in _sizes(found[place])]
        cuts = packed(sizes, target)
        small = [is_small(sum(sizes[first:last]), target) for first, last in cuts]
        if all_of_them or not small[-1]:
            return some if len(cuts) < count and not any(small[:-1]) else ()
    return ()


def _sizes(file: Copyable | str) -> Sequence[int]:
    return () if isinstance(file, str) else file.row_groups


def _words(found: Sequence[Copyable | str], places: Sequence[int]) -> str:
    codecs = {codec for place in places if not isinstance(file := found[place], str) for codec in file.codecs}
    return f"same writer and schema, {', '.join(sorted(codecs))}"


def _why(found: Sequence[Copyable | str], places: Sequence[int]) -> str:
    """The reason that holds for most of these files."""
    left = "row groups as they are would not fill new files"
    reasons = Counter(file if isinstance(file, str) else left for file in (found[place] for place in places))
    return reasons.most_common(1)[0][0]


def _sub_group(group: FileGroup, number: int, part: _Part) -> FileGroup:
    files = tuple(group.data_files[place] for place in part.places)
    return replace(
        group,
        group_id=number,
        file_count=len(files),
        bytes=sum(file.bytes for file in files),
        record_count=sum(file.record_count for file in files),
        data_files=files,
        arrival_bytes=sum(file.bytes for file in files) if group.arrival_bytes else 0,
        method=part.method,
        method_reason=part.reason,
    )


def _is_worth(group: FileGroup, target: int) -> bool:
    return ideal_file_count(group.bytes, target) < group.file_count
