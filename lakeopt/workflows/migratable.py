"""What a migration must know of its source: columns as the new table has them, files, and why it cannot be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeopt.errors import Refused
from lakeopt.model.scan import FIELD_ID, files_schema
from lakeopt.tables.base import Table

if TYPE_CHECKING:
    import pyarrow as pa

_REWRITE = "lakeopt migrate … --rewrite writes the rows anew"
_ANEW = "write these files anew with the engine that made them, in the Gregorian calendar and in UTC"


@dataclass(frozen=True)
class Migratable:
    """A source that can be migrated. ``schema`` is the new table's, with the field ids of the source."""

    schema: pa.Schema
    partition_columns: tuple[str, ...]
    files: pa.Table
    partition_count: int
    footers: int
    name_mapping: str
    notes: tuple[str, ...]


def checked(table: Table, *, rewrite: bool) -> Migratable:
    """The source as a migration takes it, every footer of it read.

    Times become ``timestamptz`` where files hold instants (int96, or adjusted to UTC), as Spark reads them.

    :raises Refused: a file's rows would read otherwise in an Iceberg table; the message names the file and why.
    :raises DataFileError: a file is missing or damaged.
    """
    import pyarrow as pa

    _require_flat(table)
    files = pa.concat_tables([files_schema().empty_table(), *table.files()])
    scan = table.scan(files)  # of all files: their spellings of names make the mapping
    stored = set(table.scan(files.slice(0, 0), stored_only=True).schema.names)
    partitions = tuple(name for name in table.schema.names if name not in stored)
    _require_formats(table, files, rewrite=rewrite)
    zones: dict[str, str] = {}
    footers = _footers(table, files)
    for location, footer in footers:
        _require_meaning(location, footer, zones)
    orc = _require_orc_meaning(table, files)
    schema = _zoned(table.schema, zones)
    if not rewrite:
        for location, footer in footers:
            _require_importable(location, footer, schema, partitions)
    instants = sorted(name for name in schema.names if schema.field(name).type != table.schema.field(name).type)
    notes = [f"{', '.join(instants)}: instants in the files, so timestamptz in the new table"] if instants else []
    local = sorted(name for name in stored if schema.field(name).type == pa.timestamp("us"))
    if orc and local:
        notes.append(f"{', '.join(local)}: ORC keeps them without a zone, so timestamp in the new table")
    if not rewrite:
        notes.append("both tables name the same files: gc.enabled=false keeps this one from deleting any")
    return Migratable(
        schema=schema,
        partition_columns=partitions,
        files=files,
        partition_count=len(set(files["partition"].to_pylist())),
        footers=len(footers) + orc,
        name_mapping=json.dumps([plain(entry) for entry in scan.name_mapping or names(schema)]),
        notes=tuple(notes),
    )


def plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A mapped field as the spec writes it."""
    made = {"field-id": entry["field-id"], "names": list(entry["names"])} if "field-id" in entry else dict(entry)
    if entry.get("fields"):
        made["fields"] = [plain(inner) for inner in entry["fields"]]
    return made


def names(schema: pa.Schema) -> list[dict[str, Any]]:
    """The name mapping of a table whose files spell columns as it does."""
    from lakeopt.parquet.values import children

    def mapped(fields: list[pa.Field]) -> list[dict[str, Any]]:
        made = []
        for field in fields:
            entry: dict[str, Any] = {"field-id": int(field.metadata[FIELD_ID]), "names": [field.name]}
            if parts := children(field.type):
                entry["fields"] = mapped(parts)
            made.append(entry)
        return made

    return mapped(list(schema))


def _require_flat(table: Table) -> None:
    """Refuse files in folders below a partition: Spark reads them, and Hive as it is configured."""
    if "nested-files" in table.oddities:
        _, nested = table.oddities["nested-files"]
        raise Refused(
            f"{table.identifier} is not migrated: {nested[0]} lies in a folder below its partition, which some readers"
            " read and some do not",
            hint="move such files to the folder of their partition, or away",
        )


def _require_formats(table: Table, files: pa.Table, *, rewrite: bool) -> None:
    known = {"PARQUET", "ORC"} if rewrite else {"PARQUET"}
    for location, form in zip(files["file_path"].to_pylist(), files["file_format"].to_pylist(), strict=True):
        if form.upper() not in known:
            hint = _REWRITE if form.upper() == "ORC" else "only Parquet and ORC tables are migrated"
            raise Refused(f"{table.identifier} is not migrated: {location} is {form.lower()}", hint=hint)


def _footers(table: Table, files: pa.Table) -> list[tuple[str, Any]]:
    import pyarrow.compute as pc

    from lakeopt.parquet.footers import read_footers

    paths = files.filter(pc.equal(files["file_format"], "PARQUET"))["file_path"].to_pylist()
    return list(read_footers(paths, table.resolve))


def _require_orc_meaning(table: Table, files: pa.Table) -> int:
    """Refuse ORC files that would mean other days or times; how many files of ORC there are."""
    import pyarrow.compute as pc

    from lakeopt.orc.footers import read_footer
    from lakeopt.tables.hive.orc_meaning import reading_reason

    paths = files.filter(pc.equal(files["file_format"], "ORC"))["file_path"].to_pylist()
    for location in paths:
        if reason := reading_reason(read_footer(location, table.resolve)):
            raise Refused(f"{location} would read differently in Iceberg: {reason}", hint=_ANEW)
    return len(paths)


def _require_meaning(location: str, footer: Any, zones: dict[str, str]) -> None:
    """Refuse what would mean other days or times; note of each time column what the files hold."""
    from lakeopt.parquet.importable import calendar_reason, instants

    if reason := calendar_reason(footer):
        raise Refused(
            f"{location} would read differently in Iceberg: {reason}",
            hint=_ANEW,
        )
    for name, instant in instants(footer).items():
        kind = "instants" if instant else "local times"
        if zones.setdefault(name, kind) != kind:
            raise Refused(
                f"column {name!r} holds {kind} in {location}, and {zones[name]} in other files",
                hint="no type of Iceberg reads both; write them anew in one form first",
            )


def _require_importable(location: str, footer: Any, schema: pa.Schema, partitions: tuple[str, ...]) -> None:
    from lakeopt.parquet.importable import import_reason

    reason = import_reason(footer, schema, frozenset(name.lower() for name in partitions))
    if reason:
        raise Refused(f"{location} cannot be named by an Iceberg table as it is: {reason}", hint=_REWRITE)


def _zoned(schema: pa.Schema, zones: Mapping[str, str]) -> pa.Schema:
    """The schema with time columns as the files have them."""
    import pyarrow as pa

    fields = []
    for field in schema:
        if pa.types.is_timestamp(field.type) and field.name.lower() in zones:
            instant = zones[field.name.lower()] == "instants"
            field = field.with_type(pa.timestamp("us", "UTC" if instant else None))
        fields.append(field)
    return pa.schema(fields)
