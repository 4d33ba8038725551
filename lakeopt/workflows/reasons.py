"""Why a layout is recommended, or none, in words and figures."""

from __future__ import annotations

from lakeopt.layout.search import MIN_GAIN, SearchResult
from lakeopt.model.plan import Baseline, Candidate
from lakeopt.model.row_order import ARRIVAL
from lakeopt.units import format_size
from lakeopt.workflows.study import Study


def sampled(study: Study) -> str:
    """On how many rows was measured."""
    sample = study.opened.sample
    return f"all {study.rows:,} rows" if sample.whole else f"{study.rows:,} of {sample.record_count:,} rows"


def no_gain(study: Study, found: SearchResult) -> str:
    """Why no order is taken, with the figures of the best."""
    if not study.rows:
        return "The table is empty."
    if not found.ranked:
        return (
            "No column tells rows apart in a way that they can be sorted by."
            if found.complete
            else "The time ran out before any order was measured."
        )
    best = found.ranked[0]
    short = "" if found.complete else " before the time ran out"
    return (
        f"No order pays: of {found.trials} trials on {sampled(study)}{short}, the best, "
        f"by {best.order}, takes {best.ratio:.1%} of arrival order's bytes; "
        f"a rewrite is worth it from {MIN_GAIN:.0%} less."
    )


def skipped(study: Study) -> str:
    """The queries that were not counted, and why."""
    held = study.skipped_queries
    listed = "; ".join(f"{name} ({why})" for name, why in held.items())
    return f" {len(held)} of its queries {'is' if len(held) == 1 else 'are'} left out: {listed}." if held else ""


def measured_as(study: Study) -> str:
    """That sizes are those of Parquet, where the files are not."""
    import pyarrow.compute as pc

    formats = {name.upper() for name in pc.unique(study.opened.files["file_format"]).to_pylist()} - {"PARQUET"}
    if not formats:
        return ""
    held = " and ".join(sorted(formats))
    return f" Sizes were measured in Parquet: what the table's {held} files will take differs, orders compare alike."


def merged(baseline: Baseline) -> str:
    """What merging small files and encoding them anew gains, which a copy of their bytes does not."""
    now, then = format_size(baseline.current_bytes), format_size(baseline.tuned_bytes)
    return (
        f" Its small files, merged and encoded anew, take about {then} instead of the {now} of today; a merge that "
        "copies row groups leaves their bytes as they are."
    )


def left_small() -> str:
    """What can be done for small files of which no bytes are gained."""
    return " Its small files can be merged as they are: bin-pack keeps their bytes."


def encoded_anew(baseline: Baseline) -> str:
    """What other encodings alone would gain, where that is worth a word."""
    if baseline.tuned_bytes >= (1 - MIN_GAIN) * baseline.bin_packed_bytes:
        return ""
    then, share = format_size(baseline.tuned_bytes), baseline.tuned_bytes / baseline.bin_packed_bytes
    return f" Encoded anew in the same order its columns would take about {then}, {share:.1%}."


def gain(study: Study, best: Candidate, found: SearchResult, baseline: Baseline) -> str:
    """Why an order is taken, with its figures."""
    after = round(baseline.bin_packed_bytes * best.bytes_ratio)
    scanned, before = best.scanned_ratio, study.scanned_ratio(ARRIVAL)
    reads = "" if scanned is None or before is None else f" Its queries touch {_share(scanned, before)}."
    short = "" if found.complete else " The time ran out before the search was through."
    inside = f" inside blocks of {best.block_rows:,} rows" if best.block_rows else ""
    alone = baseline.tuned_bytes / max(1, baseline.bin_packed_bytes)
    return (
        f"Sorted by {', '.join(field.name for field in best.columns)}{inside} the table takes {best.bytes_ratio:.1%} "
        f"of its bytes in arrival order, about {format_size(after)} instead of "
        f"{format_size(baseline.bin_packed_bytes)} (today {format_size(baseline.current_bytes)}; the same writer "
        f"without an order makes {alone:.1%} of them), measured on {sampled(study)}.{reads}{short}"
    )


def _share(now: float, before: float) -> str:
    """The pages that queries touch, beside those of before where they differ.

    >>> _share(0.102, 0.5), _share(0.5, 0.5002)
    ('10.2% of the pages instead of 50.0%', '50.0% of the pages, as before')
    """
    after, then = f"{now:.1%}", f"{before:.1%}"
    return f"{after} of the pages, as before" if after == then else f"{after} of the pages instead of {then}"
