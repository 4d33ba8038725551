"""Regroup the manifests of a table by partition: decide, write, prove equal, commit. No data file is touched."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakeopt.config import Settings, load_settings
from lakeopt.errors import CommitOutcomeUnknown, Interrupted, LakeoptError, Refused, Unreachable
from lakeopt.maintenance.rewrite_manifests import decide, shares
from lakeopt.model.manifests import ManifestsPlan, ManifestsResult
from lakeopt.model.serde import to_data
from lakeopt.tables.base import Table
from lakeopt.tables.refusals import read_only_hint
from lakeopt.tables.shield import shielded
from lakeopt.workflows import journal
from lakeopt.workflows.plan import check_branch

if TYPE_CHECKING:
    from lakeopt.tables.iceberg.commits.manifest_rewrite import Regrouped

#: Table property with the size that manifests should have (bytes), and Iceberg's default of it.
TARGET_PROPERTY, DEFAULT_TARGET = "commit.manifest.target-size-bytes", 8 * 1024 * 1024


def plan_manifests(
    table: str | Table, *, branch: str = "main", target_bytes: int | None = None, settings: Settings | None = None
) -> ManifestsPlan:
    """Decide which manifests at the head of a branch to regroup; no group where all are well sized and clustered.

    ``target_bytes`` defaults to the table's ``commit.manifest.target-size-bytes``.

    :raises Refused: the table cannot be written safely (v3, encrypted, a bare metadata file …).
    :raises DataFileError: a manifest or the manifest list is missing or damaged.
    :raises UnknownName: no such table or branch.
    """
    from lakeopt.tables.iceberg.commits.manifest_rewrite import manifest_tree
    from lakeopt.tables.open import open_table

    opened = open_table(table, settings or load_settings()) if isinstance(table, str) else table
    if opened.read_only:
        raise Refused(
            f"{opened.identifier}: its manifests are not rewritten: {opened.read_only}", hint=read_only_hint(opened)
        )
    check_branch(opened, branch)
    target = target_bytes or _target(opened)
    tree = manifest_tree(opened, branch)
    decision = decide(tree.manifests if tree else (), target)
    groups = decision.groups
    saved = sum(len(group.manifests) - group.into for group in groups)
    count = tree.count if tree else 0
    return ManifestsPlan(
        plan_id=journal.new_plan_id(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        table=opened.identifier,
        table_uuid=opened.uuid,
        branch=branch,
        base_snapshot_id=str(tree.snapshot_id) if tree else None,
        target_bytes=target,
        groups=groups,
        manifests_before=count,
        manifests_after=count - saved,
        bytes_before=tree.bytes if tree else 0,
        left_alone={**decision.left_alone, **(tree.left_alone if tree else {})},
    )


def rewrite_manifests(
    table: str | Table,
    *,
    branch: str = "main",
    target_bytes: int | None = None,
    settings: Settings | None = None,
) -> ManifestsResult:
    """Regroup a branch's manifests by partition, up to a target size; no commit where there is nothing to gain.

    Entries keep their files, snapshots and sequence numbers; manifests that other writers add meanwhile stay.

    :raises Refused: the table cannot be written safely.
    :raises ProofFailed: an entry of the new manifests would say something else; nothing is committed.
    :raises CommitConflict: other writers replaced the manifests, or were quicker every time.
    """
    return apply_manifests(
        plan_manifests(table, branch=branch, target_bytes=target_bytes, settings=settings), settings=settings
    )


def apply_manifests(plan: ManifestsPlan, *, settings: Settings | None = None) -> ManifestsResult:
    """Carry a plan out; errors as of :func:`rewrite_manifests`.

    :raises StalePlan: the table or its branch is another one.
    :raises UsageError: the plan contradicts itself.
    """
    from lakeopt.tables.iceberg.commits.manifest_rewrite import regroup
    from lakeopt.tables.open import open_table

    started, settings = time.perf_counter(), settings or load_settings()
    plan.require_consistent()
    if not plan.groups:
        return _result(plan, None, time.perf_counter() - started)
    opened = open_table(plan.table, settings)
    log = journal.start(opened, plan, "rewrite-manifests", settings)
    done: Regrouped | None = None
    try:
        with shielded():  # a signal between the commit and its journal entry would leave it without an end
            done = regroup(
                opened, plan, shares, on_snapshot_id=lambda number: log.write("committing", snapshot_id=str(number))
            )
            result = _result(plan, done, time.perf_counter() - started)
            _journal_commit(log, result)
    except BaseException as error:
        if done is None:
            _journal_end(log, error)
        raise
    return result


def _target(table: Table) -> int:
    text = table.properties.get(TARGET_PROPERTY, "")
    return int(text) if text.isdecimal() and int(text) > 0 else DEFAULT_TARGET


def _journal_commit(log: journal.JournalWriter, result: ManifestsResult) -> None:
    try:
        log.write("committed", result=to_data(result))
    except LakeoptError as error:
        done = f"the manifests are rewritten in snapshot {', '.join(result.snapshot_ids)}, but not in the journal"
        raise Unreachable(f"{done}: {error}", hint=error.hint) from error


def _journal_end(log: journal.JournalWriter, error: BaseException) -> None:
    """Say what ended the run; the journal's own failure must not take the place of that error."""
    with shielded(), contextlib.suppress(LakeoptError):
        if isinstance(error, CommitOutcomeUnknown):
            log.write("unknown", error=str(error))
            return
        interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
        reason = str(error) if isinstance(error, LakeoptError) else f"{type(error).__name__}: {error}"
        log.write("interrupted" if interrupted else "failed", error=reason)


def _result(plan: ManifestsPlan, done: Regrouped | None, elapsed: float) -> ManifestsResult:
    return ManifestsResult(
        plan_id=plan.plan_id,
        table=plan.table,
        snapshot_ids=(str(done.snapshot_id),) if done else (),
        manifests_before=done.manifests_before if done else plan.manifests_before,
        manifests_after=done.manifests_after if done else plan.manifests_before,
        bytes_before=done.bytes_before if done else plan.bytes_before,
        bytes_after=done.bytes_after if done else plan.bytes_before,
        entries=done.entries if done else 0,
        left_alone=plan.left_alone,
        elapsed_seconds=elapsed,
    )
