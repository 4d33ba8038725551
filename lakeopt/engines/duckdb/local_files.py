"""Where the files of a scan lie on this machine, and which of them this engine cannot read."""

from __future__ import annotations

from lakeopt.errors import DataFileError, Refused
from lakeopt.model.scan import DATA, Scan


def local_paths(scan: Scan) -> dict[str, str]:
    """Local path of each data file.

    :raises Refused: a file that this engine cannot read: remote, or not Parquet.
    """
    paths = {}
    for row in scan.files.select(["content", "file_path", "file_format"]).to_pylist():
        location = row["file_path"]
        if row["content"] != DATA or row["file_format"].upper() != "PARQUET":
            raise Refused(f"not a Parquet data file: {location}")
        paths[location] = _local(scan, location, "data file")
    return paths


def local_delete_paths(scan: Scan) -> dict[str, str]:
    """Local path of each delete file that a data file of the scan names.

    :raises DataFileError: one is named that the scan does not hold.
    :raises Refused: one that this engine cannot read: remote, a deletion vector, or not Parquet.
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
        paths[location] = _local(scan, location, "delete file")
    return paths


def _local(scan: Scan, location: str, what: str) -> str:
    from pyarrow import fs

    filesystem, path = scan.resolve(location)
    if not isinstance(filesystem, fs.LocalFileSystem):
        raise Refused(f"{what} is not on a local disk: {location}", hint="this engine reads local files only")
    return path
