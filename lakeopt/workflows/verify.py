"""Prove, before a commit, that the files written hold the rows that the files read held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from lakeopt.errors import DataFileError, ProofFailed
from lakeopt.model.plan import Method, Verify
from lakeopt.model.result import Fingerprint, Verification, added
from lakeopt.model.scan import DATA, Scan, files_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.engines.base import Engine

#: How one file group is proved.
ProofMethod = Literal["bytes", "rows", "counts"]
_UNTOUCHED = "the table is as it was, and the files written are removed; please report this"


def proof_method(asked: Verify, staged_by: Method) -> ProofMethod:
    """How a group is proved that was staged so.

    >>> proof_method("auto", "copy"), proof_method("auto", "decode"), proof_method("rows", "copy")
    ('bytes', 'rows', 'rows')
    """
    if asked == "auto":
        return "bytes" if staged_by == "copy" else "rows"
    return asked


def staged_scan(scan: Scan, staged: pa.Table) -> Scan:
    """How to read staged files back: what the schema says, and nothing that could fill in for a missing column."""
    import pyarrow as pa

    rows = staged.num_rows
    known = {
        "content": pa.repeat(DATA, rows),
        "file_path": staged["file_path"],
        "file_format": pa.repeat("PARQUET" if scan.form is None else scan.form.file_format, rows),
        "spec_id": pa.repeat(0, rows),
        "partition": pa.repeat("{}", rows),
        "record_count": staged["record_count"],
        "file_size_in_bytes": staged["file_size_in_bytes"],
    }
    columns = {field.name: known.get(field.name, pa.nulls(rows, field.type)) for field in files_schema()}
    files = pa.table(columns).cast(files_schema())
    # Without field ids names tell columns, and a staged file has the names of the files that it replaces.
    names = scan.name_mapping if scan.form is not None else None
    return Scan(scan.schema, files, scan.resolve, name_mapping=names, of_hive=scan.of_hive, form=scan.form)


def prove(
    engine: Engine, before: Scan, staged: Scan, method: ProofMethod, *, threads: int, memory_bytes: int
) -> Verification:
    """Compare the rows read with the rows written, by fingerprints, by counts alone, or the bytes of copies.

    ``rows`` reads both sides with a reader of its own and also holds the counts of the table's manifests against
    what it finds. ``counts`` reads footers only (and data, where deletes apply). ``bytes`` holds the ranges that were
    copied against each other by checksums, footers and page headers decoded: equal bytes decode to equal rows.

    :raises ProofFailed: they differ; the message names the columns.
    :raises DataFileError: a file cannot be read, or does not hold what the table's metadata says.
    """
    if method == "bytes":
        from lakeopt.parquet.copied_bytes import require_copied

        return Verification(method, True, None, None, require_copied(before, staged, threads=threads))
    if method == "counts":
        read, written = _count(before), _count(staged)
        if read != written:
            raise ProofFailed(f"{read} rows were read, {written} were written", hint=_UNTOUCHED)
        return Verification(method, True, None, None, written)
    old = engine.fingerprint(before, threads=threads, memory_bytes=memory_bytes)
    new = engine.fingerprint(staged, threads=threads, memory_bytes=memory_bytes)
    if old != new:
        raise ProofFailed(_difference(engine, before, staged, old, new, threads, memory_bytes), hint=_UNTOUCHED)
    return Verification(method, True, new.digest, new.version, new.record_count)


def _count(scan: Scan) -> int:
    """Rows of a scan by its footers, which must agree with the table's metadata; by reading, where deletes apply."""
    from lakeopt.orc.footers import read_footer as read_orc_footer
    from lakeopt.parquet.footers import read_footers
    from lakeopt.parquet.scan import read_batches

    if any(scan.files["delete_files"].to_pylist()):
        return sum(batch.num_rows for batch in read_batches(scan, columns=scan.schema.names[:1]))
    total = 0
    expected = scan.files["record_count"].to_pylist()
    locations = scan.files["file_path"].to_pylist()
    if scan.form is not None and scan.form.file_format == "ORC":
        found = [(location, read_orc_footer(location, scan.resolve).record_count) for location in locations]
    else:
        found = [(location, footer.num_rows) for location, footer in read_footers(locations, scan.resolve)]
    for (location, rows), count in zip(found, expected, strict=True):
        if rows != count:
            raise DataFileError(
                f"data file {location} has {rows} rows, the table says {count}",
                hint="the file was replaced, or the metadata is damaged",
            )
        total += count
    return total


def _difference(
    engine: Engine, before: Scan, staged: Scan, old: Fingerprint, new: Fingerprint, threads: int, memory_bytes: int
) -> str:
    """What differs, in words: a second pass over both sides, one fingerprint a column."""
    rows = f"{old.record_count} rows were read, {new.record_count} were written"
    if old.version != new.version:
        return f"the fingerprints are of different versions: {old.version} and {new.version}"
    if old.record_count != new.record_count:
        return rows
    left = engine.fingerprint(before, threads=threads, memory_bytes=memory_bytes, by_column=True).columns or {}
    right = engine.fingerprint(staged, threads=threads, memory_bytes=memory_bytes, by_column=True).columns or {}
    names = [name for name in left if left[name] != right.get(name)]
    if not names:
        return f"{rows}, but values have moved from row to row"
    return f"{rows}, but they differ in {', '.join(repr(name) for name in names)}"


def joined(proofs: Sequence[Verification]) -> Verification | None:
    """One verification for all groups: each was proved apart; fingerprints add up, lane by lane, modulo 2^64.

    Where some were proved by bytes there is no fingerprint of all rows; the method names both.
    """
    if not proofs:
        return None
    digests = [proof.fingerprint for proof in proofs if proof.fingerprint is not None]
    return Verification(
        method=" and ".join(sorted({proof.method for proof in proofs})),
        matched=all(proof.matched for proof in proofs),
        fingerprint=added(digests) if len(digests) == len(proofs) else None,
        version=proofs[0].version if len(digests) == len(proofs) else None,
        record_count=sum(proof.record_count for proof in proofs),
    )
