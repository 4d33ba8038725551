"""Which columns are worth a Parquet dictionary, learnt from what was written, and dictionaries made small."""

from __future__ import annotations

from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.parquet.stitch import CHUNK_META, COLUMNS, ROW_GROUPS, EncodedRowGroup

# ColumnMetaData and PageEncodingStats of parquet.thrift
PATH, ENCODING_STATS, PAGE_TYPE, ENCODING, PAGE_COUNT = 3, 13, 1, 2, 3
DICTIONARY_PAGE, PLAIN = 2, 0

SAMPLE_ROWS = 8_192


class DictionaryChoice:
    """Dictionary encoding by column. A dictionary that overflowed made a chunk slower and larger than none would
    have been; later row groups go without it, until a sample holds far fewer distinct values than that one did.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._names = [field.name for field in schema if not pa.types.is_nested(field.type)]
        self._overflowed: dict[str, int] = {}
        self._lock = Lock()

    def without(self, rows: pa.Table) -> set[str]:
        """Top-level columns of these rows that should be written without a dictionary."""
        with self._lock:
            known = dict(self._overflowed)
        return {name for name, distinct in known.items() if _sample_distinct(rows, name) * 2 > distinct}

    def learn(self, rows: pa.Table, part: EncodedRowGroup) -> None:
        """Remember the columns whose dictionary overflowed in an encoded row group."""
        found = {}
        for chunk in part.footer[ROW_GROUPS][1].values[0][COLUMNS][1].values:
            meta = chunk[CHUNK_META][1]
            path = [name.decode() for name in meta[PATH][1].values]
            if len(path) == 1 and path[0] in self._names and _overflowed(meta):
                found[path[0]] = _sample_distinct(rows, path[0])
        with self._lock:
            self._overflowed.update(found)


def _overflowed(meta: dict[int, tuple[int, object]]) -> bool:
    pages = {True: 0, False: 0}
    dictionary = False
    for item in meta[ENCODING_STATS][1].values if ENCODING_STATS in meta else ():  # type: ignore[attr-defined]
        if item[PAGE_TYPE][1] == DICTIONARY_PAGE:
            dictionary = True
        else:
            pages[item[ENCODING][1] == PLAIN] += item[PAGE_COUNT][1]
    return dictionary and pages[True] > pages[False]


def _sample_distinct(rows: pa.Table, name: str) -> int:
    column = rows.column(rows.schema.get_field_index(name))
    sample = column.slice(max(0, (len(column) - SAMPLE_ROWS) // 2), SAMPLE_ROWS)
    if isinstance(column.type, pa.BaseExtensionType):
        sample = pa.chunked_array([chunk.storage for chunk in sample.chunks], column.type.storage_type)
    return int(pc.count_distinct(sample).as_py())


def compact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary-encoded column with only those values in its dictionary that occur in it."""
    chunks = column.chunks
    if any(not chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks[1:]):
        chunks = column.unify_dictionaries().chunks
    dictionary = chunks[0].dictionary
    codes = pa.concat_arrays([chunk.indices for chunk in chunks])
    used = np.flatnonzero(np.bincount(codes.drop_null().to_numpy(), minlength=len(dictionary)))
    if not len(used):
        return pa.chunked_array([pa.nulls(len(codes), dictionary.type)])
    places = np.zeros(len(dictionary), np.int32)
    places[used] = np.arange(len(used), dtype=np.int32)
    moved = pa.array(places).take(codes)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(moved, dictionary.take(pa.array(used)))])
