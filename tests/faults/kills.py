"""Commands that are killed at random instants of their work, and how far each had come when it was hit."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

#: Imports everything once, then forks for each command: what is killed is the work, not the imports that all begin
#: with. A line is what to do and where to print; the answers are the number of the process, and how it ended.
_PROGRAM = """
import contextlib, importlib, json, os, pkgutil, sys
import lakeopt, pyiceberg.catalog.sql, pyiceberg.io.pyarrow, pyarrow.dataset
for module in pkgutil.walk_packages(lakeopt.__path__, "lakeopt."):
    if not module.name.endswith("__main__"):
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(module.name)
for line in sys.stdin:
    words, output, errors = json.loads(line)
    number = os.fork()
    if number == 0:
        for standard, path in ((1, output), (2, errors)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_TRUNC), standard)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = 70
        try:
            code = lakeopt.cli.app.main(words)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(number, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
"""
#: Commands in a row whose longest is taken for how long one takes: some find little to do, or a busy machine.
_LATELY = 5


class Kills:
    """The kills of one test. Instants are drawn evenly from the time that each verb lately took.

    A command that ended before it was hit does not count: :meth:`rounds` goes on until each verb was hit often enough.
    How far a command had come is told by the last event of its journal; ``planning`` is before the first.
    """

    def __init__(self, request: pytest.FixtureRequest, state: Path, *, wanted: int, seed: int) -> None:
        self._worker = _Worker(Path(request.getfixturevalue("tmp_path_factory").mktemp("worker")))
        request.addfinalizer(self._worker.close)
        self.state, self.wanted, self.done = state, wanted, 0
        self.hits: dict[str, Counter[str]] = {}
        self.tenths: dict[str, list[int]] = {}
        self._took: dict[str, deque[float]] = {}
        self._chance = random.Random(seed)
        self._told: dict[str, object] = {"seed": seed}
        request.node.user_properties.append(("kills", self._told))  # as it stands when the test ends, or fails

    def rounds(self) -> Iterator[int]:
        """Numbers of rounds, until each verb that was begun has as many hits as are wanted."""
        while not self.hits or min(hits.total() for hits in self.hits.values()) < self.wanted:
            assert self.done <= 3 * self.wanted + 3, f"most commands end before they are hit: {self._told}"
            yield self.done
            self.done += 1
            self._told["rounds"] = self.done

    def finish(self, command: Sequence[str]) -> str:
        """Let a command end well; what it printed."""
        began = time.monotonic()
        self._worker.start(command)
        code = self._worker.ended()
        self._took.setdefault(command[0], deque(maxlen=_LATELY)).append(time.monotonic() - began)
        assert code == 0, self._worker.errors.read_text()
        return self._worker.output.read_text()

    def kill(self, command: Sequence[str]) -> bool:
        """Kill a command at a random instant of its work; whether that was before it ended."""
        verb = command[0]
        lasting = max(self._took[verb])
        hits = self.hits.setdefault(verb, Counter())
        tenths = self.tenths.setdefault(verb, [0] * 10)
        before = self._events()
        share = self._chance.random()
        began = time.monotonic()
        number = self._worker.start(command)
        if self._worker.ends_within(share * lasting):  # taken for longer than it is: the next instants are drawn nearer
            self._took[verb].append(time.monotonic() - began)
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        code = self._worker.ended()
        assert code in (0, -signal.SIGKILL), self._worker.errors.read_text()
        if code == -signal.SIGKILL:
            hits[self._last(self._events() - before)] += 1
            tenths[int(share * 10)] += 1
            told = {"total": hits.total(), "by_last_event": dict(sorted(hits.items()))}
            self._told[verb] = {**told, "by_tenth_of_its_time": list(tenths)}
        return code != 0

    def _events(self) -> set[Path]:
        return set(self.state.glob("journal/*/*/*.json"))

    def _last(self, events: set[Path]) -> str:
        """The last event of the run that these begin; events that end an earlier run are not its own."""
        names = sorted(path.stem.split("-", 2) for path in events)
        own = {run for _, run, event in names if event == "started"}
        return next((event for _, run, event in reversed(names) if run in own), "planning")


class _Worker:
    """A process that has imported everything and forks for each command, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.output, self.errors = folder / "output", folder / "errors"
        self.output.touch()
        self.errors.touch()
        program = [sys.executable, "-W", "ignore", "-c", _PROGRAM]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, command: Sequence[str]) -> int:
        """Begin a command; the number of its process."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([list(command), str(self.output), str(self.errors)]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def ends_within(self, seconds: float) -> bool:
        """Whether the command ends in this time; :meth:`ended` tells how."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def ended(self) -> int:
        """Wait for the end of the command; its exit code, below zero for the signal that ended it."""
        return self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker is gone"
        return int(line)
