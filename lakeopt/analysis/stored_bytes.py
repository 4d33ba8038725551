"""Where the bytes of a table lie: by column and by partition, from manifests and, where they are silent, footers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.columns import bytes_shares
from lakeopt.analysis.file_views import partitions
from lakeopt.model.report import StoredBytes, StoredColumn, StoredPartition
from lakeopt.model.scan import FIELD_ID
from lakeopt.parquet.footers import Resolve, read_footers, sample_positions

#: Footers read at most, where manifests do not record the sizes of columns.
FOOTER_LIMIT = 200


def stored_bytes(files: pa.Table, schema: pa.Schema, types: Mapping[str, str], resolve: Resolve) -> StoredBytes:
    """Bytes by column and by partition of these data files; no columns where no file tells.

    ``schema`` is the table's, with field ids; ``types`` are the Iceberg types of its columns.

    :raises DataFileError: manifests record no sizes, and a file whose footer is wanted is missing or damaged.
    """
    total = pc.sum(files["file_size_in_bytes"]).as_py() or 0
    shares, footers = bytes_shares(files, schema), 0
    if shares is None and total:
        shares, footers = _footer_shares(files, schema, resolve)
    columns = [StoredColumn(name, types[name], round(share * total)) for name, share in (shares or {}).items()]
    columns.sort(key=lambda column: -column.bytes)
    return StoredBytes(tuple(columns), by_partition(files), footers)


def by_partition(files: pa.Table) -> tuple[StoredPartition, ...]:
    """Partitions of these data files, largest first."""
    found = map(_partition, partitions(files, 1).to_pylist())
    return tuple(sorted(found, key=lambda partition: -partition.bytes))


def _partition(row: Mapping[str, int]) -> StoredPartition:
    return StoredPartition(
        partition=str(row["partition"]),
        spec_id=row["spec_id"],
        data_file_count=row["data_file_count"],
        record_count=row["record_count"],
        bytes=row["data_bytes"],
    )


def _footer_shares(files: pa.Table, schema: pa.Schema, resolve: Resolve) -> tuple[dict[str, float], int]:
    """Share of each column in the column bytes of a sample of the footers, and how many these are."""
    paths = files.filter(pc.equal(files["file_format"], "PARQUET"))["file_path"]
    chosen = paths.take(pa.array(sample_positions(len(paths), FOOTER_LIMIT), pa.int64())).to_pylist()
    names = {field.metadata[FIELD_ID]: field.name for field in schema if FIELD_ID in (field.metadata or {})}
    sizes = dict.fromkeys(schema.names, 0)
    for _, footer in read_footers(chosen, resolve):
        tops = list(_tops(footer.schema.to_arrow_schema(), names))
        for group in (footer.row_group(number) for number in range(footer.num_row_groups)):
            for leaf, name in enumerate(tops):
                if name in sizes:
                    sizes[name] += group.column(leaf).total_compressed_size
    total = sum(sizes.values())
    return {name: size / total for name, size in sizes.items()} if total else {}, len(chosen)


def _tops(file_schema: pa.Schema, names: Mapping[bytes, str]) -> Iterator[str]:
    """Name in the table of the top-level column that each leaf of a file belongs to; its own name without an id."""
    for field in file_schema:
        field_id = (field.metadata or {}).get(FIELD_ID)
        yield from [field.name if field_id is None else names.get(field_id, "")] * _leaf_count([field])


def _leaf_count(fields: Sequence[pa.Field]) -> int:
    return sum(
        _leaf_count([field.type.field(number) for number in range(field.type.num_fields)])
        if pa.types.is_nested(field.type)
        else 1
        for field in fields
    )
