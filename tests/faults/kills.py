"""Commands that are killed at random instants of their work, and how far each had come when it was hit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

#: Imports everything, says so, and does the command when told to. An instant is one of the work, neither of imports
#: nor of taking an interpreter down.
_PROGRAM = """
import contextlib, importlib, os, pkgutil, sys
import lakeopt, pyiceberg.catalog.sql, pyiceberg.io.pyarrow, pyarrow.dataset
for module in pkgutil.walk_packages(lakeopt.__path__, "lakeopt."):
    if not module.name.endswith("__main__"):
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(module.name)
print("ready", flush=True)
sys.stdin.readline()
code = lakeopt.cli.app.main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""
#: Commands in a row whose longest is taken for how long one takes: some find little to do, or a busy machine.
_LATELY = 5


class Kills:
    """The kills of one test. Instants are drawn evenly from the time that each verb lately took.

    A command that ended before it was hit does not count: :meth:`rounds` goes on until each verb was hit often enough.
    How far a command had come is told by the last event of its journal; ``planning`` is before the first.
    """

    def __init__(self, request: pytest.FixtureRequest, state: Path, *, wanted: int, seed: int) -> None:
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
        with _waiting(command) as waiting:
            began = time.monotonic()
            waiting.go()
            code = waiting.process.wait(300)
            self._took.setdefault(command[0], deque(maxlen=_LATELY)).append(time.monotonic() - began)
            assert code == 0, waiting.printed(waiting.errors)
            return waiting.printed(waiting.output).removeprefix("ready\n")

    def kill(self, command: Sequence[str]) -> bool:
        """Kill a command at a random instant of its work; whether that was before it ended."""
        verb = command[0]
        lasting = max(self._took[verb])
        hits = self.hits.setdefault(verb, Counter())
        tenths = self.tenths.setdefault(verb, [0] * 10)
        before = self._events()
        with _waiting(command) as waiting:
            share = self._chance.random()
            waiting.go()
            time.sleep(share * lasting)
            waiting.process.kill()
            code = waiting.process.wait()
            assert code in (0, -signal.SIGKILL), waiting.printed(waiting.errors)
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


@dataclass
class _Waiting:
    """A process that is about to do a command."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    errors: IO[bytes]

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def printed(self, file: IO[bytes]) -> str:
        """Read without moving: the position in the file is the command's too."""
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


@contextmanager
def _waiting(command: Sequence[str]) -> Iterator[_Waiting]:
    program = [sys.executable, "-W", "ignore", "-c", _PROGRAM, *command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=output, stderr=errors)
        made = _Waiting(process, output, errors)
        try:
            while made.printed(output) != "ready\n":
                assert process.poll() is None, made.printed(errors)
                time.sleep(0.01)
            yield made
        finally:
            process.kill()
            process.communicate()
