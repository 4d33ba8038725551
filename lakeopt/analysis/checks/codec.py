"""Compression: none, an old codec, or a mixture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding

#: Codecs that zstd beats at once in size and in speed of reading (gzip) or clearly in size (snappy, lz4, lzo).
WEAK = frozenset({"uncompressed", "snappy", "gzip", "lz4", "lz4_raw", "lzo"})


def codec(table: TableState) -> Iterator[Finding]:
    """Files whose codec costs bytes, and files that differ from what the table now asks for."""
    used = Counter(name for facts in table.footers.values() for name in facts.codecs)
    weak = {name: count for name, count in sorted(used.items()) if name in WEAK}
    evidence = {"footers": len(table.footers), "codecs": dict(sorted(used.items())), "table_codec": table.writer.codec}
    if weak:
        wanted = table.writer.codec not in WEAK
        names = " and ".join(weak)
        asked = "the table asks for it: set write.parquet.compression-codec to zstd"
        advice = "" if wanted else f"; {asked if table.keeps_snapshots else 'a rewrite of a Hive table keeps it'}"
        yield Finding(
            "weak-codec",
            "warning" if "uncompressed" in weak else "info",
            f"{max(weak.values()):,} of {len(table.footers):,} sampled files are {names}, zstd is smaller{advice}",
            evidence,
            table.rewrite() if wanted else None,
        )
    if len(used) > 1:
        yield Finding(
            "mixed-codecs", "info", f"sampled files use {len(used)} codecs: {', '.join(sorted(used))}", evidence, None
        )


CHECK: Check = codec
