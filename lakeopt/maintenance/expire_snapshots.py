"""Which snapshots expire: Iceberg's own retention rules, and what lakeopt keeps beyond them.

Iceberg's rules, per ref: a branch keeps its head, its newest ancestors up to ``min-snapshots-to-keep`` and those
younger than ``max-snapshot-age-ms``; a tag keeps its snapshot; a ref (never ``main``) past its ``max-ref-age-ms`` goes.
A snapshot that no ref leads to is kept while it is young. The ref's own values come first, then what was asked for,
then the table's ``history.expire.*`` properties, then Iceberg's defaults.

Beyond them, a snapshot stays that a running plan is based on, and the newest one in which a streaming sink keeps its
offsets: a sink that does not find them again writes rows twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lakeopt.errors import ConfigurationError, UsageError
from lakeopt.model.expiry import RefFacts, SnapshotFacts

MAIN = "main"
MAX_SNAPSHOT_AGE = "history.expire.max-snapshot-age-ms"
MIN_SNAPSHOTS = "history.expire.min-snapshots-to-keep"
MAX_REF_AGE = "history.expire.max-ref-age-ms"
#: Iceberg's defaults: five days, one snapshot, refs for ever.
DEFAULTS = {MAX_SNAPSHOT_AGE: 5 * 24 * 3600 * 1000, MIN_SNAPSHOTS: 1, MAX_REF_AGE: 2**63 - 1}

#: Summary properties by which sinks find what they have committed: Flink's writers, and Kafka Connect's per topic
#: and consumer group.
FLINK_JOB, FLINK_OPERATOR = "flink.job-id", "flink.operator-id"
KAFKA_OFFSETS = "kafka.connect.offsets."

#: Reasons that are told of one snapshot; more are counted.
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds where a ref has no values of its own: a moment (ms since the epoch), a number, an age (ms)."""

    now_ms: int
    older_than_ms: int
    retain_last: int
    max_ref_age_ms: int


@dataclass
class Decision:
    """Every snapshot is in one of ``expired`` and ``retained``, with its reason; ``removed_refs`` likewise by name."""

    expired: dict[int, str] = field(default_factory=dict)
    retained: dict[int, str] = field(default_factory=dict)
    removed_refs: dict[str, str] = field(default_factory=dict)


def limits(
    properties: Mapping[str, str], now_ms: int, *, older_than_ms: int | None = None, retain_last: int | None = None
) -> Limits:
    """The limits of a table: what is asked for, else its properties, else Iceberg's defaults.

    :raises UsageError: less than one snapshot is to be kept, or what is to come is to be expired.
    :raises ConfigurationError: a property is no whole number, or below its least value.
    """
    if retain_last is not None and retain_last < 1:
        raise UsageError("a branch keeps at least one snapshot", hint="give --retain-last 1 or more")
    if older_than_ms is not None and older_than_ms > now_ms:
        raise UsageError(
            "the time before which snapshots expire lies in the future",
            hint="give a time that has passed; 0s takes all that nothing else keeps",
        )
    kept = _property(properties, MIN_SNAPSHOTS, 1) if retain_last is None else retain_last
    oldest = now_ms - _property(properties, MAX_SNAPSHOT_AGE, 0) if older_than_ms is None else older_than_ms
    return Limits(now_ms, oldest, kept, _property(properties, MAX_REF_AGE, 0))


def _property(properties: Mapping[str, str], name: str, least: int) -> int:
    text = properties.get(name, str(DEFAULTS[name]))
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ConfigurationError(
            f"the table property {name} is {text!r}", hint=f"set it to a whole number of at least {least}"
        )
    return value


def decide(
    snapshots: Sequence[SnapshotFacts],
    refs: Sequence[RefFacts],
    limit: Limits,
    pinned: Mapping[int, str] | None = None,
) -> Decision:
    """Which snapshots and refs go, and why each snapshot does or does not.

    ``pinned`` maps snapshots that are in use to the reason for which they stay.
    """
    history = _History({snapshot.snapshot_id: snapshot for snapshot in snapshots})
    decision = Decision(removed_refs=dict(_past_age(history, refs, limit)))
    kept = [ref for ref in refs if ref.name not in decision.removed_refs]
    reasons: dict[int, list[str]] = {}
    referenced: dict[int, str] = {}
    for snapshot_id, reason in _by_refs(history, kept, limit, referenced):
        reasons.setdefault(snapshot_id, []).append(reason)
    for snapshot in snapshots:
        if snapshot.snapshot_id not in referenced and snapshot.timestamp_ms >= limit.older_than_ms:
            reasons.setdefault(snapshot.snapshot_id, []).append("in no ref, but younger than the limit")
    for snapshot_id, reason in [*_offsets(history, kept), *(pinned or {}).items()]:
        if snapshot_id in history.known:
            reasons.setdefault(snapshot_id, []).append(reason)
    for snapshot in snapshots:
        snapshot_id = snapshot.snapshot_id
        if snapshot_id in reasons:
            decision.retained[snapshot_id] = _joined(reasons[snapshot_id])
        else:
            decision.expired[snapshot_id] = referenced.get(snapshot_id, "in no ref, and older than the limit")
    return decision


@dataclass(frozen=True)
class _History:
    known: Mapping[int, SnapshotFacts]

    def ancestors(self, snapshot_id: int | None) -> Iterator[SnapshotFacts]:
        """A snapshot and its ancestors, newest first, as far as they are known."""
        seen: set[int] = set()
        while snapshot_id is not None and snapshot_id not in seen and (found := self.known.get(snapshot_id)):
            seen.add(snapshot_id)
            yield found
            snapshot_id = found.parent_id


def _past_age(history: _History, refs: Iterable[RefFacts], limit: Limits) -> Iterator[tuple[str, str]]:
    for ref in refs:
        head = history.known.get(ref.snapshot_id)
        if ref.name == MAIN or head is None:
            continue
        longest = limit.max_ref_age_ms if ref.max_ref_age_ms is None else ref.max_ref_age_ms
        if limit.now_ms - head.timestamp_ms > longest:
            yield ref.name, "its snapshot is older than the ref may become (max-ref-age-ms)"


def _by_refs(
    history: _History, refs: Iterable[RefFacts], limit: Limits, referenced: dict[int, str]
) -> Iterator[tuple[int, str]]:
    """Snapshots that refs keep, with the reason; ``referenced`` gets all that a ref leads to, kept or not."""
    for ref in refs:
        if ref.type == "tag":
            referenced.setdefault(ref.snapshot_id, f"tag {ref.name}")
            yield ref.snapshot_id, f"tag {ref.name}"
            continue
        least = limit.retain_last if ref.min_snapshots_to_keep is None else ref.min_snapshots_to_keep
        age = ref.max_snapshot_age_ms
        oldest = limit.older_than_ms if age is None else limit.now_ms - age
        keeping = True
        for place, snapshot in enumerate(history.ancestors(ref.snapshot_id)):
            young = snapshot.timestamp_ms >= oldest
            keeping = keeping and (place < max(least, 1) or young)
            text = f"older than the limit of branch {ref.name}, and not among its newest {max(least, 1)}"
            referenced.setdefault(snapshot.snapshot_id, text)
            if place == 0:
                yield snapshot.snapshot_id, f"head of branch {ref.name}"
            elif keeping and young:
                yield snapshot.snapshot_id, f"younger than the limit of branch {ref.name}"
            elif keeping:
                yield snapshot.snapshot_id, f"among the newest {least} of branch {ref.name}"


def _offsets(history: _History, refs: Iterable[RefFacts]) -> Iterator[tuple[int, str]]:
    """The newest snapshot of each sink: in each branch, where sinks walk, and of all."""
    newest = sorted(history.known.values(), key=lambda one: (one.sequence_number, one.timestamp_ms), reverse=True)
    walks: list[Iterable[SnapshotFacts]] = [history.ancestors(ref.snapshot_id) for ref in refs if ref.type == "branch"]
    told: set[tuple[int, str]] = set()
    for walk in [*walks, newest]:
        met: set[str] = set()
        for snapshot in walk:
            for sink in _sinks(snapshot.summary or {}):
                if sink not in met and (snapshot.snapshot_id, sink) not in told:
                    told.add((snapshot.snapshot_id, sink))
                    yield snapshot.snapshot_id, f"newest of {sink}, where that sink looks for what it has committed"
                met.add(sink)


def _sinks(summary: Mapping[str, str]) -> Iterator[str]:
    if FLINK_JOB in summary:
        operator = f" {FLINK_OPERATOR} {summary[FLINK_OPERATOR]}" if FLINK_OPERATOR in summary else ""
        yield f"{FLINK_JOB} {summary[FLINK_JOB]}{operator}"
    yield from (name for name in summary if name.startswith(KAFKA_OFFSETS))


def _joined(reasons: Sequence[str]) -> str:
    told = "; ".join(reasons[:_TOLD])
    return told if len(reasons) <= _TOLD else f"{told}; and {len(reasons) - _TOLD} more reasons"
