"""Runs in the oracle environment: read an Iceberg table with DuckDB's own iceberg extension into a Parquet file.

Usage: python oracle_read.py METADATA_JSON OUT_PARQUET [SNAPSHOT_ID]
"""

import glob
import os
import site
import sys

import duckdb


def main(metadata: str, out: str, snapshot: str | None = None) -> None:
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    for name in ("avro", "httpfs", "iceberg"):
        (path,) = (
            found
            for folder in site.getsitepackages()
            for found in glob.glob(os.path.join(folder, "**", f"{name}.duckdb_extension"), recursive=True)
        )
        connection.execute(f"LOAD '{path}'")
    at = f", snapshot_from_id = {int(snapshot)}" if snapshot else ""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"COPY (SELECT * FROM iceberg_scan('{metadata}'{at})) TO '{out}' (FORMAT parquet)")


if __name__ == "__main__":
    main(*sys.argv[1:])
