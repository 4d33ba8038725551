"""Queries on snapshots by DuckDB: cold in a process for each run, hot in one for all, once with reads counted."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

import lakeopt
from lakeopt.engines._counting_reads import Scanned, counted
from lakeopt.engines._queries import QueryRun, RunSettings
from lakeopt.engines.duckdb.connection import connect
from lakeopt.engines.duckdb.deletes import Deletes, Step, read_deletes, steps
from lakeopt.engines.duckdb.failures import interruptible
from lakeopt.engines.duckdb.paths import data_paths, delete_paths
from lakeopt.engines.duckdb.physical import PhysicalGroup, physical_groups
from lakeopt.engines.duckdb.remote_files import serve
from lakeopt.engines.duckdb.view import select
from lakeopt.errors import Refused, UsageError
from lakeopt.model.scan import Scan

_MODULE = "lakeopt.engines.duckdb.query_run"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A snapshot's data files and delete files by what they hold."""

    scan: Scan
    groups: tuple[PhysicalGroup, ...]
    deletes: Deletes

    def side(self, locations: Sequence[str], respelt: Callable[[str], str] = str) -> tuple[str, list[Step]]:
        """The rows of the data files at these locations as SQL, and what is done before to find the deleted ones."""
        kept = set(locations)
        found = (group.only(kept).respelt(respelt) for group in self.groups)
        groups = [group for group in found if group.paths]
        among = pc.is_in(self.scan.files["file_path"], pa.array(kept, pa.string()))
        scan = replace(self.scan, files=self.scan.files.filter(among))
        named = set(pc.unique(pc.list_flatten(scan.files["delete_files"])).to_pylist())
        deletes = self.deletes.among(named, respelt)
        first = list(steps(scan, groups, deletes)) if groups and deletes.paths else []
        return select(scan, groups, deleted=bool(first)), first

    def paths(self, locations: Sequence[str]) -> list[str]:
        """Paths of the data files at these locations and of all delete files: the ones that a query may read."""
        kept = set(locations)
        return [path for group in self.groups for path in group.only(kept).paths] + self.deletes.paths


@interruptible()
def prepare(scan: Scan, settings: RunSettings) -> Prepared:
    """Read the footers of a snapshot once; see :class:`lakeopt.engines._queries.QueryEngine`.

    :raises Refused: files that DuckDB does not read. Fed by another decoder it would show that one's times and reads.
    """
    if "ORC" in (held.upper() for held in pc.unique(scan.files["file_format"]).to_pylist()):
        raise Refused(
            f"no queries are run on ORC, which DuckDB does not read: {scan.files['file_path'][0].as_py()}",
            hint="lakeopt compare shows what both take; lakeopt migrate … --rewrite makes a copy that can be benched",
        )
    paths, removed = data_paths(scan), delete_paths(scan)
    with connect(
        memory_bytes=settings.memory_bytes, threads=1, temp_dir=settings.temp_dir, keep_order=True
    ) as connection:
        serve(connection, [*paths.values(), *removed.values()])
        groups = tuple(physical_groups(scan, paths, connection))
        return Prepared(scan, groups, read_deletes(scan, groups, removed, connection))


def measure(
    sql: str, names: Sequence[Sequence[str]], sides: Sequence[tuple[Prepared, Sequence[str]]], settings: RunSettings
) -> list[QueryRun]:
    """Run one query on each side; see :class:`lakeopt.engines._queries.QueryEngine`.

    :raises UsageError: a name of more than three parts, which DuckDB does not know.
    """
    if long := next((name for name in names if len(name) > 3), None):
        raise UsageError(f"DuckDB knows no table name of {len(long)} parts: {'.'.join(long)}", hint="write t instead")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.temp_dir) as folder:
        job: dict[str, Any] = {
            "sql": sql,
            "names": names,
            "runs": settings.runs,
            "threads": settings.threads,
            "memory_bytes": settings.memory_bytes,
            "temp_dir": settings.temp_dir,
            "sides": [_side(side, kept, Path(folder, str(number))) for number, (side, kept) in enumerate(sides)],
        }
        warm = _run("warm", job)
        failed = ["error" in outcome for outcome in warm]
        cold = [_run("cold", job, only) for _ in range(settings.runs) for only in range(len(sides)) if not failed[only]]
        return [_query_run(number, warm, cold, job["sides"]) for number in range(len(sides))]


def versions() -> dict[str, str]:
    """Version of DuckDB."""
    return {"duckdb": duckdb.__version__}


def _side(prepared: Prepared, locations: Sequence[str], answer: Path) -> dict[str, Any]:
    (rows, first), (counted_rows, counted_first) = (prepared.side(locations, respelt) for respelt in (str, counted))
    return {
        "rows": rows,
        "steps": first,
        "counted": {"rows": counted_rows, "steps": counted_first},
        "paths": prepared.paths(locations),
        "answer": str(answer),
    }


def _run(mode: str, job: Mapping[str, Any], only: int | None = None) -> list[dict[str, Any]]:
    """Outcomes of the sides (of one alone, the others empty) from a process of its own; its death is an error.

    The job goes through a pipe and not by a file: file systems hold credentials.
    """
    sides = job["sides"] if only is None else [job["sides"][only]]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", _MODULE],
        input=pickle.dumps({**job, "mode": mode, "sides": sides}),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": _python_path()},
        check=False,
    )
    if ended.returncode == 0:
        outcomes: list[dict[str, Any]] = json.loads(ended.stdout)
    else:
        outcomes = [{"error": _death(ended.returncode, ended.stderr.decode(errors="replace"))} for _ in sides]
    return outcomes if only is None else [outcomes[0] if side == only else {} for side in range(len(job["sides"]))]


def _python_path() -> str:
    """Lets the new process find this very lakeopt, wherever it was imported from."""
    own = str(Path(lakeopt.__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))


def _death(code: int, stderr: str) -> str:
    if code < 0:
        return f"the process of the query was ended by {signal.Signals(-code).name}"
    lines = stderr.strip().splitlines()
    return lines[-1] if lines else f"the process of the query ended with {code}"


def _query_run(
    number: int,
    warm: Sequence[Mapping[str, Any]],
    cold: Sequence[Sequence[Mapping[str, Any]]],
    sides: Sequence[Mapping[str, Any]],
) -> QueryRun:
    outcomes = [warm[number], *(run[number] for run in cold if run[number])]
    if error := next((outcome["error"] for outcome in outcomes if "error" in outcome), None):
        return QueryRun(error=error)
    with pa.memory_map(sides[number]["answer"]) as source:
        # Copied out of the file, which is removed with its folder.
        answer = pa.ipc.open_file(pa.py_buffer(source.read())).read_all()
    return QueryRun(
        cold=tuple(second for outcome in outcomes[1:] for second in outcome["seconds"]),
        hot=tuple(warm[number]["seconds"]),
        answer=answer,
        scanned=Scanned(**warm[number]["scanned"]),
    )
