"""What kind of table a metastore describes: its file format, and why a table is left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakeopt.tables.hive.hive_types import is_known
from lakeopt.tables.hive.source import Column, FileFormat

#: Input formats that read every file of a folder with one reader; others list files of their own.
_FORMATS: dict[str, FileFormat] = {
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat": "parquet",
    "parquet.hive.DeprecatedParquetInputFormat": "parquet",
    "parquet.hive.MapredParquetInputFormat": "parquet",
    "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat": "orc",
    "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat": "avro",
    "org.apache.hadoop.mapred.TextInputFormat": "text",
}
_PROVIDERS: dict[str, FileFormat] = {
    "parquet": "parquet",
    "orc": "orc",
    "avro": "avro",
    "csv": "text",
    "json": "text",
    "text": "text",
}
#: Parameters that let Hive find the columns of files by their place.
_BY_PLACE = ("parquet.column.index.access", "orc.force.positional.evolution")
_PROVIDER = "spark.sql.sources.provider"
_READ_ONLY = {"text": "text", "avro": "Avro"}


def file_format(input_format: str) -> FileFormat:
    """Format of the files that an input format reads."""
    return _FORMATS.get(input_format, "unknown")


def provider(parameters: Mapping[str, str]) -> str | None:
    """Format that Spark reads a table as, whatever its storage descriptor says; None for a table of Hive's own."""
    found = parameters.get(_PROVIDER, "").lower()
    return None if found in ("", "hive") else found


def provider_format(name: str) -> FileFormat:
    """Format of the files of a Spark data source."""
    return _PROVIDERS.get(name, "unknown")


def unreadable(table: Any, columns: Sequence[Column], held: FileFormat) -> str | None:
    """Why rows of a table of the metastore (Thrift's) are not those of its files, by the names of their columns, or
    cannot be read here.
    """
    parameters, serde = table.parameters or {}, table.sd.serdeInfo if table.sd is not None else None
    if "VIEW" in (table.tableType or ""):
        return "it is a view"
    if parameters.get("transactional", "").lower() == "true":
        return "it is transactional (ACID): its files belong to Hive's own compactor"
    if handler := parameters.get("storage_handler"):
        return f"its rows are kept by {handler}"
    said = {**((serde.parameters if serde is not None else None) or {}), **parameters}
    by_place = next((key for key in _BY_PLACE if said.get(key, "").lower() == "true"), None)
    if by_place:
        return f"its columns go by their place, whatever files call them ({by_place})"
    if held == "unknown":
        return f"its files are read by {provider(parameters) or table.sd.inputFormat or 'an unknown format'}"
    if held in _READ_ONLY:
        return f"its files are {_READ_ONLY[held]}, which is listed and not rewritten"
    return unknown_columns(columns) or _untracked(table, parameters)


def refusal(table: Any, columns: Sequence[Column], held: FileFormat) -> str | None:
    """Why a table of the metastore (Thrift's) is not rewritten; None where nothing speaks against it."""
    parameters, storage = table.parameters or {}, table.sd
    if (reason := unreadable(table, columns, held)) is not None:
        return reason
    if (storage.numBuckets or 0) > 0 and storage.bucketCols:
        return f"it is bucketed by {', '.join(storage.bucketCols)}: a rewrite would break the buckets"
    if parameters.get("spark.sql.sources.schema.numBuckets", "0") not in ("", "0", "-1"):
        return "it is bucketed by Spark: a rewrite would break the buckets"
    if storage.skewedInfo is not None and storage.skewedInfo.skewedColNames:
        return f"it is skewed by {', '.join(storage.skewedInfo.skewedColNames)}: folders hold values apart"
    return None


def unknown_columns(columns: Sequence[Column]) -> str | None:
    """Which columns have a type that is not known here, as a reason."""
    unknown = [f"{name} ({kind})" for name, kind in columns if not is_known(kind)]
    return f"the type of a column is not known: {', '.join(unknown)}" if unknown else None


def _untracked(table: Any, parameters: Mapping[str, str]) -> str | None:
    """Spark lists the folders of older data source tables itself: no metastore says where a partition lies."""
    tracked = parameters.get("spark.sql.partitionProvider", "").lower() == "catalog"
    if provider(parameters) is None or tracked or not int(parameters.get("spark.sql.sources.schema.numPartCols", "0")):
        return None
    return "Spark finds its partitions by listing folders (MSCK REPAIR TABLE registers them)"
