"""The ``write.*`` properties of a table, resolved to what a Parquet writer needs."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from lakeopt.errors import ConfigurationError, Refused
from lakeopt.model.plan import Goal
from lakeopt.model.scan import WriterOptions

#: Iceberg's names of codecs -> pyarrow's.
_CODECS = {
    "zstd": "zstd",
    "gzip": "gzip",
    "snappy": "snappy",
    "lz4": "lz4",
    "lz4_raw": "lz4",
    "brotli": "brotli",
    "uncompressed": "none",
    "none": "none",
}
#: Level where the table names none: what Iceberg's Java writers use; pyarrow's own default would be 1.
_ZSTD_LEVEL = 3
_LEVELS = {"zstd": (1, 22), "gzip": (1, 9), "brotli": (0, 11)}
#: What takes the fewest bytes at a bearable cost: level 9 takes two to three times the processor time of level 3.
_SMALLEST = WriterOptions(level=9, page_rows=1_048_576, dictionary_bytes=64 * 1024 * 1024)
_TARGET_FILE_BYTES = 512 * 1024 * 1024


def writer_options(
    properties: Mapping[str, str], *, level: int | None = None, goal: Goal | None = None
) -> WriterOptions:
    """Encoding that a table's properties ask for, Iceberg's defaults where they ask for nothing.

    The goal ``storage`` has other defaults: zstd level 9, pages of up to a million rows and large dictionaries, which
    take fewer bytes and are read less selectively.

    :raises Refused: the codec is not available here, or the level not one of the codec's.
    :raises ConfigurationError: a property is not a number above zero.
    """
    defaults = _SMALLEST if goal == "storage" else WriterOptions()
    codec = _codec(properties.get("write.parquet.compression-codec", defaults.codec))
    return WriterOptions(
        codec=codec,
        level=_level(properties, codec, level, defaults),
        row_group_bytes=_number(properties, "write.parquet.row-group-size-bytes", defaults.row_group_bytes),
        row_group_rows=_number(properties, "write.parquet.row-group-limit", defaults.row_group_rows),
        page_bytes=_number(properties, "write.parquet.page-size-bytes", defaults.page_bytes),
        page_rows=_number(properties, "write.parquet.page-row-limit", defaults.page_rows),
        dictionary_bytes=_number(properties, "write.parquet.dict-size-bytes", defaults.dictionary_bytes),
    )


def target_file_bytes(properties: Mapping[str, str]) -> int:
    """``write.target-file-size-bytes``: bytes on disk, 512 MiB where the table does not say."""
    return _number(properties, "write.target-file-size-bytes", _TARGET_FILE_BYTES)


def _codec(name: str) -> str:
    codec = _CODECS.get(name.lower())
    if codec is None or (codec != "none" and not pa.Codec.is_available(codec)):
        raise Refused(
            f"cannot write Parquet with the table's codec {name!r}",
            hint="set write.parquet.compression-codec to zstd, snappy, gzip or uncompressed",
        )
    return codec


def _level(properties: Mapping[str, str], codec: str, asked: int | None, defaults: WriterOptions) -> int | None:
    key = "write.parquet.compression-level"
    default = (defaults.level or _ZSTD_LEVEL) if codec == "zstd" else None
    level = asked if asked is not None else (_whole(properties, key) if properties.get(key) else default)
    if level is None:
        return None
    if codec not in _LEVELS:
        if asked is not None:
            raise Refused(f"codec {codec!r} has no compression levels", hint="leave the level out")
        return None  # a level left behind from another codec means nothing, as in Iceberg's own writers
    low, high = _LEVELS[codec]
    if not low <= level <= high:
        raise Refused(f"{codec} has no compression level {level}", hint=f"levels go from {low} to {high}")
    return level


def _number(properties: Mapping[str, str], key: str, default: int) -> int:
    if key not in properties:
        return default
    value = _whole(properties, key)
    if value <= 0:
        raise ConfigurationError(f"table property {key} must be above zero, not {value}")
    return value


def _whole(properties: Mapping[str, str], key: str) -> int:
    try:
        return int(properties[key])
    except ValueError:
        raise ConfigurationError(f"table property {key} must be a whole number, not {properties[key]!r}") from None
