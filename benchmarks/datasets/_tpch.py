"""Tables of TPC-H by its generator ``tpchgen-cli``, the same bytes every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.datasets.base import UnavailableError


def tpch_file(folder: Path, name: str, scale: float) -> Path:
    """One table as one Parquet file, kept in the folder."""
    path = folder / f"{name}-sf{scale:g}.parquet"
    if not path.exists():
        tool = Path(sys.executable).with_name("tpchgen-cli")
        made = folder / f"tpch-sf{scale:g}"
        command = [str(tool), "parquet", "-s", f"{scale:g}", f"--tables={name}", f"--output-dir={made}"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError as error:
            raise UnavailableError("tpchgen-cli is not installed") from error
        (made / f"{name}.parquet").rename(path)
    return path
