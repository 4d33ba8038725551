"""What must stay as it is in the files of a Hive partition so that Hive, Spark and Trino read the same.

A metastore says names and types; everything else is in each file's footer: how timestamps and decimals are stored,
by which calendar and zone they are read, who wrote them, how lists are nested. New files take all of that over, and a
partition in which it is not one thing, or cannot be written here, is left alone with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from lakeopt.model.scan import FileForm
from lakeopt.orc.footers import read_footer
from lakeopt.parquet.footers import Resolve
from lakeopt.tables.hive.orc_meaning import orc_form
from lakeopt.tables.hive.parquet_meaning import holds_nanoseconds, parquet_form, stored_file

Footer = TypeVar("Footer")
#: Footers read at a time: the wait is on storage.
_AT_ONCE = 8


def file_form(locations: Sequence[str], file_format: str, schema: pa.Schema, resolve: Resolve) -> FileForm | str:
    """The form that new files take over from these, in order of arrival; or why these are better left alone.

    ``schema`` is that of the columns that files hold.

    :raises DataFileError: a footer is damaged.
    :raises Unreachable: the storage does not answer.
    """
    if not locations:
        return "it has no files"
    if file_format.lower() == "orc":
        return orc_form(_each(read_footer, locations, resolve), schema)
    if file_format.lower() == "parquet":
        return parquet_form(_each(stored_file, locations, resolve), schema)
    return f"{file_format} files are not rewritten"


def reason(locations: Sequence[str], file_format: str, schema: pa.Schema, resolve: Resolve) -> str | None:
    """Why these files are left alone, or None; reads timestamps that may be too fine to be carried here.

    :raises DataFileError: a file is damaged.
    :raises Unreachable: the storage does not answer.
    """
    if file_format.lower() != "parquet" or not locations:
        found = file_form(locations, file_format, schema, resolve)
        return found if isinstance(found, str) else None
    files = _each(stored_file, locations, resolve)
    form = parquet_form(files, schema)
    if isinstance(form, str):
        return form
    if any(holds_nanoseconds(file, resolve) for file in files):
        return "it holds timestamps of nanoseconds, which are not carried here"
    return None


def _each(read: Callable[[str, Resolve], Footer], locations: Sequence[str], resolve: Resolve) -> list[Footer]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda location: read(location, resolve), locations))
