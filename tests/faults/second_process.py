"""A second process that works on the same lake: it runs the statements that it is sent, one request a line."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

_TESTS = str(Path(__file__).parents[1])


class SecondProcess:
    """Another Python with its own catalog connection; it lives as long as its block."""

    def __enter__(self) -> SecondProcess:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def run(self, root: Path, statements: str) -> Any:
        """Run statements that know ``lake``, ``table`` (``db.t``) and its ``files``; the value left in ``answer``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(root), statements]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["answer"]


def _serve() -> None:
    sys.path.insert(0, _TESTS)
    from hand_rewrite import live_files
    from lake import Lake

    for line in sys.stdin:
        root, statements = json.loads(line)
        lake = Lake(Path(root))
        table = lake.load("db.t")
        files = sorted(live_files(table), key=lambda file: file.lower_bounds[1])
        names: dict[str, Any] = {"lake": lake, "table": table, "files": files, "answer": None}
        try:
            exec(f"import pyarrow as pa\n{statements}", names)
            reply = {"answer": names["answer"]}
        except Exception:
            reply = {"error": traceback.format_exc()}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    _serve()
