"""ORC files: what footers say against the rows themselves, and stripes put together by us as other readers see them."""

from __future__ import annotations

import io
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs, orc

from lakeopt.errors import DataFileError, Refused
from lakeopt.orc import tail as at
from lakeopt.orc.footers import OrcFooter, read_footer
from lakeopt.orc.form import CHAR, KIND, LENGTH, OrcForm
from lakeopt.orc.lz4 import decompress_block
from lakeopt.orc.merged_statistics import merged
from lakeopt.orc.protobuf import Message, zigzag
from lakeopt.orc.scan import batches
from lakeopt.orc.writer import OrcFile, encode

CODECS = ("uncompressed", "zlib", "snappy", "zstd", "lz4")
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "d": st.none() | st.floats(width=64),
            "s": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            "day": st.none() | st.integers(-200_000, 200_000),
            "cents": st.none() | st.decimals(-(10**6), 10**6, places=2),
        }
    ),
    min_size=1,
    max_size=30,
)
TYPES = {"i": pa.int64(), "d": pa.float64(), "s": pa.string(), "day": pa.date32(), "cents": pa.decimal128(12, 2)}


def local(path: str) -> tuple[fs.FileSystem, str]:
    return fs.LocalFileSystem(), path


def table(rows: list[dict[str, Any]]) -> pa.Table:
    def column(name: str, kind: pa.DataType) -> pa.Array:
        values = [row[name] for row in rows]
        return pa.array(values, pa.int32()).cast(kind) if name == "day" else pa.array(values, kind)

    return pa.table({name: column(name, kind) for name, kind in TYPES.items()})


def written(path: Path, rows: pa.Table, **options: Any) -> OrcFooter:
    orc.write_table(rows, path, **options)
    return read_footer(str(path), local)


def form_of(footer: OrcFooter, **more: Any) -> OrcForm:
    types = tuple(message.encode() for message in footer.tail.footer.messages(at.TYPES))
    return OrcForm(footer.schema, types, **{"codec": footer.codec, **more})


@settings(deadline=None, max_examples=60)
@given(rows=ROWS, codec=st.sampled_from(CODECS))
def test_statistics_are_those_of_the_rows(tmp_path_factory: pytest.TempPathFactory, rows: Any, codec: str) -> None:
    held = table(rows)
    footer = written(tmp_path_factory.mktemp("orc") / "a.orc", held, compression=codec)
    assert (footer.record_count, footer.codec, sum(footer.stripe_rows)) == (len(rows), codec, len(rows))
    for name, statistics in zip(held.column_names, footer.statistics, strict=True):
        assert statistics is not None
        values = held[name].drop_null()
        assert (statistics.value_count, statistics.null_count) == (len(rows), len(rows) - len(values))
        if name == "d":
            known = [value for value in values.to_pylist() if not math.isnan(value)]
        else:
            known = (values.cast(pa.int32()) if name == "day" else values).to_pylist()
        if statistics.lower is not None and known:
            assert statistics.lower <= min(known) <= max(known) <= statistics.upper  # type: ignore[operator]
            if name != "d":
                assert (statistics.lower, statistics.upper) == (min(known), max(known))
        assert name == "d" or (statistics.lower is None) == (not known)


@settings(deadline=None, max_examples=40)
@given(parts=st.lists(ROWS, min_size=1, max_size=4), codec=st.sampled_from(CODECS))
def test_stripes_put_together_are_the_file_that_pyarrow_would_write(
    tmp_path_factory: pytest.TempPathFactory, parts: Any, codec: str
) -> None:
    """Rows of all parts, and statistics of the whole as if it had been written at once."""
    folder, tables = tmp_path_factory.mktemp("orc"), [table(rows) for rows in parts]
    whole = written(folder / "whole.orc", pa.concat_tables(tables).combine_chunks(), compression=codec)
    sink = io.BytesIO()
    file = OrcFile(sink, form_of(whole))
    for one in tables:
        file.append(encode(one, form_of(whole)))
    size = file.finish({"lakeopt.x": "1"})
    (folder / "made.orc").write_bytes(sink.getvalue())
    made = read_footer(str(folder / "made.orc"), local)
    assert size == made.file_bytes == len(sink.getvalue())
    assert made.stripe_rows == tuple(one.num_rows for one in tables)
    read = orc.ORCFile(folder / "made.orc")
    assert read.metadata == {b"lakeopt.x": b"1"}
    assert repr(read.read().to_pylist()) == repr(pa.concat_tables(tables).to_pylist())
    for name, ours, theirs in zip(TYPES, made.statistics, whole.statistics, strict=True):
        if name != "d":  # of a NaN pyarrow makes what it likes
            assert ours == theirs
    assert read.nstripe_statistics == len(tables)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 2**64 - 1) | st.binary(max_size=9)), max_size=8))
def test_messages_come_back(fields: list[tuple[int, Any]]) -> None:
    message = Message([(number, 0 if isinstance(value, int) else 2, value) for number, value in fields])
    assert Message.decode(message.encode()).fields == message.fields


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 300)), max_size=12))
def test_lz4_blocks_are_what_pyarrow_compressed(parts: list[tuple[bytes, int]]) -> None:
    data = b"".join(part * count for part, count in parts)
    assert decompress_block(pa.compress(data, codec="lz4_raw", asbytes=True)) == data


@pytest.mark.parametrize("block", ["", "10", "1061ff", "10610500", "f0", "0000000000"])
def test_damaged_lz4_blocks_end(block: str) -> None:
    with pytest.raises((IndexError, ValueError)):
        decompress_block(bytes.fromhex(block))


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_numbers_come_back(value: int) -> None:
    assert Message([(1, 0, zigzag(value))]).signed(1) == value


def test_what_one_part_does_not_say_the_whole_does_not() -> None:
    def part(values: int, low: int | None) -> Message:
        found = Message([(1, 0, values)])
        if low is not None:
            found.put(2, Message([(1, 0, zigzag(low)), (2, 0, zigzag(low)), (3, 0, zigzag(low))]))
        return found

    whole = merged([part(2, 3), part(0, None), part(1, -4)])
    assert (whole.whole(1), whole.message(2).signed(1), whole.message(2).signed(3)) == (3, -4, -1)  # type: ignore[union-attr]
    assert merged([part(2, 3), part(1, None)]).message(2) is None
    over = merged([part(1, 2**62), part(1, 2**62)]).message(2)
    assert over is not None
    assert (over.signed(2), over.signed(3)) == (2**62, None)  # their sum is no number of 64 bits


def test_types_calendar_and_words_of_the_files_are_kept(tmp_path: Path) -> None:
    """A char is stored as a string is: what it is called, and how long, is for the footer to say."""
    rows = pa.table({"a": ["x", "y"], "b": [1, 2]})
    footer = written(tmp_path / "a.orc", rows)
    types = footer.tail.footer.messages(at.TYPES)
    types[1].put(KIND, CHAR)
    types[1].put(LENGTH, 5)
    told = Message([(1, 2, b"org.apache.spark.version"), (2, 2, b"4.1.0")]).encode()
    form = OrcForm(rows.schema, tuple(one.encode() for one in types), "zstd", calendar=2, user_metadata=(told,))
    sink = io.BytesIO()
    file = OrcFile(sink, form)
    file.append(encode(rows, form))
    file.finish({})
    (tmp_path / "b.orc").write_bytes(sink.getvalue())
    made = read_footer(str(tmp_path / "b.orc"), local)
    assert (made.codec, made.tail.footer.whole(at.CALENDAR)) == ("zstd", 2)
    assert [one.fields for one in made.tail.footer.messages(at.TYPES)] == [one.fields for one in types]
    assert orc.ORCFile(tmp_path / "b.orc").metadata == {b"org.apache.spark.version": b"4.1.0"}
    assert orc.read_table(tmp_path / "b.orc").to_pylist() == rows.to_pylist()


def test_types_that_describe_other_bytes_are_refused(tmp_path: Path) -> None:
    footer = written(tmp_path / "a.orc", pa.table({"a": ["x"]}))
    form = {"types": tuple(message.encode() for message in footer.tail.footer.messages(at.TYPES)), "codec": "zlib"}
    numbers = OrcForm(pa.schema([("a", pa.int64())]), **form)  # type: ignore[arg-type]
    file = OrcFile(io.BytesIO(), numbers)
    with pytest.raises(Refused, match="a type that is not written here"):
        file.append(encode(pa.table({"a": [1]}), numbers))


def test_columns_are_read_by_place_whatever_their_names(tmp_path: Path) -> None:
    names = ["a.b", "x", "ü ", "x.y"]
    rows = pa.Table.from_arrays([pa.array([place, place + 1]) for place in range(4)], names=names)
    orc.write_table(rows, tmp_path / "a.orc")
    with pa.OSFile(str(tmp_path / "a.orc")) as source:
        found = [batch.to_pydict() if batch.num_columns == 1 else batch for batch in batches(source, [3], 1)]
        assert found == [{"": [3]}, {"": [4]}]
        (both,) = batches(source, [2, 0], 10)
        assert [column.to_pylist() for column in both.columns] == [[2, 3], [0, 1]]
        assert sum(batch.num_rows for batch in batches(source, [], 1)) == 2


def test_large_files_come_in_batches_of_their_stripes(tmp_path: Path) -> None:
    orc.write_table(pa.table({"a": pc.random(50_000)}), tmp_path / "a.orc", stripe_size=65_536)
    footer = read_footer(str(tmp_path / "a.orc"), local)
    assert len(footer.stripe_rows) > 2
    with pa.OSFile(str(tmp_path / "a.orc")) as source:
        sizes = [batch.num_rows for batch in batches(source, [0], 10_000)]
    assert sum(sizes) == 50_000
    assert max(sizes) <= 10_000


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "parquet", "footer"])
def test_damaged_files_are_told_of(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.orc"
    orc.write_table(pa.table({"a": [1, 2, 3]}), path, compression="zlib")
    body = path.read_bytes()
    half = len(body) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut": body[:half],
            "noise": bytes(200),
            "parquet": b"PAR1" + bytes(40) + b"PAR1",
            "footer": body[: half + 20] + bytes(20) + body[half + 40 :],
        }[damage]
    )
    with pytest.raises(DataFileError, match=r"a\.orc"):
        read_footer(str(path), local)
    path.unlink()
    with pytest.raises(DataFileError, match="is missing"):
        read_footer(str(path), local)


def test_decimals_of_statistics_are_exact() -> None:
    part = Message([(1, 0, 1)])
    part.put(6, Message([(1, 2, b"-1.50"), (2, 2, b"12345678901234567890123456789.01"), (3, 2, b"1.50")]))
    whole = merged([part, part]).message(6)
    assert whole is not None
    assert [Decimal(str(whole.text(number))) for number in (1, 2, 3)] == [
        Decimal("-1.50"),
        Decimal("12345678901234567890123456789.01"),
        Decimal("3.00"),
    ]
