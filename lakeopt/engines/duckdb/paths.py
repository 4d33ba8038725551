"""Under which paths the files of a scan are read, and which of them this engine cannot read."""

from __future__ import annotations

from collections.abc import Sequence

from lakeopt.engines.duckdb.remote_files import RemotePath
from lakeopt.errors import DataFileError, Refused
from lakeopt.model.scan import DATA, Scan


def data_paths(scan: Scan, formats: Sequence[str] = ("PARQUET",)) -> dict[str, str]:
    """Path of each data file; a :class:`RemotePath` of one that is remote.

    :raises Refused: a file of none of these formats.
    """
    paths = {}
    for row in scan.files.select(["content", "file_path", "file_format"]).to_pylist():
        location = row["file_path"]
        if row["content"] != DATA or row["file_format"].upper() not in formats:
            raise Refused(f"not a data file of {' or '.join(formats)}: {location}")
        paths[location] = _path(scan, location)
    return paths


def delete_paths(scan: Scan) -> dict[str, str]:
    """Path of each delete file that a data file of the scan names; a :class:`RemotePath` of one that is remote.

    :raises DataFileError: one is named that the scan does not hold.
    :raises Refused: one that this engine cannot read: a deletion vector, or not Parquet.
    """
    import pyarrow.compute as pc

    wanted = pc.unique(pc.list_flatten(scan.files["delete_files"])).to_pylist()
    listed = [] if scan.deletes is None else scan.deletes.select(["file_path", "file_format"]).to_pylist()
    formats = {row["file_path"]: row["file_format"].upper() for row in listed}
    paths = {}
    for location in wanted:
        if location not in formats:
            raise DataFileError(f"delete file is not in the scan: {location}", hint="read the table anew")
        if formats[location] != "PARQUET":
            kind = "deletion vectors" if formats[location] == "PUFFIN" else f"{formats[location]} delete files"
            raise Refused(f"{kind} are not applied here: {location}", hint="compact the deletes with another engine")
        paths[location] = _path(scan, location)
    return paths


def _path(scan: Scan, location: str) -> str:
    from pyarrow import fs

    filesystem, path = scan.resolve(location)
    if isinstance(filesystem, fs.LocalFileSystem):
        return path
    return RemotePath(location, filesystem, path)
