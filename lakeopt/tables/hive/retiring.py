"""Partitions that leave a Hive table, and come back: in a metastore by their entry, in a folder by a hidden one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator

from pyarrow import fs

from lakeopt.errors import CommitConflict, Refused, StalePlan, WorkFailed, first_line
from lakeopt.model.retention import RetiredPartition
from lakeopt.parquet.output_file import disk_errors
from lakeopt.tables.base import Leaving
from lakeopt.tables.hive.metastore import MetastoreSource
from lakeopt.tables.hive.new_locations import HIDDEN
from lakeopt.tables.hive.switch.folders import late, leavings, look
from lakeopt.tables.hive.switch.locks import locked
from lakeopt.tables.hive.switch.record import read_record
from lakeopt.tables.hive.table import HiveTable
from lakeopt.tables.iceberg.deletion.location_keys import same_place
from lakeopt.tables.iceberg.planning.pruning import Pruning, filter_columns
from lakeopt.tables.shield import shielded


def chosen_by(table: HiveTable, where: str) -> Callable[[tuple[str | None, ...]], bool]:
    """Whether a filter over partition columns chooses a partition, by its values.

    :raises UsageError: it is no filter.
    :raises Refused: it names a column that is no partition column.
    """
    names = {name for name, _ in table.partition_columns}
    for name in sorted(filter_columns(where, table.iceberg_schema)):
        if name not in names:
            raise Refused(f"{name!r} is no partition column of {table.identifier}", hint="rules are about partitions")
    holds = Pruning(where, table.iceberg_schema, table.partition_types.partitioning).partition(0)
    return lambda values: bool(holds(table.partition_types.typed([values])[0].record))


def require_removable(table: HiveTable) -> None:
    """Refuse a table whose partitions cannot be taken out so that they can come back.

    :raises Refused: it has none, cannot be written, or is a folder of an object store, which renames nothing at once.
    """
    if table.read_only is not None:
        raise Refused(f"{table.identifier} cannot be written: {table.read_only}")
    if not table.partition_columns:
        raise Refused(f"{table.identifier} has no partitions", hint="retention drops whole partitions")
    filesystem, _ = table.resolve(table.location)
    if not isinstance(table.source, MetastoreSource) and not isinstance(filesystem, fs.LocalFileSystem):
        raise Refused(
            f"{table.identifier} is a folder of an object store: a partition cannot leave it at once",
            hint="register it in a metastore first",
        )


def left_at(table: HiveTable, plan_id: str, partition: RetiredPartition) -> str:
    """Where the files of a partition lie once it is gone."""
    if isinstance(table.source, MetastoreSource):
        return partition.location
    below = partition.location[len(table.base_location) :].lstrip("/")
    below = below.rpartition(f"{HIDDEN}/")[2] if below.startswith(f"{HIDDEN}/") else below
    return f"{table.base_location}/{HIDDEN}/retired-{plan_id}/{below}"


def files_of(table: HiveTable, location: str) -> dict[str, int]:
    """Every file of a folder by its name below it, hidden ones too, with its bytes."""
    return {name: size for name, (size, _) in look(table, location).files.items()}


def older_files(table: HiveTable, location: str) -> Iterator[Leaving]:
    """Files that rewrites have replaced and that were not swept yet: the same rows as those of a partition that goes.

    Not of a folder to which another writer's files came since.
    """
    for switch in read_record(table, location):
        if not same_place(switch.replaced, location):
            found = look(table, switch.replaced)
            yield from () if late(found, switch.old) else leavings(found, switch.old)


def description_of(table: HiveTable, partition: RetiredPartition) -> str | None:
    """What the metastore says of a partition, so that it can be told again; None for a folder.

    :raises StalePlan: it was dropped.
    """
    if not isinstance(table.source, MetastoreSource):
        return None
    from hive_metastore.ttypes import NoSuchObjectException
    from thrift.TSerialization import serialize

    source = table.source
    try:
        with source.connected() as client:
            held = client.get_partition(source.database, source.table, source.stored_values(partition.values))
    except NoSuchObjectException as error:
        raise StalePlan(f"{partition.name} was dropped since the plan") from error
    return base64.b64encode(serialize(held)).decode()


def take_out(table: HiveTable, plan_id: str, partition: RetiredPartition) -> None:
    """Take a partition out of the table, if it is as planned. No file is deleted.

    :raises StalePlan: it, or its files, changed since the plan, or a writer is at work in it.
    :raises CommitConflict: another writer holds its lock, or put files there meanwhile: it is in the table again.
    :raises Unreachable: the folder may not be moved.
    :raises WorkFailed: it cannot be.
    """
    if not isinstance(table.source, MetastoreSource):
        _require_same(table, partition)
        _move(table, partition.location, left_at(table, plan_id, partition))
        return
    source = table.source
    from hive_metastore.ttypes import NoSuchObjectException

    held = description_of(table, partition)
    with shielded() as shield, locked(source, partition.values, shield):
        _require_same(table, partition)
        try:
            with source.connected() as client:
                client.drop_partition(*source.name, source.stored_values(partition.values), False)
        except NoSuchObjectException as error:
            raise StalePlan(f"{partition.name} was dropped since the plan") from error
    if look(table, partition.location).digest != partition.listing:
        bring_back(table, plan_id, partition, held)
        raise CommitConflict(f"files came to {partition.name} while it was dropped: it is in the table again")


def bring_back(table: HiveTable, plan_id: str, partition: RetiredPartition, description: str | None) -> None:
    """Put a partition that was taken out back, while all of its files are there.

    :raises StalePlan: there is a partition of its name again.
    :raises Refused: files of it are gone.
    """
    left = left_at(table, plan_id, partition)
    found = files_of(table, left)
    if (len(found), sum(found.values())) < (partition.file_count, partition.bytes):
        raise Refused(f"files of {partition.name} are gone: a sweep has had them")
    if description is None:
        filesystem, path = table.resolve(partition.location)
        if filesystem.get_file_info(path).type != fs.FileType.NotFound:
            raise StalePlan(f"there is a folder {partition.name} again")
        _move(table, left, partition.location)
        return
    from hive_metastore.ttypes import AlreadyExistsException, Partition
    from thrift.TSerialization import deserialize

    source = table.source
    assert isinstance(source, MetastoreSource)
    try:
        with source.connected() as client:
            client.add_partition(deserialize(Partition(), base64.b64decode(description)))
    except AlreadyExistsException as error:
        raise StalePlan(f"there is a partition {partition.name} again") from error


def archive(table: HiveTable, partition: RetiredPartition, to: str) -> None:
    """Copy all files of a partition below another location, and read them back to compare.

    :raises WorkFailed: what was written is not what was read, or another file is in the way, or the disk is full.
    :raises Unreachable: the archive may not be written.
    """
    for name in files_of(table, partition.location):
        source, target = f"{partition.location}/{name}", f"{to.rstrip('/')}/{partition.name}/{name}"
        wanted = _digest(table, source)
        filesystem, path = table.resolve(target)
        if filesystem.get_file_info(path).type != fs.FileType.NotFound:
            if _digest(table, target) == wanted:
                continue
            raise WorkFailed(f"another file is in the way of the archive: {target}", hint="choose another place")
        part = _part(filesystem, target)
        (from_system, from_path), (_, to_path) = table.resolve(source), table.resolve(part)
        with disk_errors(target):
            filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            fs.copy_files(from_path, to_path, from_system, filesystem)
        if _digest(table, part) != wanted:
            raise WorkFailed(f"the archive's copy differs: {part}", hint="the partition is as it was")
        if part != target:
            filesystem.move(to_path, path)


def _part(filesystem: fs.FileSystem, target: str) -> str:
    """Where a copy is made: an object has its name only once it is whole, a file has another until then."""
    folder, _, name = target.rpartition("/")
    return f"{folder}/.{name}.part" if isinstance(filesystem, fs.LocalFileSystem) else target


def _digest(table: HiveTable, location: str) -> str:
    filesystem, path = table.resolve(location)
    made = hashlib.sha256()
    with filesystem.open_input_stream(path) as stream:
        while block := stream.read(1 << 20):
            made.update(block)
    return made.hexdigest()


def _require_same(table: HiveTable, partition: RetiredPartition) -> None:
    held = next((one for page in table.source.partitions([partition.values]) for one in page), None)
    if held is None or held.storage.location.rstrip("/") != partition.location.rstrip("/"):
        raise StalePlan(f"{partition.name} was dropped or moved since the plan")
    found = look(table, partition.location)
    if found.digest != partition.listing:
        raise StalePlan(f"files of {partition.name} changed since the plan")
    if found.staging:
        raise StalePlan(f"a writer is at work in {partition.name}: {found.staging[0]}")


def _move(table: HiveTable, left: str, right: str) -> None:
    filesystem, path = table.resolve(left)
    _, target = table.resolve(right)
    try:
        with disk_errors(right):
            filesystem.create_dir(target.rpartition("/")[0], recursive=True)
            filesystem.move(path, target)
    except OSError as error:
        raise WorkFailed(f"{left} cannot be moved: {first_line(error)}", hint="it is where it was") from error
