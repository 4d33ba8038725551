"""File lists of a Hive table: some partitions at a time, with counts and bounds from footers, each read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, ListType, MapType, StructType

from lakeopt.model.scan import DATA, EQUALITY_DELETES, files_schema
from lakeopt.parquet.footers import Resolve
from lakeopt.parquet.threads import each
from lakeopt.tables.hive import drift
from lakeopt.tables.hive.contents import Contents, Place
from lakeopt.tables.hive.file_rows import FileRow, FooterRows
from lakeopt.tables.hive.partition_values import PartitionTypes, TypedPartition
from lakeopt.tables.iceberg.arrow_schema import arrow_schema
from lakeopt.tables.iceberg.metadata.manifests import Row
from lakeopt.tables.iceberg.planning.pruning import Pruning

#: Files of one list, about.
CHUNK = 4096
#: Lists are kept up to so many bytes; beyond, footers are read again by whoever asks again.
_KEPT_BYTES = 256 * 1024 * 1024
_READERS = 8
#: Where a file's own columns are in a manifest's row, which filters look at.
_NONE: tuple[Any, ...] = (None,) * 8
_EXAMPLES = 10


class FileLists:
    """The files of one reading of a table."""

    def __init__(self, contents: Contents, types: PartitionTypes, schema: Schema, held: str, resolve: Resolve) -> None:
        self._contents, self._types, self._schema, self._held = contents, types, schema, held
        self._rows = FooterRows(schema, held, resolve)
        self._arrow = arrow_schema(schema)
        self._kept: dict[int, pa.Table] = {}
        self._kept_bytes = 0
        self._codecs: Counter[str] = Counter()
        self._shapes: dict[int, tuple[pa.Schema, int, str]] = {}
        self._shape_of: dict[str, int] = {}
        self.problems: dict[str, str] = {}

    @cached_property
    def partitions(self) -> list[TypedPartition]:
        """The typed values of each place."""
        return self._types.typed([place.values for place in self._contents.places])

    @cached_property
    def place_of(self) -> Mapping[str, int]:
        """Number of the place of each file."""
        return {
            self._contents.paths[i]: number
            for number, place in enumerate(self._contents.places)
            for i in range(place.first, place.last)
        }

    @cached_property
    def _chunks(self) -> list[range]:
        """Places whose files make one list."""
        made, first = [], 0
        places = self._contents.places
        for last, place in enumerate(places, 1):
            if place.last - places[first].first >= CHUNK or last == len(places):
                made.append(range(first, last))
                first = last
        return made

    def tables(self, pruning: Pruning | None = None) -> Iterator[pa.Table]:
        """Lists of files that may hold matching rows; empty ones are left out."""
        for number, chunk in enumerate(self._chunks):
            wanted = [at for at in chunk if pruning is None or self._may_match(at, pruning)]
            if len(wanted) == len(chunk) or number in self._kept:
                files = self._whole(number, chunk)
                if len(wanted) < len(chunk):
                    files = files.filter(pa.array(self._of(files, set(wanted)), pa.bool_()))
            else:
                files = self._read(wanted)
            if pruning is not None and len(files):
                files = files.filter(pa.array(map(pruning.file(0), self._manifest_rows(files)), pa.bool_()))
            if len(files):
                yield files

    def of_places(self, numbers: Sequence[int]) -> pa.Table:
        """The files of these places."""
        wanted = set(numbers)
        found = [files_schema().empty_table()]
        for number, chunk in enumerate(self._chunks):
            if not wanted.intersection(chunk):
                continue
            if number in self._kept:
                files = self._kept[number]
                found.append(files.filter(pa.array(self._of(files, wanted), pa.bool_())))
            else:
                found.append(self._read([at for at in chunk if at in wanted]))
        return pa.concat_tables(found)

    def _of(self, files: pa.Table, places: set[int]) -> list[bool]:
        return [self.place_of[path] in places for path in files["file_path"].to_pylist()]

    def _may_match(self, at: int, pruning: Pruning) -> bool:
        """By partition alone: of what is no data file nothing else is looked at."""
        record = self.partitions[at].record
        return pruning.file(0)((EQUALITY_DELETES, "", "", record, 0, 0, None, *_NONE))

    def _manifest_rows(self, files: pa.Table) -> Iterator[Row]:
        """Rows in the form that filters take."""
        names = ("value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds")
        held = (files[name].to_pylist() for name in names)
        paths, counts = files["file_path"].to_pylist(), files["record_count"].to_pylist()
        for path, rows, values, nulls, nans, lower, upper in zip(paths, counts, *held, strict=True):
            record = self.partitions[self.place_of[path]].record
            flat = (None if pairs is None else [x for pair in pairs for x in pair] for pairs in (values, nulls, nans))
            # Of a file whose footer says nothing, everything may be.
            known = path not in self.problems
            yield (DATA, path, "", record, rows if known else -1, 0, None, *flat, dict(lower or ()), dict(upper or ()))

    def _whole(self, number: int, chunk: Iterable[int]) -> pa.Table:
        if (kept := self._kept.get(number)) is not None:
            return kept
        files = self._read(list(chunk))
        if self._kept_bytes + files.nbytes <= _KEPT_BYTES:
            self._kept[number] = files
            self._kept_bytes += files.nbytes
        return files

    def _read(self, places: Sequence[int]) -> pa.Table:
        """Lists of the files of these places, footers read in threads: the wait is on storage."""
        held = self._contents
        at = [(i, number) for number in places for i in range(held.places[number].first, held.places[number].last)]
        with ThreadPoolExecutor(_READERS) as pool:
            rows = list(each(pool, lambda one: self._row(held.places[one[1]], held.paths[one[0]]), at))
        for (i, _), row in zip(at, rows, strict=True):
            self._note(held.paths[i], row)
        return self._table(at, rows)

    def _row(self, place: Place, path: str) -> FileRow:
        return self._rows(path) if place.file_format == self._held else FileRow()

    def _note(self, path: str, row: FileRow) -> None:
        """Remember what is asked for later: codecs, schemas, damage."""
        if path in self._shape_of or path in self.problems:
            return
        if row.problem is not None:
            self.problems[path] = row.problem
        if row.codec is not None:
            self._codecs[row.codec] += 1
        if row.shape is not None:
            known = self._shapes.get(id(row.shape))
            self._shapes[id(row.shape)] = (row.shape, 1, path) if known is None else (known[0], known[1] + 1, known[2])
            self._shape_of[path] = id(row.shape)

    def _table(self, at: Sequence[tuple[int, int]], rows: Sequence[FileRow]) -> pa.Table:
        held, count = self._contents, len(at)
        none = pa.ListArray.from_arrays(pa.array([0] * (count + 1), pa.int32()), pa.array([], pa.string()))
        names = {"parquet": "PARQUET", "orc": "ORC", "avro": "AVRO"}
        formats = [held.places[number].file_format for _, number in at]
        columns: dict[str, Any] = {
            "content": [DATA] * count,
            "file_path": [held.paths[i] for i, _ in at],
            "file_format": [names.get(one, one.upper()) for one in formats],
            "spec_id": [0] * count,
            "partition": [self.partitions[number].text for _, number in at],
            "record_count": [row.record_count for row in rows],
            "file_size_in_bytes": [held.sizes[i] for i, _ in at],
            "split_offsets": [list(row.split_offsets) or None for row in rows],
            "data_sequence_number": [held.times[i] // 1000 for i, _ in at],
            "snapshot_id": [0] * count,
            "delete_files": none,
        }
        maps = ("column_sizes", "value_counts", "null_value_counts", "lower_bounds", "upper_bounds")
        columns |= {name: [list(getattr(row, name).items()) for row in rows] for name in maps}
        for place, (_, number) in enumerate(at):
            more = self.partitions[number].metrics(rows[place].record_count)
            for name in maps[1:]:
                columns[name][place] += more[name]
        arrays = []
        for part in files_schema():
            values = columns.get(part.name)
            if values is None:
                arrays.append(pa.nulls(count, part.type))
            else:
                arrays.append(values if isinstance(values, pa.Array) else pa.array(values, part.type))
        return pa.Table.from_arrays(arrays, schema=files_schema())

    def codec(self) -> str | None:
        """The codec of most files whose footers were read; where none was yet, of the newest file."""
        held = self._contents
        if not self._codecs and held.paths:
            path = held.paths[max(range(len(held.paths)), key=held.times.__getitem__)]
            self._note(path, self._row(held.places[self.place_of[path]], path))
        return self._codecs.most_common(1)[0][0] if self._codecs else None

    def shapes(self) -> list[tuple[pa.Schema, int, str]]:
        """The different schemas of files whose footers were read: how many have each, and one of them."""
        return sorted(self._shapes.values(), key=lambda shape: (-shape[1], shape[2]))

    def shape_of(self, path: str) -> pa.Schema | None:
        """The schema of a file whose footer was read."""
        key = self._shape_of.get(path)
        return None if key is None else self._shapes[key][0]

    def name_mapping(self, paths: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
        """Which columns these files mean, by their names in whatever case, at every depth."""
        missing = sorted({self.place_of[p] for p in paths if p in self.place_of and p not in self._shape_of})
        if missing:
            self.of_places(missing)
        held = {self._shape_of[path] for path in paths if path in self._shape_of}
        shapes = [self._shapes[key][0] for key in sorted(held)]
        return tuple(_mapped(self._schema.fields, [list(shape) for shape in shapes], by_position=self._held == "orc"))

    @property
    def _drifts(self) -> Mapping[int, list[tuple[str, str]]]:
        """By shape of files, how their columns differ from the table's."""
        return {key: self._drift(shape) for key, (shape, _, _) in self._shapes.items()}

    def _drift(self, shape: pa.Schema) -> list[tuple[str, str]]:
        return list(drift.drift(list(self._arrow), list(shape), by_position=self._held == "orc"))

    def unlike(self, path: str) -> str | None:
        """Why a rewrite would change what is read of a file: its columns are not the table's. None where they are."""
        shape = self.shape_of(path)
        harmful = (words for code, words in (self._drift(shape) if shape else ()) if code != drift.MISSING)
        return next(harmful, None)

    def oddities(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """What the listing, the partition values and the footers say; these are read of all files."""
        for _ in self.tables():
            pass
        found = Contents(oddities=dict(self._contents.oddities))
        found.note("unreadable-files", self.problems.values())
        for key, differences in self._drifts.items():
            _, count, example = self._shapes[key]
            for code in sorted({code for code, _ in differences}):
                words = next(words for held, words in differences if held == code)
                found.note(code, [f"{words}: {example}"], times=count)
        places = zip(self._contents.places, self.partitions, strict=True)
        found.note("odd-values", (place.location for place, typed in places if typed.reason is not None))
        if self._contents.staging:
            found.note("staging-folders", self._contents.staging)
        return found.oddities


def _mapped(
    fields: Sequence[Any], shapes: Sequence[Sequence[pa.Field]], *, by_position: bool = False
) -> Iterator[Mapping[str, Any]]:
    """Mapped fields as in the Iceberg spec; old ORC files name their columns ``_col0``, ``_col1`` and so on."""
    for position, column in enumerate(fields):
        same = [part for shape in shapes for part in shape if part.name.lower() == column.name.lower()]
        names = dict.fromkeys([column.name, *(part.name for part in same)])
        if by_position:
            names[f"_col{position}"] = None
        yield {
            "field-id": column.field_id,
            "names": list(names),
            "fields": list(_below(column.field_type, [part.type for part in same])),
        }


def _below(kind: IcebergType, held: Sequence[pa.DataType]) -> Iterator[Mapping[str, Any]]:
    if isinstance(kind, StructType):
        shapes = [list(one) for one in held if pa.types.is_struct(one)]
        yield from _mapped(kind.fields, shapes)
    elif isinstance(kind, ListType):
        inner = [one.value_type for one in held if pa.types.is_list(one) or pa.types.is_large_list(one)]
        yield _named(kind.element_id, "element", kind.element_type, inner)
    elif isinstance(kind, MapType):
        maps = [one for one in held if pa.types.is_map(one)]
        yield _named(kind.key_id, "key", kind.key_type, [one.key_type for one in maps])
        yield _named(kind.value_id, "value", kind.value_type, [one.item_type for one in maps])


def _named(number: int, name: str, kind: IcebergType, held: Sequence[pa.DataType]) -> Mapping[str, Any]:
    return {"field-id": number, "names": [name], "fields": list(_below(kind, held))}
