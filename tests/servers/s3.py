"""A real S3 server: versitygw over a folder. Keys with ``//`` and ``%2F``, which it folds, are moto's business."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pyarrow import fs

from servers.process import CACHE, ROOT, Server, free_port, need

ACCESS_KEY, SECRET_KEY, REGION = "lakeopt", "lakeopt-secret", "us-east-1"


class S3:
    """A running server with an empty bucket ``lake``."""

    bucket = "lake"

    @staticmethod
    def program() -> str | None:
        """Where the server's program is; None where this machine has none."""
        built = CACHE / "bin" / "versitygw"
        return str(built) if built.exists() else shutil.which("versitygw")

    def __init__(self, folder: Path) -> None:
        found = self.program()
        need("S3 (versitygw)", found, "install Go and run `make services`")
        assert found is not None
        self.root = folder / "objects"
        (self.root / self.bucket).mkdir(parents=True)
        port = free_port()
        self._serve(folder, port, [found, "--quiet", "--port", f"127.0.0.1:{port}", "posix", str(self.root)])

    def _serve(self, folder: Path, port: int, command: list[str]) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        login = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        self._start = lambda: Server(command, port, folder / "s3.log", environment=login)
        self.server = self._start()

    def start(self) -> None:
        """Start again after :meth:`stop`: the objects are still there."""
        self.server = self._start()

    def stop(self) -> None:
        """End it."""
        self.server.stop()

    def properties(self) -> Mapping[str, str]:
        """What pyiceberg needs to know of it."""
        return {
            "s3.endpoint": self.endpoint,
            "s3.access-key-id": ACCESS_KEY,
            "s3.secret-access-key": SECRET_KEY,
            "s3.region": REGION,
        }

    def filesystem(self) -> fs.S3FileSystem:
        """pyarrow's view of it."""
        return fs.S3FileSystem(
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            endpoint_override=self.endpoint,
            region=REGION,
            allow_bucket_creation=True,
        )


class Moto(S3):
    """moto's server: keeps ``//`` and ``%2F`` in keys as they are, and everything in memory."""

    def __init__(self, folder: Path) -> None:
        program = ROOT / ".venv-moto" / "bin" / "moto_server"
        need("S3 (moto)", program.exists(), "run `make services`")
        port = free_port()
        self._serve(folder, port, [str(program), "-H", "127.0.0.1", "-p", str(port)])
        self.filesystem().create_dir(self.bucket)
