"""What lies in the folder of a partition: its entries, digests that tell whether anything changed, staging of writers.

Hive and Spark read every file of a partition's folder whose name begins with neither ``.`` nor ``_``. The digest is
over hidden files too: a writer that is at work shows itself there first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING

from lakeopt.errors import Unreachable
from lakeopt.parquet.footers import unreachable
from lakeopt.tables.hive.source import Partition

if TYPE_CHECKING:
    from pyarrow import fs

#: Folder below a table's root in which lakeopt makes the new folders: readers that list do not see it.
OWN_FOLDER = ".lakeopt"
#: How folders begin in which Hive, Hadoop's committers, Spark and Impala prepare what they are about to publish.
STAGING = (".hive-staging", "_temporary", "__magic", ".spark-staging", "_impala_insert_staging")
#: What hidden files are called that Flink writes to until they are published under another name.
_IN_PROGRESS = ".inprogress"
#: How names of objects end that stand for a folder, to some tools: such a folder may be long gone.
_FOLDER_MARK = "_$folder$"

#: Files that are asked for their tags at a time.
_AT_ONCE = 16


def list_folder(filesystem: fs.FileSystem, path: str, *, recursive: bool = True) -> list[fs.FileInfo]:
    """Everything below a folder, hidden entries too; nothing where it is not there.

    What lakeopt makes beside the files of a table without partitions, in ``.lakeopt``, is no part of its folder.

    :raises Unreachable: the storage does not answer.
    """
    from pyarrow import fs

    try:
        found: list[fs.FileInfo] = filesystem.get_file_info(
            fs.FileSelector(path, allow_not_found=True, recursive=recursive)
        )
    except NotADirectoryError:
        return []
    except OSError as error:
        raise unreachable(path, error) or Unreachable(f"folder cannot be listed: {path}: {error}") from error
    own = f"{path.rstrip('/')}/{OWN_FOLDER}"
    return [one for one in found if not f"{one.path}/".startswith(f"{own}/")]


def listing_digest(infos: Iterable[fs.FileInfo], path: str, tags: Mapping[str, str] = MappingProxyType({})) -> str:
    """Digest of all files among the entries below ``path``, by relative name, size and time in nanoseconds.

    Folders do not count, whatever they hold does. ``tags`` are of :func:`entity_tags`.
    """
    lines = sorted(
        json.dumps(
            [relative_name(info, path), info.size, info.mtime_ns, *([tags[info.path]] if info.path in tags else [])],
            ensure_ascii=False,
        )
        for info in infos
        if info.is_file
    )
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def entity_tags(filesystem: fs.FileSystem, infos: Iterable[fs.FileInfo]) -> dict[str, str]:
    """What an object store calls the bytes of each file, by path; nothing on a local file system.

    A store's times are of whole seconds: a file that is put again within one, of the same size, differs in its tag.

    :raises Unreachable: the storage does not answer.
    """
    from pyarrow import fs

    if isinstance(filesystem, fs.LocalFileSystem):
        return {}
    paths = [info.path for info in infos if info.is_file]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(paths, pool.map(lambda path: _entity_tag(filesystem, path), paths), strict=True))


def _entity_tag(filesystem: fs.FileSystem, path: str) -> str:
    try:
        with filesystem.open_input_file(path) as source:
            said = source.metadata()
    except FileNotFoundError:
        return "gone"
    except OSError as error:
        raise unreachable(path, error) or Unreachable(f"file cannot be looked at: {path}: {error}") from error
    return next((str(value) for name, value in said.items() if str(name).lower() == "etag"), "none")


def description_digest(partition: Partition) -> str:
    """Digest of what the source says of a partition: values, storage and parameters; parameters in any order."""
    storage = partition.storage
    said = [
        list(partition.values),
        storage.location,
        [list(column) for column in storage.columns],
        storage.input_format,
        storage.serde,
        sorted(storage.serde_parameters.items()),
        sorted(partition.parameters.items()),
    ]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def relative_name(info: fs.FileInfo, path: str) -> str:
    """Name of an entry below a folder, with ``/`` between folders."""
    name: str = info.path
    return name[len(path.rstrip("/")) :].lstrip("/")


def is_hidden(name: str) -> bool:
    """Whether readers pass over a file or folder of that name.

    >>> is_hidden("_SUCCESS"), is_hidden(".part-0.crc"), is_hidden("part-0.parquet")
    (True, True, False)
    """
    return name.startswith((".", "_"))


def is_staging(name: str) -> bool:
    """Whether a file or folder of that name belongs to a writer that is at work, or died at it.

    >>> is_staging(".hive-staging_hive_2026"), is_staging("_temporary"), is_staging(".part-0.inprogress.7")
    (True, True, True)
    >>> is_staging("_SUCCESS"), is_staging("_temporary_$folder$")
    (False, False)
    """
    begun = name.startswith(STAGING) or (is_hidden(name) and _IN_PROGRESS in name)
    return begun and not name.endswith(_FOLDER_MARK)


def staging(infos: Iterable[fs.FileInfo], path: str) -> Iterator[str]:
    """Names, below ``path``, of what among these entries belongs to writers that are at work."""
    names = (relative_name(info, path) for info in infos)
    return (name for name in names if is_staging(name.rpartition("/")[2]))
