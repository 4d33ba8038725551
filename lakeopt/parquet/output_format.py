"""The formats that :class:`lakeopt.parquet.writer.RollingWriter` can write: rows encoded apart, then put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any, Protocol

import pyarrow as pa

from lakeopt.model.scan import FileForm, WriterOptions
from lakeopt.orc.form import OrcForm
from lakeopt.parquet.dictionaries import DictionaryChoice
from lakeopt.parquet.encode import SortKey, encode
from lakeopt.parquet.form import ParquetForm, written
from lakeopt.parquet.stitch import EncodedRowGroup, StitchedFile


class Part(Protocol):
    """Encoded rows, in memory."""

    @property
    def bytes(self) -> int:
        """What they add to a file."""


class PartedFile(Protocol):
    """A file under way."""

    row_count: int

    def append(self, part: Any) -> None:
        """Copy the bytes of one part."""

    def finish(self, footer_metadata: Mapping[str, str]) -> int:
        """Write what belongs behind the last; the size of the file in bytes."""


class OutputFormat(Protocol):
    """How rows of a table's schema become parts of files."""

    def encode(self, rows: pa.Table, sort: SortKey) -> Part:
        """Encode rows; ``sort`` is the order that a footer may say of them. Threads call it at once."""

    def begin(self, sink: IO[bytes]) -> PartedFile:
        """A new file."""


def output_format(schema: pa.Schema, options: WriterOptions, form: FileForm | None) -> OutputFormat:
    """The format of a form; Parquet where there is none."""
    if form is None or isinstance(form, ParquetForm):
        return ParquetOutput(schema, options, form)
    if isinstance(form, OrcForm):
        return OrcOutput(form)
    raise TypeError(form.file_format)


class ParquetOutput:
    """Row groups, spelt as a form says or by field ids."""

    def __init__(self, schema: pa.Schema, options: WriterOptions, form: ParquetForm | None) -> None:
        self._options, self._form = options, form
        self._dictionaries = DictionaryChoice(schema)

    def encode(self, rows: pa.Table, sort: SortKey) -> EncodedRowGroup:
        """One row group."""
        held = rows if self._form is None else self._form.rows(rows)
        plain = self._dictionaries.without(rows)
        part = encode(
            held,
            self._options,
            sort=[key for key in sort if key[0] in held.schema.names],
            plain=plain & set(held.schema.names),
            decimals_as_integers=self._form is None or self._form.decimals_as_integers,
        )
        self._dictionaries.learn(rows, part)
        if self._form is not None:
            self._form.spell(part)
        return part

    def begin(self, sink: IO[bytes]) -> StitchedFile:
        """A new Parquet file."""
        return StitchedFile(sink, () if self._form is None else self._form.key_values)


class OrcOutput:
    """Stripes."""

    def __init__(self, form: OrcForm) -> None:
        self._form = form

    def encode(self, rows: pa.Table, sort: SortKey) -> Part:
        """One stripe; ORC has no place for an order."""
        from lakeopt.orc.writer import encode

        columns: Sequence[pa.ChunkedArray] = [
            pa.chunked_array([_whole(chunk, own.type) for chunk in rows.column(own.name).chunks], type=own.type)
            for own in self._form.schema
        ]
        return encode(pa.Table.from_arrays(columns, schema=self._form.schema), self._form)

    def begin(self, sink: IO[bytes]) -> PartedFile:
        """A new ORC file."""
        from lakeopt.orc.writer import OrcFile

        return OrcFile(sink, self._form)


def _whole(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """An array as pyarrow's ORC writer takes it: it knows no dictionaries, and takes a slice of structs for others."""
    array = written(array, kind)
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    return pa.concat_arrays([array, array.slice(0, 0)]) if pa.types.is_nested(kind) else array
