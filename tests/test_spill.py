"""Spill folders: gone after the block, gone after a kill, never taken from a live process."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lakeopt.workflows.spill import spill_directory

HOLD = "from lakeopt.workflows.spill import spill_directory as s\nwith s() as d: print(d, flush=True); input()"


def test_folders_of_live_processes_stay_and_those_of_killed_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        with spill_directory() as ours:
            assert theirs.exists()
            assert Path(ours).is_dir()
        assert not Path(ours).exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert theirs.exists()
    with spill_directory():
        assert not theirs.exists()
