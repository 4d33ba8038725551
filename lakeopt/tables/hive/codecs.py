"""The codec of a Hive table's files, in the words of Iceberg's properties."""

from __future__ import annotations

from collections.abc import Mapping

_CODEC = "write.parquet.compression-codec"
#: Parameters that say how the first files are compressed, first come first served; keys in any case.
_PARAMETERS = ("write.parquet.compression-codec", "parquet.compression", "orc.compress", "compression")
_SAME = {"zlib": "gzip", "gz": "gzip", "uncompressed": "uncompressed", "none": "uncompressed", "lz4_raw": "lz4"}


def as_iceberg(parameters: Mapping[str, str], found: str | None) -> dict[str, str]:
    """The parameters with the codec under Iceberg's name: as found in the files, else as asked for.

    >>> asked = {"parquet.compression": "SNAPPY"}
    >>> [as_iceberg(asked, found)["write.parquet.compression-codec"] for found in (None, "gzip")]
    ['snappy', 'gzip']
    """
    lower = {key.lower(): value for key, value in parameters.items()}
    named = found or next((lower[key] for key in _PARAMETERS if lower.get(key)), None)
    if named is None:
        return dict(parameters)
    return {**parameters, _CODEC: _SAME.get(named.lower(), named.lower())}
