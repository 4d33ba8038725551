"""A DuckDB of our own: bounded, in UTC, and without extensions, secrets or settings from outside."""

from __future__ import annotations

import os

import duckdb

#: Below this DuckDB cannot even keep one vector of each column of a wide table.
LEAST_MEMORY_BYTES = 64 * 1024 * 1024


def connect(
    *, memory_bytes: int, threads: int, temp_dir: str, keep_order: bool, prefetch_gap_bytes: int | None = None
) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills into ``temp_dir``.

    ``memory_bytes`` is DuckDB's own share, not that of the process. ``keep_order`` is not needed for rows that
    are sorted or whose order is free, and costs memory. ``prefetch_gap_bytes`` is how far apart parts of a Parquet file
    may lie that are read as one; by default DuckDB decides by how long reads take.
    """
    os.makedirs(temp_dir, exist_ok=True)
    connection = duckdb.connect(
        config={
            "memory_limit": f"{max(memory_bytes, LEAST_MEMORY_BYTES)}B",
            "threads": str(max(threads, 1)),
            "temp_directory": temp_dir,
            "preserve_insertion_order": "true" if keep_order else "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            # Pages of input files are read once: caching them would take memory from the sort.
            "enable_external_file_cache": "false",
            # UUID as 16 bytes and BOOLEAN as bytes, instead of text and bits that would have to be parsed or widened.
            "arrow_lossless_conversion": "true",
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    if prefetch_gap_bytes is not None:
        connection.load_extension("parquet")  # the setting is the extension's, which is built in
        connection.execute(f"SET parquet_prefetch_column_gap = {prefetch_gap_bytes}")
    connection.execute("SET lock_configuration = true")
    return connection


def text_literal(text: str) -> str:
    """SQL literal of any text, the zero character included.

    >>> text_literal("it's"), text_literal("a" + chr(0))
    ("'it''s'", "decode(from_hex('6100'))")
    """
    if "\0" in text:
        return f"decode(from_hex('{text.encode().hex()}'))"
    return "'" + text.replace("'", "''") + "'"


def file_literal(path: str) -> str:
    """SQL literal of one path for ``read_parquet``, which would take ``*``, ``?`` and ``[`` as patterns.

    >>> file_literal("/w/a*b.parquet")
    "'/w/a[*]b.parquet'"
    """
    return text_literal("".join(f"[{character}]" if character in "*?[" else character for character in path))
