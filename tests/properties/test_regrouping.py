"""Which manifests are regrouped: every entry once, sizes as wanted, and what came of it is left alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.maintenance.rewrite_manifests import LARGE, PLAY, Decision, cuts, decide, shares
from lakeopt.model.manifests import ManifestFacts

TARGET = 1000


@st.composite
def facts(draw: st.DrawFn) -> list[ManifestFacts]:
    """Manifests of two specs whose entries are of some partitions; an entry is at most a thirtieth of the target."""
    found = []
    for number in range(draw(st.integers(0, 9))):
        low = draw(st.integers(0, 9))
        ranks = draw(st.lists(st.integers(low, low + draw(st.sampled_from([0, 1, 9]))), min_size=1, max_size=120))
        weight = draw(st.integers(1, TARGET // 30))
        spec = draw(st.sampled_from([0, 0, 0, 1]))
        found.append(ManifestFacts(f"m{number}", "data", spec, "", weight * len(ranks), np.array(ranks)))
    return found


def applied(manifests: list[ManifestFacts], decision: Decision) -> list[ManifestFacts]:
    """The manifests after the groups were written anew."""
    by_path = {one.path: one for one in manifests}
    moved = {path for group in decision.groups for path in group.manifests}
    after = [one for one in manifests if one.path not in moved]
    for number, group in enumerate(decision.groups):
        sources = [by_path[path] for path in group.manifests]
        ranks = np.concatenate([one.ranks for one in sources])
        sizes = np.concatenate([np.full(len(one.ranks), one.bytes / len(one.ranks)) for one in sources])
        parts = shares(sources, TARGET)
        assert sorted(np.concatenate(parts)) == list(range(len(ranks)))
        assert len(parts) == group.into
        for place, part in enumerate(parts):
            size = round(sizes[part].sum())
            after.append(ManifestFacts(f"n{number}-{place}", "data", group.spec_id, "", size, ranks[part]))
    return after


@settings(deadline=None, max_examples=300)
@given(manifests=facts())
def test_what_is_decided_is_whole_and_settles(manifests: list[ManifestFacts]) -> None:
    decision = decide(manifests, TARGET)
    moved = [path for group in decision.groups for path in group.manifests]
    assert len(set(moved)) == len(moved)
    assert len(moved) + sum(decision.left_alone.values()) == len(manifests)

    after = applied(manifests, decision)
    assert sorted(np.concatenate([m.ranks for m in after] or [[]])) == sorted(
        np.concatenate([m.ranks for m in manifests] or [[]])
    )
    for one in after:
        if one.path.startswith("n"):
            assert one.bytes <= LARGE * TARGET
    assert decide(after, TARGET).groups == ()


@settings(deadline=None, max_examples=300)
@given(ranks=st.lists(st.integers(0, 6), min_size=1, max_size=300), weight=st.floats(0.5, 30))
def test_cuts_are_even_and_prefer_edges(ranks: list[int], weight: float) -> None:
    ordered = np.sort(np.array(ranks))
    sizes = np.full(len(ordered), weight)
    ends = cuts(ordered, sizes, TARGET)
    assert ends[-1] == len(ordered)
    assert ends == sorted(set(ends))
    share = sizes.sum() / len(ends)
    for begin, end in zip([0, *ends], ends, strict=False):
        assert abs(sizes[begin:end].sum() - share) <= 2 * PLAY * share + 2 * weight
