"""What Parquet files hold, column by column: field ids from the footer, types as DuckDB delivers them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.engines.duckdb.connection import file_literal
from lakeopt.engines.duckdb.orc_stream import OrcStream
from lakeopt.engines.duckdb.remote_files import parquet_source
from lakeopt.errors import DataFileError, Refused
from lakeopt.model.scan import FIELD_ID, Scan
from lakeopt.orc.footers import OrcFooter, read_footer
from lakeopt.parquet.footers import data_file_error

#: Bytes that ORC files take in memory, against those on disk: they do not say. As sampling takes it.
_DECODED = 8


@dataclass(frozen=True, slots=True)
class Stored:
    """One field of a file. ``duck`` is the ``DuckDBPyType`` that reading it gives, ``int96`` an old Spark timestamp.

    Of a file ``of_hive`` a timestamp is one in UTC or without a zone as it likes, and bytes may be text.
    """

    name: str
    field_id: int | None
    duck: Any
    children: tuple[Stored, ...] = ()
    int96: bool = False
    of_hive: bool = False


@dataclass(frozen=True, slots=True)
class PhysicalGroup:
    """Files that hold the same columns in the same order, and lack the same ones with the same constants.

    ``decoded_bytes`` is their size before compression, as their footers say; ``locations`` and ``row_counts`` have
    one item a file. ``stream`` gives the rows of ORC files.
    """

    paths: tuple[str, ...]
    columns: tuple[Stored, ...]
    decoded_bytes: int = 0
    constants: Mapping[int, Any] = field(default_factory=dict)
    row_limit: int | None = None
    locations: tuple[str, ...] = ()
    row_counts: tuple[int, ...] = ()
    stream: OrcStream | None = None

    def serve(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read the files where DuckDB does not do so itself."""
        if self.stream is not None:
            self.stream.serve(connection)

    def relation(self) -> str:
        """FROM clause: columns p0, p1 … by position, so that no name of a file has to be spelt."""
        source = self.stream.name if self.stream else read_parquet(self.paths, len(self.columns))
        return source if self.row_limit is None else f"(SELECT * FROM {source} LIMIT {self.row_limit})"

    def only(self, locations: Collection[str]) -> PhysicalGroup:
        """The group with those of its files alone that are at these locations."""
        kept = [place for place, location in enumerate(self.locations) if location in locations]
        return replace(
            self,
            paths=tuple(self.paths[place] for place in kept),
            locations=tuple(self.locations[place] for place in kept),
            row_counts=tuple(self.row_counts[place] for place in kept),
        )

    def respelt(self, path: Callable[[str], str]) -> PhysicalGroup:
        """The group with the path of each file spelt otherwise."""
        return replace(self, paths=tuple(map(path, self.paths)))


def read_parquet(paths: Sequence[str], column_count: int) -> str:
    """Table function over files of one physical schema, columns called p0, p1 … by position."""
    files, names = ", ".join(map(file_literal, paths)), ", ".join(f"p{i}" for i in range(column_count))
    return f"read_parquet([{files}], hive_partitioning = false) AS source({names})"


def physical_groups(scan: Scan, paths: Mapping[str, str], connection: duckdb.DuckDBPyConnection) -> list[PhysicalGroup]:
    """Group the files of a scan by what they hold. ``paths`` gives the local path of each location.

    :raises DataFileError: a footer cannot be read.
    :raises Refused: files without field ids in a table without a name mapping.
    """

    def identified(fields: Sequence[Stored], location: str) -> tuple[Stored, ...]:
        if scan.of_hive:
            fields = [_of_hive(stored) for stored in fields]
        if not scan.of_hive and any(_ids(stored) for stored in fields):
            return tuple(fields)
        if scan.name_mapping is None:
            raise Refused(
                f"data file has no field ids, and the table has no name mapping: {location}",
                hint="set the table property schema.name-mapping.default",
            )
        return tuple(_named(stored, scan.name_mapping) for stored in fields)

    locations = scan.files.column("file_path").to_pylist()
    if locations and scan.files["file_format"][0].as_py().upper() == "ORC":
        return _orc_groups(scan, paths, connection, identified)
    return _alike(locations, paths, connection, identified, scan.constants)


def _orc_groups(
    scan: Scan,
    paths: Mapping[str, str],
    connection: duckdb.DuckDBPyConnection,
    identified: Callable[[Sequence[Stored], str], tuple[Stored, ...]],
) -> list[PhysicalGroup]:
    """Group ORC files by what they hold; the connection learns their rows as streams."""
    groups: dict[Any, list[tuple[str, OrcFooter]]] = {}
    for location in scan.files.column("file_path").to_pylist():
        footer = read_footer(location, scan.resolve)
        own = tuple(sorted(scan.constants.get(location, {}).items()))
        groups.setdefault((str(footer.schema), repr(own)), []).append((location, footer))
    found = []
    for number, members in enumerate(groups.values()):
        first, footer = members[0]
        stream = OrcStream(f"orc_files_{number}", tuple(paths[location] for location, _ in members), footer.schema)
        stream.serve(connection)
        relation = connection.sql(f"SELECT * FROM {stream.name}")
        columns = [
            _stored(arrow, duck, itertools.repeat(""), first)
            for arrow, duck in zip(footer.schema, relation.types, strict=False)
        ]
        found.append(
            PhysicalGroup(
                paths=stream.paths,
                columns=identified(columns, first),
                decoded_bytes=_DECODED * sum(footer.file_bytes for _, footer in members),
                constants=scan.constants.get(first, {}),
                locations=tuple(location for location, _ in members),
                row_counts=tuple(footer.record_count for _, footer in members),
                stream=stream,
            )
        )
    return found


def delete_groups(
    locations: Sequence[str], paths: Mapping[str, str], connection: duckdb.DuckDBPyConnection
) -> list[PhysicalGroup]:
    """Group delete files by what they hold: field ids alone say what their columns are.

    :raises DataFileError: a footer cannot be read, or a file has no field ids.
    """

    def identified(fields: Sequence[Stored], location: str) -> tuple[Stored, ...]:
        if not any(_ids(stored) for stored in fields):
            raise DataFileError(
                f"delete file has no field ids: {location}", hint="compact the deletes with another engine"
            )
        return tuple(fields)

    return _alike(locations, paths, connection, identified, {})


def _alike(
    locations: Sequence[str],
    paths: Mapping[str, str],
    connection: duckdb.DuckDBPyConnection,
    identified: Callable[[Sequence[Stored], str], tuple[Stored, ...]],
    constants: Mapping[str, Mapping[int, Any]],
) -> list[PhysicalGroup]:
    groups: dict[Any, list[str]] = {}
    footers: dict[str, tuple[int, int]] = {}
    for location in locations:
        own = tuple(sorted(constants.get(location, {}).items()))
        schema, decoded, rows = _footer(location, paths[location])
        footers[location] = decoded, rows
        groups.setdefault((schema, repr(own)), []).append(location)
    found = []
    for members in groups.values():
        first = members[0]
        found.append(
            PhysicalGroup(
                paths=tuple(paths[location] for location in members),
                columns=identified(_columns(first, paths[first], connection), first),
                decoded_bytes=sum(footers[location][0] for location in members),
                constants=constants.get(first, {}),
                locations=tuple(members),
                row_counts=tuple(footers[location][1] for location in members),
            )
        )
    return found


def _open(location: str, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(parquet_source(path), memory_map=False, coerce_int96_timestamp_unit="us")
    except (pa.ArrowInvalid, OSError) as error:
        raise data_file_error(location, error) from error


def _footer(location: str, path: str) -> tuple[str, int, int]:
    """The Parquet schema as text (names, types, repetition, field ids at every depth), bytes uncompressed, rows."""
    with _open(location, path) as file:
        footer = file.metadata
        decoded = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
        return str(file.schema).partition("\n")[2], decoded, footer.num_rows


def _columns(location: str, path: str, connection: duckdb.DuckDBPyConnection) -> list[Stored]:
    with _open(location, path) as file:
        schema = file.schema_arrow
        leaves = iter([file.schema.column(i).physical_type for i in range(len(file.schema))])
    relation = connection.sql(f"SELECT * FROM {read_parquet([path], len(schema))}")
    return [_stored(arrow, duck, leaves, location) for arrow, duck in zip(schema, relation.types, strict=True)]


def _stored(arrow: pa.Field, duck: Any, leaves: Iterator[str], location: str) -> Stored:
    """Pair Arrow's view of a field, which has the ids, with DuckDB's, which has the types that it delivers."""
    text = (arrow.metadata or {}).get(FIELD_ID)
    field_id = int(text) if text is not None else None
    inner, shape = _arrow_children(arrow.type)
    ducks = list(duck.children) if duck.id in ("struct", "list", "map") else []
    if shape != (duck.id if ducks else None) or len(inner) != len(ducks):
        raise Refused(f"column {arrow.name!r} is nested in a way that is not understood: {location}")
    if not inner:
        return Stored(arrow.name, field_id, duck, int96=next(leaves) == "INT96")
    children = tuple(_stored(child, kind, leaves, location) for child, (_, kind) in zip(inner, ducks, strict=True))
    return Stored(arrow.name, field_id, duck, children)


def _arrow_children(arrow: pa.DataType) -> tuple[list[pa.Field], str | None]:
    if pa.types.is_struct(arrow):
        return [arrow.field(i) for i in range(arrow.num_fields)], "struct"
    if pa.types.is_map(arrow):
        return [arrow.key_field, arrow.item_field], "map"
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return [arrow.value_field], "list"
    return [], None


def _ids(stored: Stored) -> bool:
    return stored.field_id is not None or any(_ids(child) for child in stored.children)


def _named(stored: Stored, mapping: Sequence[Mapping[str, Any]], name: str | None = None) -> Stored:
    """The field with ids from a name mapping; inside lists and maps the names are fixed by the spec."""
    own = name or stored.name
    entry = next((item for item in mapping if own in item.get("names", ())), {})
    inner: Sequence[Mapping[str, Any]] = entry.get("fields", ())
    fixed = {"list": ["element"], "map": ["key", "value"]}.get(stored.duck.id, [None] * len(stored.children))
    children = tuple(_named(child, inner, label) for child, label in zip(stored.children, fixed, strict=True))
    return replace(stored, field_id=entry.get("field-id"), children=children)


def _of_hive(stored: Stored) -> Stored:
    return replace(stored, children=tuple(map(_of_hive, stored.children)), of_hive=True)
