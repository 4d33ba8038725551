"""Parquet footers: read one, or a stated sample of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from lakeopt.errors import DataFileError, LakeoptError, Unreachable, first_line

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from pyarrow import fs

#: What pyarrow says before the reason that an S3 server, or the way to it, gave.
_STORE_ERROR = "AWS Error"

Resolve = Callable[[str], "tuple[fs.FileSystem, str]"]


def read_footer(location: str, resolve: Resolve) -> pq.FileMetaData:
    """Footer of one Parquet file.

    :raises DataFileError: the file is missing or its footer is corrupt.
    :raises Unreachable: the storage does not answer.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    filesystem, path = resolve(location)
    try:
        with filesystem.open_input_file(path) as source:
            return pq.read_metadata(source)
    except (pa.ArrowInvalid, OSError) as error:
        raise data_file_error(location, error) from error


def data_file_error(location: str, error: BaseException) -> LakeoptError:
    """The error that names a data file for what pyarrow or the system said about it."""
    if isinstance(error, FileNotFoundError):
        return DataFileError(f"data file is missing: {location}", hint="restore the file, or roll the table back")
    if isinstance(error, PermissionError):
        return Unreachable(f"data file may not be read: {location}", hint="check the permissions of this user")
    if away := unreachable(location, error):
        return away
    reason = first_line(error)
    return DataFileError(f"data file cannot be read: {location}: {reason}", hint="is it damaged, or of another format?")


def unreachable(location: str, error: BaseException) -> Unreachable | None:
    """The error for an object store that answered with a refusal, or not at all; None for another kind of error."""
    text = first_line(error)
    if not isinstance(error, OSError) or _STORE_ERROR not in text:
        return None
    reason = text[text.index(_STORE_ERROR) + len(_STORE_ERROR) :].strip()
    return Unreachable(
        f"storage does not answer for {location}: {reason}", hint="is it up, and are endpoint and credentials right?"
    )


def sample_positions(total: int, limit: int | None) -> Sequence[int]:
    """Evenly spread positions, at most ``limit``: the stated sample of a long file list.

    >>> list(sample_positions(10, 4)), len(sample_positions(3, 200)), len(sample_positions(5, None))
    ([0, 2, 5, 7], 3, 5)
    """
    if limit is None or total <= limit:
        return range(total)
    return [index * total // limit for index in range(limit)]


def read_footers(locations: Sequence[str], resolve: Resolve) -> Iterator[tuple[str, pq.FileMetaData]]:
    """Footers of several files, in order, a few at a time in threads (the wait is on storage)."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=8) as pool:
        yield from zip(locations, pool.map(lambda location: read_footer(location, resolve), locations), strict=True)
