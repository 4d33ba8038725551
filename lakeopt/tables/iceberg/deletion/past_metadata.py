"""A table as one of its metadata files has it."""

from __future__ import annotations

from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.metadata import TableMetadata

from lakeopt.errors import DataFileError, Unreachable, first_line
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.commits.writable import pyiceberg_table
from lakeopt.tables.iceberg.deletion.reachable import metadata_files
from lakeopt.tables.iceberg.table import IcebergTable


def metadata_location(table: Table) -> str:
    """Where the metadata file lies that the table was read from."""
    return pyiceberg_table(table).metadata_location


def known_metadata(table: Table) -> set[str]:
    """Metadata files that the table knows: its own, and those of its log."""
    return set(metadata_files(pyiceberg_table(table)))


def table_at(table: Table, location: str) -> IcebergTable:
    """The table as the metadata file at ``location`` has it.

    :raises DataFileError: the file is missing or damaged.
    :raises Unreachable: the storage does not answer.
    """
    now = pyiceberg_table(table)
    return IcebergTable(Iceberg(now.name(), read_metadata(now, location), location, now.io, now.catalog))


def read_metadata(table: Iceberg, location: str) -> TableMetadata:
    """One of the table's metadata files.

    :raises DataFileError: the file is missing or damaged.
    :raises Unreachable: the storage does not answer.
    """
    try:
        return FromInputFile.table_metadata(table.io.new_input(location))
    except FileNotFoundError as error:
        raise DataFileError(f"metadata file is missing: {location}", hint="restore the file") from error
    except OSError as error:
        raise Unreachable(f"metadata file cannot be read: {location}: {error}", hint="try again later") from error
    except Exception as error:  # damaged bytes make pydantic and the decompressor raise types of their own
        raise DataFileError(
            f"metadata file is damaged: {location}: {first_line(error)}", hint="restore the file"
        ) from error
