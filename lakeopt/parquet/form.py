"""How Parquet files of Hive and Spark spell their rows, and new files spelt exactly alike.

Readers go by a footer's schema (INT96 or not, decimals as integers or bytes, lists in two levels or three, names and
their case), by its key-values (Spark's calendars, Hive's zones) and by ``created_by`` (Hive and Spark convert an INT96
by who wrote it). So a new file is encoded by pyarrow, and then its footer says what the footers of the files say that
it replaces; only a schema that describes the same bytes is ever put there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.errors import Refused
from lakeopt.model.scan import WriterOptions
from lakeopt.parquet import int96
from lakeopt.parquet.conform import conform_array
from lakeopt.parquet.encode import possible_encodings
from lakeopt.parquet.raw_footer import RawFooter
from lakeopt.parquet.schema_elements import CREATED_BY, FIXED, INT96, SCHEMA, Leaf, arrow_schema, leaves
from lakeopt.parquet.stitch import (
    CHUNK_META,
    COLUMN_INDEX_AT,
    COLUMN_INDEX_SIZE,
    COLUMNS,
    ROW_GROUPS,
    EncodedRowGroup,
)
from lakeopt.parquet.thrift import BINARY, I32, LIST, STRUCT, Items, Struct

# ColumnMetaData
_TYPE, _PATH, _STATISTICS = 1, 3, 12


@dataclass(frozen=True, slots=True)
class ParquetForm:
    """What the footers of new files say beyond their rows: all but ``schema`` and ``codec`` as it lies in a footer.

    ``schema`` has one field a column of the files, by its name in the scan, of the type that pyarrow is to write.
    """

    schema: pa.Schema
    elements: tuple[Struct, ...]
    codec: str
    decimals_as_integers: bool = True
    created_by: bytes | None = None
    key_values: tuple[Struct, ...] = ()
    stored: tuple[Leaf, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stored", tuple(leaves(self.elements)))

    @property
    def file_format(self) -> str:
        """Always ``PARQUET``."""
        return "PARQUET"

    def fitted(self, options: WriterOptions) -> WriterOptions:
        """The options with the codec of the files; a level of another codec means nothing, nor does an encoding that
        the bytes of these files cannot have.
        """
        same = options.codec == self.codec
        kept = {name: encoding for name, encoding in options.encodings.items() if encoding in self._possible(name)}
        return dataclasses.replace(options, codec=self.codec, level=options.level if same else None, encodings=kept)

    def _possible(self, name: str) -> Sequence[str]:
        if name not in self.schema.names:
            return ()
        kind = self.schema.field(name).type
        if pa.types.is_decimal(kind) and not self.decimals_as_integers:
            kind = pa.binary(16)
        return possible_encodings(kind)

    def rows(self, rows: pa.Table) -> pa.Table:
        """Rows of the scan as they are handed to pyarrow: columns that files hold, in their types."""
        columns = []
        for wanted in self.schema:
            chunks = [written(chunk, wanted.type) for chunk in rows.column(wanted.name).chunks]
            columns.append(pa.chunked_array(chunks, chunks[0].type if chunks else wanted.type))
        fields = [own.with_type(column.type) for own, column in zip(self.schema, columns, strict=True)]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    def spell(self, part: EncodedRowGroup) -> None:
        """Let the footer of an encoded row group say what those of the files say.

        :raises Refused: it describes other bytes.
        """
        chunks = part.footer[ROW_GROUPS][1].values[0][COLUMNS][1].values
        if reason := misfit(leaves(part.footer[SCHEMA][1].values), self.stored):
            raise Refused(reason, hint="leave these files as they are")
        for chunk, leaf in zip(chunks, self.stored, strict=True):
            meta = chunk[CHUNK_META][1]
            meta[_PATH] = (LIST, Items(BINARY, list(leaf.path)))
            if leaf.kind == INT96:
                meta[_TYPE] = (I32, INT96)
                # Bounds of an INT96 have no order that readers agree on.
                meta.pop(_STATISTICS, None)
                chunk.pop(COLUMN_INDEX_AT, None)
                chunk.pop(COLUMN_INDEX_SIZE, None)
        part.footer[SCHEMA] = (LIST, Items(STRUCT, list(self.elements)))
        if self.created_by is not None:
            part.footer[CREATED_BY] = (BINARY, self.created_by)


def written_schema(elements: Sequence[Struct], names: Sequence[str]) -> pa.Schema:
    """Types that pyarrow is to write so that bytes are those of this schema; columns get these names."""
    held = iter(leaves(elements))
    return pa.schema(
        [
            pa.field(name, _written_type(own.type, held), own.nullable)
            for name, own in zip(names, arrow_schema(elements), strict=True)
        ]
    )


def _written_type(kind: pa.DataType, held: object) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([_written_field(kind.field(i), held) for i in range(kind.num_fields)])
    if pa.types.is_map(kind):
        key = _written_field(kind.key_field, held)
        return pa.map_(key, _written_field(kind.item_field, held))
    if pa.types.is_list(kind):
        return pa.list_(_written_field(kind.value_field, held))
    leaf: Leaf = next(held)  # type: ignore[call-overload]
    return pa.binary(int96.WIDTH) if leaf.kind == INT96 else kind


def _written_field(own: pa.Field, held: object) -> pa.Field:
    return pa.field(own.name, _written_type(own.type, held), own.nullable)


def unwritable(form: ParquetForm) -> str | None:
    """Why pyarrow cannot write these very bytes, or None."""
    sink = pa.BufferOutputStream()
    try:
        with pq.ParquetWriter(
            sink, form.schema, store_schema=False, store_decimal_as_integer=form.decimals_as_integers
        ) as writer:
            writer.write_table(form.schema.empty_table())
    except pa.ArrowException as error:
        return f"a type of these files cannot be written: {error}"
    footer = RawFooter.read(pa.BufferReader(sink.getvalue())).fields()
    return misfit(leaves(footer[SCHEMA][1].values), form.stored)


def misfit(made: Sequence[Leaf], wanted: Sequence[Leaf]) -> str | None:
    """Why columns that were encoded so cannot be described by the schema of the files, or None."""
    for own, leaf in zip(made, wanted, strict=False):
        name = b".".join(leaf.path).decode(errors="replace")
        kind = (FIXED, int96.WIDTH) if leaf.kind == INT96 else (leaf.kind, leaf.length if leaf.kind == FIXED else 0)
        if (own.kind, own.length if own.kind == FIXED else 0) != kind:
            return f"column {name} is stored in a physical form that is not written here"
        if (own.definition, own.repetition) != (leaf.definition, leaf.repetition):
            return f"column {name} is nested in a form that is not written here"
    return None if len(made) == len(wanted) else "files hold another number of columns than would be written"


def written(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values of a scan in the type that they are written in; strings may stay dictionary-coded.

    >>> written(pa.array([1, None]), pa.int8()).type, written(pa.array([0], pa.timestamp("us")), pa.binary(12)).type
    (DataType(int8), FixedSizeBinaryType(fixed_size_binary[12]))
    """
    if pa.types.is_dictionary(array.type):
        if array.type.value_type == kind:
            return array
        array = array.dictionary_decode()
    if pa.types.is_struct(kind):
        own = [kind.field(place) for place in range(kind.num_fields)]
        parts = [written(array.field(place), part.type) for place, part in enumerate(own)]
        return pa.StructArray.from_arrays(parts, fields=own, mask=array.is_null() if array.null_count else None)
    if pa.types.is_map(kind):
        pair = [written(array.keys, kind.key_type), written(array.items, kind.item_type)]
        return _around(array, kind, pa.StructArray.from_arrays(pair, fields=[kind.key_field, kind.item_field]))
    if pa.types.is_list(kind):
        return _around(array, kind, written(array.values, kind.value_type))
    if pa.types.is_timestamp(array.type):
        if pa.types.is_fixed_size_binary(kind):
            return int96.encoded(array)
        if pa.types.is_timestamp(kind):
            plain = array.cast(pa.timestamp(kind.unit, array.type.tz))
            return plain if plain.type == kind else plain.view(kind)
    return conform_array(array, kind)


def _around(array: pa.Array, kind: pa.DataType, values: pa.Array) -> pa.Array:
    """Other members under the same offsets and null slots."""
    return pa.Array.from_buffers(kind, len(array), array.buffers()[:2], array.null_count, array.offset, [values])
