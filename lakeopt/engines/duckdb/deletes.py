"""Which rows of a file group its delete files take away, found by DuckDB: a table of their places of arrival.

A row's place (:func:`lakeopt.engines.duckdb.projection.query`) says its file and its position in it. Position deletes
are places already, once paths are numbers; equality deletes become places by one join over the key columns alone. What
reads the group then only drops places, so that order and projections are those of a group without deletes.

Which delete file applies to which data file is what the scan's ``delete_files`` say, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.engines.duckdb.chains import Chain, chains
from lakeopt.engines.duckdb.equality_keys import comparable, key_schema
from lakeopt.engines.duckdb.physical import PhysicalGroup, delete_groups
from lakeopt.engines.duckdb.projection import FILE_ROWS, query
from lakeopt.errors import DataFileError
from lakeopt.model.scan import EQUALITY_DELETES, FIELD_ID, Scan

#: The table of the places of arrival of deleted rows, each once, and one on the way to it.
DELETED, _FOUND = "lakeopt_deleted", "lakeopt_found"
#: Columns of position delete files, by the field ids that the Iceberg spec reserves.
_PATH_ID, _POSITION_ID = 2147483546, 2147483545
_POSITIONS = pa.schema(
    [
        pa.field("file_path", pa.string(), metadata={FIELD_ID: str(_PATH_ID)}),
        pa.field("pos", pa.int64(), metadata={FIELD_ID: str(_POSITION_ID)}),
    ]
)


@dataclass(frozen=True, slots=True)
class Deletes:
    """Delete files by what they hold: positions, and for each set of compared columns those columns and the files."""

    positions: tuple[PhysicalGroup, ...] = ()
    equalities: tuple[tuple[pa.Schema, tuple[PhysicalGroup, ...]], ...] = ()

    @property
    def paths(self) -> list[str]:
        """Paths of all of them."""
        return [path for group in self._groups for path in group.paths]

    @property
    def locations(self) -> list[str]:
        """Locations of all of them."""
        return _locations(self._groups)

    @property
    def _groups(self) -> list[PhysicalGroup]:
        return [*self.positions, *(group for _, groups in self.equalities for group in groups)]

    def among(self, locations: Collection[str], respelt: Callable[[str], str] = str) -> Deletes:
        """The delete files at these locations alone, their paths respelt."""
        equalities = ((keys, _among(groups, locations, respelt)) for keys, groups in self.equalities)
        kept = tuple((keys, groups) for keys, groups in equalities if groups)
        return Deletes(_among(self.positions, locations, respelt), kept)


@dataclass(frozen=True, slots=True)
class Step:
    """A statement, and the tables that it knows by name."""

    sql: str
    held: Mapping[str, pa.Table] = field(default_factory=dict)

    def run(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Execute it; the tables are gone afterwards."""
        for name, table in self.held.items():
            connection.register(name, table)
        connection.execute(self.sql)
        for name in self.held:
            connection.unregister(name)


@dataclass(frozen=True, slots=True)
class _Applied:
    """Pairs of a data file, by its number in the order of arrival, and a delete file, by its place in ``names``."""

    names: pa.Array
    data_files: np.ndarray[tuple[int], np.dtype[np.int64]]
    deletes: np.ndarray[tuple[int], np.dtype[np.int64]]

    def numbers_of(self, locations: Sequence[str]) -> list[int]:
        """Places of delete files in ``names``."""
        numbers: list[int] = pc.index_in(pa.array(locations, pa.string()), value_set=self.names).to_pylist()
        return numbers

    def by_data_file(self, deletes: Collection[int]) -> dict[int, frozenset[int]]:
        """Of these delete files, those that apply to each data file; data files without any are left out."""
        chosen = np.isin(self.deletes, list(deletes))
        data_files, applied = self.data_files[chosen], self.deletes[chosen]
        order = np.argsort(data_files, kind="stable")
        numbers, starts = np.unique(data_files[order], return_index=True)
        parts = np.split(applied[order], starts[1:])
        return {int(number): frozenset(part.tolist()) for number, part in zip(numbers, parts, strict=True)}


def find_deleted(
    scan: Scan, groups: Sequence[PhysicalGroup], paths: Mapping[str, str], connection: duckdb.DuckDBPyConnection
) -> int:
    """Make the table :data:`DELETED` of a scan with delete files, at ``paths``; the number of deleted rows.

    :raises DataFileError: a delete file is damaged, or not what the table says.
    :raises Refused: equality deletes on a column that cannot be compared without loss.
    """
    for step in steps(scan, groups, read_deletes(scan, groups, paths, connection)):
        step.run(connection)
    (count,) = connection.execute(f"SELECT count(*) FROM {DELETED}").fetchall()[0]
    return int(count)


def read_deletes(
    scan: Scan, groups: Sequence[PhysicalGroup], paths: Mapping[str, str], connection: duckdb.DuckDBPyConnection
) -> Deletes:
    """What the delete files of a scan hold, by their footers; errors as of :func:`find_deleted`."""
    positions, equalities = _by_kind(scan, paths)
    by_place = delete_groups(positions, paths, connection)
    for group in by_place:
        if not {_PATH_ID, _POSITION_ID} <= {column.field_id for column in group.columns}:
            raise DataFileError(f"not a position delete file: {group.locations[0]}", hint="the file is damaged")
    by_key = []
    for ids, locations in equalities.items():
        found = delete_groups(locations, paths, connection)
        by_key.append((key_schema(scan, ids, [*found, *groups], found, connection), tuple(found)))
    return Deletes(tuple(by_place), tuple(by_key))


def steps(scan: Scan, groups: Sequence[PhysicalGroup], deletes: Deletes) -> Iterator[Step]:
    """Statements that make the table :data:`DELETED`, anew each time; ``groups`` are all files of the scan.

    Other names that they use are gone after the last.
    """
    applied = _applied(scan, groups, deletes)
    yield Step(f"CREATE OR REPLACE TABLE {_FOUND} (arrival BIGINT)")
    if deletes.positions:
        yield _by_position(deletes.positions, groups, applied)
    for keys, found in deletes.equalities:
        lists = applied.by_data_file(applied.numbers_of(_locations(found)))
        for chain in chains(lists):
            yield _by_equality(scan, keys, found, groups, chain, applied)
    yield Step(f"CREATE OR REPLACE TABLE {DELETED} AS SELECT DISTINCT arrival FROM {_FOUND}")
    yield Step(f"DROP TABLE {_FOUND}")


def _locations(groups: Sequence[PhysicalGroup]) -> list[str]:
    return [location for group in groups for location in group.locations]


def _among(
    groups: Sequence[PhysicalGroup], locations: Collection[str], respelt: Callable[[str], str]
) -> tuple[PhysicalGroup, ...]:
    kept = (group.only(locations).respelt(respelt) for group in groups)
    return tuple(group for group in kept if group.paths)


def _applied(scan: Scan, groups: Sequence[PhysicalGroup], deletes: Deletes) -> _Applied:
    names = pa.array(deletes.locations, pa.string())
    numbers = {location: n for n, location in enumerate(loc for group in groups for loc in group.locations)}
    files = scan.files.select(["file_path", "delete_files"]).combine_chunks()
    lists = pa.concat_arrays(files["delete_files"].chunks)
    own = np.array([numbers[location] for location in files["file_path"].to_pylist()], np.int64)
    parents = pc.list_parent_indices(lists).to_numpy()
    codes = pc.index_in(pc.list_flatten(lists), value_set=names).to_numpy().astype(np.int64)
    return _Applied(names, own[parents], codes)


def _by_kind(scan: Scan, paths: Mapping[str, str]) -> tuple[list[str], dict[tuple[int, ...], list[str]]]:
    """Position delete files; equality delete files by the columns that they compare."""
    positions: list[str] = []
    equalities: dict[tuple[int, ...], list[str]] = {}
    listed = scan.files.slice(0, 0) if scan.deletes is None else scan.deletes
    entries = listed.select(["file_path", "content", "equality_ids"]).to_pylist()
    for entry in {entry["file_path"]: entry for entry in entries if entry["file_path"] in paths}.values():
        location = entry["file_path"]
        if entry["content"] != EQUALITY_DELETES:
            positions.append(location)
            continue
        if not entry["equality_ids"]:
            raise DataFileError(
                f"equality delete file names no columns: {location}", hint="the table metadata is damaged"
            )
        equalities.setdefault(tuple(sorted(set(entry["equality_ids"]))), []).append(location)
    return positions, equalities


def _by_position(deletes: Sequence[PhysicalGroup], groups: Sequence[PhysicalGroup], applied: _Applied) -> Step:
    data_files = [(path, rows) for g in groups for path, rows in zip(g.locations, g.row_counts, strict=True)]
    order = applied.numbers_of(_locations(deletes))
    held = {
        "data_files": pa.table(
            {
                "number": np.arange(len(data_files)),
                "location": pa.array([path for path, _ in data_files], pa.string()),
                "row_count": [rows for _, rows in data_files],
            }
        ),
        "delete_files": pa.table({"place": np.arange(len(order)), "number": pa.array(order, pa.int64())}),
        "applied": pa.table({"data_file": applied.data_files, "delete_file": applied.deletes}),
    }
    sql = (
        f"INSERT INTO {_FOUND} SELECT DISTINCT data_files.number * {FILE_ROWS} + pos FROM"
        f" (SELECT c0 AS path, c1 AS pos, arrival // {FILE_ROWS} AS place"
        f"  FROM ({query(_POSITIONS, deletes, {}, arrival=True)})) AS listed"
        " JOIN data_files ON location = path AND pos >= 0 AND pos < row_count"
        " JOIN delete_files ON delete_files.place = listed.place"
        " SEMI JOIN applied ON data_file = data_files.number AND delete_file = delete_files.number"
    )
    return Step(sql, held)


def _by_equality(
    scan: Scan,
    keys: pa.Schema,
    deletes: Sequence[PhysicalGroup],
    groups: Sequence[PhysicalGroup],
    chain: Chain,
    applied: _Applied,
) -> Step:
    """Places of the rows whose key is deleted by a file that applies to their own."""
    locations = _locations(groups)
    numbers = {locations[number]: number for number in chain.places}
    read = [part for group in groups if (part := group.only(numbers)).paths]
    names = applied.names.take(pa.array(list(chain.first))).to_pylist()
    first = dict(zip(names, chain.first.values(), strict=True))
    delete_read = [part for group in deletes if (part := group.only(first)).paths]
    in_order = [numbers[location] for part in read for location in part.locations]
    held = {
        "data_files": pa.table(
            {
                "place": np.arange(len(in_order)),
                "number": pa.array(in_order, pa.int64()),
                "reach": [chain.places[number] for number in in_order],
            }
        ),
        "delete_files": pa.table(
            {
                "place": np.arange(len(first)),
                "reach": [first[location] for part in delete_read for location in part.locations],
            }
        ),
    }
    terms = comparable(keys)
    columns = ", ".join(f"{term} AS k{i}" for i, term in enumerate(terms))
    equal = " AND ".join(f"rows.k{i} IS NOT DISTINCT FROM keys.k{i}" for i in range(len(terms)))
    sql = (
        f"INSERT INTO {_FOUND} SELECT data_files.number * {FILE_ROWS} + arrival % {FILE_ROWS} FROM"
        f" (SELECT arrival, {columns} FROM ({query(keys, read, scan.defaults, arrival=True)})) AS rows"
        f" JOIN data_files ON data_files.place = rows.arrival // {FILE_ROWS}"
        f" JOIN (SELECT {columns}, min(reach) AS reach"
        f"  FROM ({query(keys, delete_read, {}, arrival=True)})"
        f"  JOIN delete_files ON place = arrival // {FILE_ROWS} GROUP BY ALL) AS keys"
        f" ON {equal} AND keys.reach <= data_files.reach"
    )
    return Step(sql, held)
