"""Compare the storage of two tables column by column, and say in words why one of them takes more for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lakeopt.model.comparison import ColumnComparison, ColumnForm, ComparedTable
from lakeopt.model.stored import ChunkForm
from lakeopt.parquet.footers import Resolve, sample_positions

if TYPE_CHECKING:
    import pyarrow as pa

#: Footers read of each table at most.
FOOTER_LIMIT = 200
#: Sizes closer than this are called equal.
CLOSE = 0.02
#: Shares further apart than this are called a change of encoding.
_CHANGE = 0.3


def column_forms(
    files: pa.Table, schema: pa.Schema, mapping: Sequence[Mapping[str, object]] | None, resolve: Resolve
) -> tuple[dict[str, ColumnForm], int]:
    """How each column of these data files is stored, and how many footers say so: a sample, scaled to all files.

    ``schema`` is the table's, with field ids. ``mapping`` (a name mapping) serves files without ids; columns that it
    does not name are found by their names, whatever the case of their letters.

    :raises DataFileError: a file is missing or damaged.
    :raises Unreachable: the storage does not answer.
    """
    chosen = [files.slice(place, 1).to_pylist()[0] for place in sample_positions(files.num_rows, FOOTER_LIMIT)]
    read = sum(row["file_size_in_bytes"] for row in chosen)
    total = sum(files["file_size_in_bytes"].to_pylist())
    chunks: dict[str, list[ChunkForm]] = defaultdict(list)
    for row in chosen:
        for name, chunk in _chunks(row["file_path"], row["file_format"], schema, mapping, resolve):
            chunks[name].append(chunk)
    scale = total / read if read else 1.0
    return {name: _joined(chunks[name], scale) for name in schema.names if name in chunks}, len(chosen)


def _chunks(
    location: str, form: str, schema: pa.Schema, mapping: Sequence[Mapping[str, object]] | None, resolve: Resolve
) -> Iterator[tuple[str, ChunkForm]]:
    from lakeopt.orc import stored_columns as of_orc
    from lakeopt.parquet import stored_columns as of_parquet
    from lakeopt.parquet.field_ids import field_id, map_names

    by_id = {field_id(field): field.name for field in schema}
    by_name = {name.casefold(): name for name in schema.names}
    if form.upper() == "ORC":
        by_name |= {f"_col{place}": name for place, name in enumerate(schema.names)}  # names that old Hive wrote
        for name, chunk in of_orc.stored_columns(location, resolve):
            yield by_name.get(name.casefold(), name), chunk
        return
    for field, chunk in of_parquet.stored_columns(location, resolve):
        number = field_id(field)
        if number is None and mapping is not None:
            number = field_id(map_names([field], mapping)[0])
        named = None if number is None else by_id.get(number)
        yield named or by_name.get(field.name.casefold(), field.name), chunk


def _joined(chunks: Sequence[ChunkForm], scale: float) -> ColumnForm:
    codecs: dict[str, int] = defaultdict(int)
    encodings: dict[str, float] = defaultdict(float)
    for chunk in chunks:
        codecs[chunk.codec] += chunk.bytes
        for place, word in enumerate(chunk.encodings):
            encodings[word] += chunk.bytes / (1 + place)
    total = sum(chunk.bytes for chunk in chunks) or 1
    encoded = [chunk.encoded_bytes for chunk in chunks]
    known = None if None in encoded else round(scale * sum(size or 0 for size in encoded))
    return ColumnForm(
        bytes=round(scale * sum(chunk.bytes for chunk in chunks)),
        encoded_bytes=known,
        codecs=tuple(sorted(codecs, key=lambda name: -codecs[name])),
        encodings=tuple(sorted(encodings, key=lambda name: -encodings[name])),
        dictionary_share=round(sum(chunk.dictionary_share * chunk.bytes for chunk in chunks) / total, 4),
        overflowed_share=round(sum(chunk.bytes for chunk in chunks if chunk.overflowed) / total, 4),
    )


def codec_bytes(forms: Mapping[str, ColumnForm]) -> dict[str, int]:
    """Bytes of columns by the codec that most of each is in."""
    found: dict[str, int] = defaultdict(int)
    for form in forms.values():
        found[form.codecs[0]] += form.bytes
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def compared(
    before: Mapping[str, ColumnForm], after: Mapping[str, ColumnForm], sides: tuple[ComparedTable, ComparedTable]
) -> tuple[ColumnComparison, ...]:
    """The columns of both sides, matched by name whatever the case: those that grew most first, then those that shrank.

    Sizes are held against each other a row, so that a table that has grown meanwhile can still be compared.
    """
    rows = (sides[0].record_count, sides[1].record_count)
    others = {name.casefold(): name for name in after}
    pairs = [(name, others.pop(name.casefold(), None)) for name in before]
    made = [_column(name, before[name], after[match] if match else None, rows) for name, match in pairs]
    made += [_column(name, None, after[name], rows) for name in others.values()]
    scale = rows[1] / rows[0] if rows[0] and rows[1] else 1.0
    change = {one.name: one.bytes_after - one.bytes_before * scale for one in made}
    return tuple(sorted(made, key=lambda one: (change[one.name] < 0, -abs(change[one.name]), one.name)))


def _column(name: str, before: ColumnForm | None, after: ColumnForm | None, rows: tuple[int, int]) -> ColumnComparison:
    sizes = (before.bytes if before else 0, after.bytes if after else 0)
    ratio = _ratio(sizes, rows) if before and after else None
    return ColumnComparison(name, *sizes, ratio, before, after, _why(before, after, rows))


def _ratio(sizes: tuple[int | None, int | None], rows: tuple[int, int]) -> float | None:
    """Bytes a row, after to before."""
    if not sizes[0] or sizes[1] is None or not all(rows):
        return None
    return (sizes[1] / rows[1]) / (sizes[0] / rows[0])


def _why(before: ColumnForm | None, after: ColumnForm | None, rows: tuple[int, int]) -> str:
    if before is None or after is None:
        where = "the first" if before is None else "the second"
        return f"not in the files of {where} table"
    ratio = _ratio((before.bytes, after.bytes), rows)
    if ratio is None:
        return ""
    changed = _encoding_change(before, after)
    codec = f"{after.codecs[0]} instead of {before.codecs[0]}" if after.codecs[0] != before.codecs[0] else ""
    if abs(ratio - 1) <= CLOSE:
        return "; ".join(filter(None, ("about as large", changed, codec)))
    encoded = _ratio((before.encoded_bytes, after.encoded_bytes), rows)
    if encoded is None:
        parts = [changed, codec] if changed or codec else ["in the same encoding and codec: the order of rows"]
        return "; ".join(filter(None, parts))
    return "; ".join(_parts(ratio, encoded, changed, codec, before, after))


def _parts(
    ratio: float, encoded: float, changed: str, codec: str, before: ColumnForm, after: ColumnForm
) -> Iterator[str]:
    """What the encoding makes of it, then what the codec makes of that."""
    if abs(encoded - 1) > CLOSE or changed:
        cause = changed or "the same encodings over another order of rows, or other row groups"
        yield f"{cause}: ×{encoded:.2f} before compression"
    packed = ratio / encoded
    if abs(packed - 1) > CLOSE or codec:
        yield f"{codec or 'rows in an order that the same codec packs ' + ('better' if packed < 1 else 'worse')}: " + (
            f"packed to {_packed(after)} instead of {_packed(before)}"
        )


def _packed(form: ColumnForm) -> str:
    return f"{100 * form.bytes / form.encoded_bytes:.0f} %" if form.encoded_bytes else "?"


def _encoding_change(before: ColumnForm, after: ColumnForm) -> str:
    """What became of a column's encoding, where most of it changed."""
    if after.overflowed_share - before.overflowed_share > _CHANGE:
        return "its dictionary outgrew the limit, so that values behind that are plain"
    if before.overflowed_share - after.overflowed_share > _CHANGE and after.dictionary_share > 0:
        return "its values fit a dictionary, which they outgrew before"
    if before.encodings[:1] != after.encodings[:1] and before.encodings and after.encodings:
        return f"{after.encodings[0]} instead of {before.encodings[0]}"
    return ""
