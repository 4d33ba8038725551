"""How data files are encoded, in the words of Iceberg's Java writer; and what it has no words for."""

from __future__ import annotations

from lakeopt.model.scan import WriterOptions

_CODECS = {"none": "uncompressed"}
#: The writer counts a row group's buffers, not rows; files of a target size are cut by tasks, not by size.
_DEFAULT = WriterOptions()


def table_properties(writer: WriterOptions, folder: str) -> dict[str, str]:
    """Properties of the table that make the writer write so, below that folder.

    >>> table_properties(WriterOptions(level=3), "/t/data/x")["write.parquet.compression-level"]
    '3'
    """
    properties = {
        "write.format.default": "parquet",
        "write.data.path": folder,
        "write.parquet.compression-codec": _CODECS.get(writer.codec, writer.codec),
        "write.parquet.row-group-size-bytes": str(writer.row_group_bytes),
        "write.parquet.page-size-bytes": str(writer.page_bytes),
        "write.parquet.page-row-limit": str(writer.page_rows),
        "write.parquet.dict-size-bytes": str(writer.dictionary_bytes),
    }
    if writer.level is not None:
        properties["write.parquet.compression-level"] = str(writer.level)
    for column, different in writer.bloom_filters.items():
        properties[f"write.parquet.bloom-filter-enabled.column.{column}"] = "true"
        properties[f"write.parquet.bloom-filter-ndv.column.{column}"] = str(different)
    return properties


def not_applied(writer: WriterOptions) -> tuple[str, ...]:
    """Choices that the writer cannot be told of, each with the reason.

    >>> not_applied(WriterOptions(encodings={"a": "delta-binary-packed", "b": "dictionary"}))
    ('encoding delta-binary-packed of a: Spark chooses encodings itself',)
    """
    found = [
        f"encoding {encoding} of {column}: Spark chooses encodings itself"
        for column, encoding in writer.encodings.items()
        if encoding != "dictionary"
    ]
    if writer.row_group_rows != _DEFAULT.row_group_rows:
        found.append(f"row groups of {writer.row_group_rows} rows: Spark cuts them by bytes alone")
    return tuple(found)
