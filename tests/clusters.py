"""A Dask cluster on this machine for tests: a scheduler and workers, which are started again when they end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client
from running import ENV

HERE = Path(__file__).parent
DASK = str(Path(sys.executable).with_name("dask"))


class Cluster:
    """A scheduler at a port that stays the same, and workers, as whoever runs a cluster keeps them running."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.log = log.open("ab")
        self.scheduler = self.start_scheduler()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.ends = threading.Event()
        self.keeper = threading.Thread(target=self._keep)

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        host, port = self.address.removeprefix("tcp://").split(":")
        return self._start("scheduler", "--host", host, "--port", port)

    def start_worker(self, threads: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        return self._start("worker", self.address, "--no-nanny", "--nthreads", str(threads), **environment)

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        paths = [str(HERE), str(HERE / "engine"), os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            [DASK, *arguments, "--no-dashboard"],
            env={**ENV, "PYTHONPATH": os.pathsep.join(paths), **environment},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def _keep(self) -> None:
        while not self.ends.wait(0.1):
            for place, worker in enumerate(self.workers):
                if worker.poll() is not None:
                    self.workers[place] = self.start_worker()

    def restart_scheduler(self) -> None:
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self.start_scheduler()

    def stop(self) -> None:
        self.ends.set()
        self.keeper.join()
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self.log.close()

    def wait_for_workers(self, count: int = 2) -> None:
        with Client(self.address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)


@contextmanager
def local_cluster(folder: Path) -> Iterator[Cluster]:
    """Start a cluster of two workers, one of which has more threads than it should, and end it."""
    cluster = Cluster(folder / "cluster.log")
    try:
        cluster.workers = [cluster.start_worker(), cluster.start_worker(threads=2)]
        cluster.keeper.start()
        cluster.wait_for_workers()
        yield cluster
    finally:
        cluster.stop()
