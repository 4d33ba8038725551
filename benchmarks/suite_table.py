"""One data set as an Iceberg table of many small files, from which every strategy starts anew."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from benchmarks.lake import open_catalog

NAMESPACE, CATALOG = "suite", "bench"
LANDED_FILES, ROW_GROUP_ROWS = 24, 1_048_576
CODECS = {"zstd-3": ("zstd", 3), "zstd-9": ("zstd", 9), "snappy": ("snappy", None)}


@dataclass(frozen=True, slots=True)
class SuiteTable:
    """The landed table ``base``, and tables that begin as it is: they share its files and nothing else."""

    name: str
    catalog: SqlCatalog
    base: Table
    landed: Mapping[str, int]

    @contextmanager
    def start(self, strategy: str, codec: str) -> Iterator[str]:
        """A table as it landed, whose codec is this one; in the block no journal of another one is seen."""
        name = f"{NAMESPACE}.{self.name}__{strategy.replace('-', '_')}__{codec.replace('-', '_')}"
        table = self.catalog.register_table(name, self.base.metadata_location)
        with table.transaction() as change:
            change.set_properties({"write.parquet.compression-codec": CODECS[codec][0]})
        with TemporaryDirectory(prefix="lakeopt-state-") as state:
            os.environ["LAKEOPT_STATE_DIR"] = state
            try:
                yield f"{CATALOG}.{name}"
            finally:
                del os.environ["LAKEOPT_STATE_DIR"]

    def files(self, identifier: str) -> dict[str, int]:
        """Bytes of each data file of a table, by its path."""
        return _files(self.catalog.load_table(identifier.removeprefix(f"{CATALOG}.")))

    def drop(self, identifier: str) -> None:
        """Forget a table and remove the files that are its own."""
        for path in self.files(identifier).keys() - self.landed.keys():
            Path(path.removeprefix("file://")).unlink()
        self.catalog.drop_table(identifier.removeprefix(f"{CATALOG}."))


def land(folder: Path, name: str, rows: pa.Table) -> SuiteTable:
    """A new table of these rows: one append a file, by pyiceberg's writer at zstd 3."""
    catalog = open_catalog(folder)
    catalog.create_namespace_if_not_exists(NAMESPACE)
    properties = {"write.parquet.compression-codec": "zstd", "write.parquet.compression-level": "3"}
    table = catalog.create_table(f"{NAMESPACE}.{name}", rows.schema, properties=properties)
    for number in range(LANDED_FILES):
        first, last = (rows.num_rows * edge // LANDED_FILES for edge in (number, number + 1))
        table.append(rows.slice(first, last - first))
    return SuiteTable(name, catalog, table, _files(table))


def _files(table: Table) -> dict[str, int]:
    found = table.inspect.files()
    return dict(zip(found["file_path"].to_pylist(), found["file_size_in_bytes"].to_pylist(), strict=True))


def written_bytes(rows: pa.Table, codec: str) -> int:
    """Bytes of one file of these rows as they are, by pyarrow's default writer: what all ratios are to."""
    kind, level = CODECS[codec]
    sink = pa.MockOutputStream()
    pq.write_table(
        rows, sink, compression=kind, compression_level=level, row_group_size=ROW_GROUP_ROWS, write_page_index=True
    )
    return int(sink.size())
