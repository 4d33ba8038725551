"""Retention over random histories: no ref loses its head, whatever is asked for; and the rules, told a second time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.errors import ConfigurationError, UsageError
from lakeopt.maintenance.expire_snapshots import Decision, Limits, decide, limits
from lakeopt.model.expiry import RefFacts, SnapshotFacts

NOW = 1_000_000
AGES = st.one_of(st.none(), st.integers(0, 120))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[SnapshotFacts], list[RefFacts]]:
    """Snapshots on several lines, some of whose parents are gone, and refs to some of them."""
    count = draw(st.integers(1, 14))
    snapshots = []
    for number in range(1, count + 1):
        parent = draw(st.sampled_from([None, *range(-1, number)]))
        age = draw(st.integers(0, 120))
        keys = draw(st.sets(st.sampled_from(["flink.job-id", "kafka.connect.offsets.t.g", "other"])))
        summary = {key: draw(st.sampled_from("ab")) for key in sorted(keys)}
        snapshots.append(SnapshotFacts(number, parent or None, NOW - age, number, summary))
    ids = st.integers(1, count)
    refs = [RefFacts("main", "branch", draw(ids), draw(st.one_of(st.none(), st.integers(1, 4))), draw(AGES))]
    for number in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            least = draw(st.one_of(st.none(), st.integers(1, 4)))
            refs.append(RefFacts(f"b{number}", "branch", draw(ids), least, draw(AGES), draw(AGES)))
        else:
            refs.append(RefFacts(f"t{number}", "tag", draw(ids), None, None, draw(AGES)))
    return snapshots, refs


LIMITS = st.builds(
    Limits,
    now_ms=st.just(NOW),
    older_than_ms=st.integers(NOW - 130, NOW + 10),
    retain_last=st.integers(1, 5),
    max_ref_age_ms=st.sampled_from([50, 10**9]),
)


def line(snapshots: list[SnapshotFacts], head: int) -> list[SnapshotFacts]:
    known, found = {one.snapshot_id: one for one in snapshots}, []
    at: int | None = head
    while at in known:
        found.append(known[at])
        at = known[at].parent_id
    return found


def kept_by_rules(snapshots: list[SnapshotFacts], refs: list[RefFacts], limit: Limits) -> tuple[set[int], set[str]]:
    """Iceberg's rules as its documentation tells them: what refs and age keep, and the refs that go."""
    known = {one.snapshot_id: one for one in snapshots}
    gone = {
        ref.name
        for ref in refs
        if ref.name != "main"
        and NOW - known[ref.snapshot_id].timestamp_ms
        > (limit.max_ref_age_ms if ref.max_ref_age_ms is None else ref.max_ref_age_ms)
    }
    kept: set[int] = set()
    led_to: set[int] = set()
    for ref in refs:
        if ref.name in gone:
            continue
        if ref.type == "tag":
            kept.add(ref.snapshot_id)
            led_to.add(ref.snapshot_id)
            continue
        oldest = limit.older_than_ms if ref.max_snapshot_age_ms is None else NOW - ref.max_snapshot_age_ms
        least = ref.min_snapshots_to_keep or limit.retain_last
        own = line(snapshots, ref.snapshot_id)
        led_to |= {one.snapshot_id for one in own}
        for place, one in enumerate(own):
            if place >= least and one.timestamp_ms < oldest:
                break
            kept.add(one.snapshot_id)
    kept |= {i for i, one in known.items() if i not in led_to and one.timestamp_ms >= limit.older_than_ms}
    return kept, gone


@given(histories(), LIMITS)
def test_no_ref_loses_its_head(history: tuple[list[SnapshotFacts], list[RefFacts]], limit: Limits) -> None:
    snapshots, refs = history
    decision = decide(snapshots, refs, limit)
    assert decision.expired.keys() | decision.retained.keys() == {one.snapshot_id for one in snapshots}
    assert decision.expired.keys().isdisjoint(decision.retained)
    assert "main" not in decision.removed_refs
    for ref in refs:
        if ref.name not in decision.removed_refs:
            assert ref.snapshot_id in decision.retained
    assert all(decision.expired.values())
    assert all(decision.retained.values())


@given(histories(), LIMITS)
def test_the_rules_are_icebergs(history: tuple[list[SnapshotFacts], list[RefFacts]], limit: Limits) -> None:
    snapshots, refs = history
    plain = [replace(one, summary=None) for one in snapshots]
    decision = decide(plain, refs, limit)
    kept, gone = kept_by_rules(plain, refs, limit)
    assert set(decision.retained) == kept
    assert set(decision.removed_refs) == gone
    assert decide(snapshots, refs, limit).retained.keys() >= kept


@given(histories(), LIMITS, st.sets(st.integers(1, 14)))
def test_what_is_in_use_and_what_sinks_need_stays(
    history: tuple[list[SnapshotFacts], list[RefFacts]], limit: Limits, pinned: set[int]
) -> None:
    snapshots, refs = history
    decision = decide(snapshots, refs, limit, dict.fromkeys(pinned, "in use"))
    assert decision.expired.keys().isdisjoint(pinned)
    for sink in ("flink.job-id a", "flink.job-id b", "kafka.connect.offsets.t.g"):
        own = [one.snapshot_id for one in snapshots if sink in told(one)]
        assert not own or max(own) in decision.retained
        for ref in refs:
            if ref.type == "branch" and ref.name not in decision.removed_refs:
                found = next((one for one in line(snapshots, ref.snapshot_id) if sink in told(one)), None)
                assert found is None or found.snapshot_id in decision.retained


def told(snapshot: SnapshotFacts) -> set[str]:
    summary = dict(snapshot.summary or {})
    return {f"flink.job-id {summary.get('flink.job-id')}", *summary}


@given(histories(), LIMITS)
def test_keeping_more_never_expires_more(history: tuple[list[SnapshotFacts], list[RefFacts]], limit: Limits) -> None:
    snapshots, refs = history
    more = replace(limit, retain_last=limit.retain_last + 1, older_than_ms=limit.older_than_ms - 20)
    assert set(decide(snapshots, refs, more).expired) <= set(decide(snapshots, refs, limit).expired)


def test_a_line_that_leads_to_itself_ends() -> None:
    facts = [SnapshotFacts(1, 2, 0), SnapshotFacts(2, 1, 0)]
    decision: Decision = decide(facts, [RefFacts("main", "branch", 1)], Limits(NOW, NOW, 1, NOW))
    assert decision.retained == {1: "head of branch main"}
    assert set(decision.expired) == {2}


def test_limits_come_from_what_is_asked_then_from_properties_then_from_iceberg() -> None:
    assert limits({}, NOW) == Limits(NOW, NOW - 432_000_000, 1, 2**63 - 1)
    properties = {
        "history.expire.max-snapshot-age-ms": "10",
        "history.expire.min-snapshots-to-keep": "7",
        "history.expire.max-ref-age-ms": "99",
    }
    assert limits(properties, NOW) == Limits(NOW, NOW - 10, 7, 99)
    assert limits(properties, NOW, older_than_ms=5, retain_last=2) == Limits(NOW, 5, 2, 99)


@pytest.mark.parametrize("value", ["0", "-1", "five", ""])
def test_a_property_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="min-snapshots-to-keep"):
        limits({"history.expire.min-snapshots-to-keep": value}, NOW)
    with pytest.raises(UsageError, match="at least one"):
        limits({}, NOW, retain_last=0)
