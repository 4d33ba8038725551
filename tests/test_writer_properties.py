"""The ``write.*`` properties of a table, resolved or refused."""

from __future__ import annotations

import pyarrow as pa
import pytest
from lake import Lake

from lakeopt.errors import ConfigurationError, Refused
from lakeopt.model.scan import WriterOptions
from lakeopt.tables.open import open_table

SCHEMA = pa.schema([("id", pa.int64())])


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, WriterOptions(codec="zstd", level=3)),
        ({"write.parquet.compression-level": "9"}, WriterOptions(codec="zstd", level=9)),
        ({"write.parquet.compression-codec": "snappy"}, WriterOptions(codec="snappy")),
        ({"write.parquet.compression-codec": "UNCOMPRESSED"}, WriterOptions(codec="none")),
        (
            {"write.parquet.compression-codec": "gzip", "write.parquet.compression-level": "6"},
            WriterOptions(codec="gzip", level=6),
        ),
        (
            {
                "write.parquet.row-group-size-bytes": "1000000",
                "write.parquet.row-group-limit": "1000",
                "write.parquet.page-size-bytes": "65536",
                "write.parquet.page-row-limit": "500",
                "write.parquet.dict-size-bytes": "1024",
            },
            WriterOptions("zstd", 3, 1_000_000, 1000, 65536, 500, 1024),
        ),
    ],
)
def test_writer_options_are_the_tables_own(lake: Lake, properties: dict[str, str], expected: WriterOptions) -> None:
    lake.create("db.t", SCHEMA, properties=properties)
    assert open_table("db.t").writer_options() == expected


@pytest.mark.parametrize(
    ("properties", "level", "error"),
    [
        ({"write.parquet.compression-codec": "lzo"}, None, Refused),
        ({"write.parquet.compression-codec": "nonsense"}, None, Refused),
        ({"write.parquet.compression-codec": "snappy"}, 3, Refused),
        ({"write.parquet.compression-level": "99"}, None, Refused),
        ({"write.parquet.compression-level": "high"}, None, ConfigurationError),
        ({"write.parquet.page-row-limit": "0"}, None, ConfigurationError),
        ({"write.parquet.page-size-bytes": "1MB"}, None, ConfigurationError),
    ],
)
def test_properties_that_cannot_be_honoured_are_refused(
    lake: Lake, properties: dict[str, str], level: int | None, error: type[Exception]
) -> None:
    lake.create("db.t", SCHEMA, properties=properties)
    with pytest.raises(error):
        open_table("db.t").writer_options(level=level)


def test_the_target_size_is_the_tables_or_512_mib(lake: Lake) -> None:
    lake.create("db.t", SCHEMA)
    assert open_table("db.t").target_file_bytes() == 512 * 1024 * 1024
    lake.create("db.u", SCHEMA, properties={"write.target-file-size-bytes": "1234"})
    assert open_table("db.u").target_file_bytes() == 1234
