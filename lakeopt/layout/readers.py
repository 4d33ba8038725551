"""Which encodings the readers of a table read: what is written is what every named reader was seen to read.

Each entry is proved by a test that writes every encoding with every type it may stand on and reads it back equal
with that reader in that version (``tests/test_readers.py``, ``tests/services/test_spark_readers.py``); what an entry
lacks is proved to fail. A version that was not tested is taken for the newest tested one below it, since readers
learn and do not forget; one below all of them is taken to read :data:`BASIC` alone.

Byte-stream-split is no encoding of lakeopt's at all: Spark's vectorised Parquet reader rejects it in every version
tested, and so do Iceberg's up to 1.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from lakeopt.errors import UnknownName, UsageError
from lakeopt.model.scan import ENCODINGS

#: What every Parquet reader reads.
BASIC = frozenset({"dictionary", "plain"})
#: What a file may hold beside data pages of version 1 in one of :data:`~lakeopt.model.scan.ENCODINGS`. Every file of
#: lakeopt's has a page index and some have Bloom filters; the others are never written, and said for completeness.
FEATURES = ("page-index", "bloom-filters", "data-page-v2", "rle-booleans")

_FRAME = BASIC | {"page-index", "bloom-filters", "data-page-v2"}
_ALL = _FRAME | frozenset(ENCODINGS) | {"rle-booleans"}

#: Reader -> version that was tested -> what it reads. ``spark`` is Spark's own vectorised Parquet reader,
#: ``spark-iceberg`` the vectorised reader of Iceberg's runtime for Spark by the version of Iceberg.
READERS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "datafusion": {"55.0": _ALL},
    "duckdb": {"2.0": _ALL},
    "polars": {"2.1": _ALL},
    "pyarrow": {"26.0": _ALL},
    "spark": {"3.5": _ALL, "4.1": _ALL},
    "spark-iceberg": {
        "1.9": _FRAME,
        "1.10": _FRAME | {"delta-binary-packed"},
        # 1.11 tries the other delta encodings and fails on pages of nulls alone.
        "1.12": _ALL - {"rle-booleans"},
    },
}
#: The readers of a table of which nothing is said: a table that Iceberg's runtime for Spark reads all read.
DEFAULT = ("spark-iceberg",)
EVERY = "all"


def allowed(names: Iterable[str] = DEFAULT) -> frozenset[str]:
    """Encodings that every one of the readers reads.

    A name is a reader, ``spark-iceberg=1.10`` a reader of which no version below 1.10 is used, and ``all`` every
    reader that is known; without a version the oldest tested one counts.

    >>> sorted(allowed()), sorted(allowed(["spark-iceberg=1.10", "duckdb"]))
    (['dictionary', 'plain'], ['delta-binary-packed', 'dictionary', 'plain'])

    :raises UnknownName: no such reader.
    :raises UsageError: no reader is named, or a version is none.
    """
    return common(names) & frozenset(ENCODINGS)


def common(names: Iterable[str]) -> frozenset[str]:
    """Encodings and :data:`FEATURES` that every one of the readers reads; names as in :func:`allowed`."""
    named = list(names)
    if not named:
        raise UsageError("no reader is named", hint=f"known: {', '.join([EVERY, *READERS])}")
    reads = [_reads(one) for name in named for one in (READERS if name == EVERY else [name])]
    return frozenset.intersection(*reads)


def _reads(named: str) -> frozenset[str]:
    name, given, text = named.partition("=")
    if name not in READERS:
        raise UnknownName("reader", name, [EVERY, *READERS])
    tested = {_version(version): reads for version, reads in READERS[name].items()}
    if not given:
        return tested[min(tested)]
    if not re.fullmatch(r"\d+(\.\d+)*", text):
        raise UsageError(f"{text!r} is no version of {name}", hint=f"tested: {', '.join(READERS[name])}")
    below = [version for version in tested if version <= _version(text)]
    return tested[max(below)] if below else BASIC


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
