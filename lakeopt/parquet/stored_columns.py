"""How the columns of a Parquet file are stored: bytes, codec and encodings of each column, as its footer says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from lakeopt.errors import DataFileError
from lakeopt.model.stored import ChunkForm
from lakeopt.parquet.dictionaries import DICTIONARY_PAGE, ENCODING, ENCODING_STATS, PAGE_COUNT, PAGE_TYPE
from lakeopt.parquet.footers import Resolve, data_file_error
from lakeopt.parquet.raw_footer import CODEC, CODECS, COMPRESSED_SIZE, RawFooter, chunks, row_groups
from lakeopt.parquet.stitch import CHUNK_META
from lakeopt.parquet.thrift import Struct

# ColumnMetaData of parquet.thrift
_ENCODINGS, _UNCOMPRESSED_SIZE = 2, 6
#: ``Encoding`` by number. What stands for levels alone (RLE, bit-packed) is left out.
_WORDS = {
    0: "plain",
    2: "dictionary",
    5: "delta-binary-packed",
    6: "delta-length-byte-array",
    7: "delta-byte-array",
    8: "dictionary",
    9: "byte-stream-split",
}


def stored_columns(location: str, resolve: Resolve) -> Iterator[tuple[pa.Field, ChunkForm]]:
    """Each column chunk of a file, with the top-level field that it is of (or lies in).

    :raises DataFileError: the file is missing, or no Parquet.
    :raises Unreachable: the storage does not answer.
    """
    filesystem, path = resolve(location)
    try:
        with filesystem.open_input_file(path) as source:
            footer = RawFooter.read(source)
        schema = footer.as_pyarrow().schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        raise data_file_error(location, error) from error
    except DataFileError as error:
        raise DataFileError(f"data file cannot be read: {location}: {error}", hint=error.hint) from error
    tops = [field for field in schema for _ in range(_leaf_count([field]))]
    for group in row_groups(footer.fields()):
        for field, chunk in zip(tops, chunks(group), strict=True):
            yield field, _form(chunk[CHUNK_META][1])


def _form(meta: Struct) -> ChunkForm:
    pages = dict(_pages(meta))
    coded, all_pages = pages.get("dictionary", 0), sum(pages.values())
    return ChunkForm(
        bytes=meta[COMPRESSED_SIZE][1],
        encoded_bytes=meta[_UNCOMPRESSED_SIZE][1],
        codec=CODECS[meta[CODEC][1]] if meta[CODEC][1] < len(CODECS) else f"codec {meta[CODEC][1]}",
        encodings=tuple(sorted(pages, key=lambda word: -pages[word])),
        dictionary_share=coded / all_pages if all_pages else 0.0,
        overflowed="plain" in pages and _has_dictionary(meta),
    )


def _pages(meta: Struct) -> Iterator[tuple[str, int]]:
    """Data pages by encoding; where the footer counts none, one for each encoding that can be of data."""
    found: dict[str, int] = {}
    for item in _statistics(meta):
        if item[PAGE_TYPE][1] != DICTIONARY_PAGE:
            word = _WORDS.get(item[ENCODING][1], f"encoding {item[ENCODING][1]}")
            found[word] = found.get(word, 0) + item[PAGE_COUNT][1]
    if not found:
        words = {_WORDS[number] for number in meta[_ENCODINGS][1].values if number in _WORDS}
        # Dictionary pages are plain too: only where there is no dictionary is plain surely of data.
        found = dict.fromkeys(words - {"plain"} if "dictionary" in words else words, 1)
    yield from found.items()


def _has_dictionary(meta: Struct) -> bool:
    return any(item[PAGE_TYPE][1] == DICTIONARY_PAGE for item in _statistics(meta))


def _statistics(meta: Struct) -> Sequence[Struct]:
    held: Sequence[Struct] = meta[ENCODING_STATS][1].values if ENCODING_STATS in meta else ()
    return held


def _leaf_count(fields: Sequence[pa.Field]) -> int:
    return sum(
        _leaf_count([field.type.field(number) for number in range(field.type.num_fields)])
        if pa.types.is_nested(field.type)
        else 1
        for field in fields
    )
