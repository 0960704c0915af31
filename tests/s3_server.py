"""An S3 server on this machine for tests: moto's, behind a proxy that can answer with faults."""

from __future__ import annotations

import hashlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from running import ENV, wait_for

Fault = Literal["error", "cut", "slow", "hang"]
BUCKET = "photos"
_HOP = {"connection", "transfer-encoding", "keep-alive", "host"}


class S3Server:
    """A server with a bucket. `faults`, where set, says of each request (counted from 0) how it goes wrong, or None.

    ``error`` answers 500, ``cut`` ends in the middle of the content, ``slow`` sends it in pieces, ``hang`` says
    nothing for three seconds and closes.
    """

    def __init__(self) -> None:
        self.faults: Callable[[int, str, str], Fault | None] | None = None
        self.count = 0
        self.faulty = 0
        self.lock = threading.Lock()
        port = _free_port()
        server = str(Path(sys.executable).with_name("moto_server"))
        self.moto = subprocess.Popen(
            [server, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.behind = ("127.0.0.1", port)
        wait_for(self._answers, seconds=60)
        self.proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.proxy.daemon_threads = True
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.server_port}",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def _answers(self) -> bool:
        try:
            with socket.create_connection(self.behind, timeout=1):
                return True
        except OSError:
            return False

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self.lock:
            number = self.count
            self.count += 1
            fault = self.faults(number, method, path) if self.faults is not None else None
            self.faulty += fault is not None
            return fault

    def stop(self) -> None:
        self.proxy.shutdown()
        self.proxy.server_close()
        self.moto.kill()
        self.moto.wait()


@contextmanager
def s3_server(monkeypatch) -> Iterator[S3Server]:
    """Start a server and let this process, and those that it starts, find it."""
    server = S3Server()
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
            monkeypatch.setitem(ENV, name, value)
        filesystem().makedirs(BUCKET, exist_ok=True)
        yield server
    finally:
        server.faults = None
        server.stop()


def filesystem():
    """Give the S3 file system, without what it remembers."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    return s3fs.S3FileSystem(use_listings_cache=False)


def upload(folder: Path, name: str) -> str:
    """Copy a folder into the bucket; give its URL."""
    fs = filesystem()
    for file in folder.rglob("*"):
        if file.is_file():
            fs.pipe_file(f"{BUCKET}/{name}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return f"s3://{BUCKET}/{name}"


def remote_tree(url: str) -> dict[str, str]:
    """Give the hash of every file below a URL, as `running.tree` does."""
    fs, root = filesystem(), url.removeprefix("s3://")
    return {each.removeprefix(f"{root}/"): hashlib.sha256(fs.cat_file(each)).hexdigest() for each in fs.find(root)}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _handler(server: S3Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self._body()
            fault = server.fault_of(self.command, self.path)
            if fault == "hang":
                time.sleep(3)
                self.close_connection = True
                return
            if fault == "error":
                self._send(500, [], b"<Error><Code>InternalError</Code></Error>")
                return
            connection = http.client.HTTPConnection(*server.behind, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            content = reply.read()
            kept = [(name, value) for name, value in reply.getheaders() if name.lower() not in _HOP]
            connection.close()
            self._send(reply.status, kept, content, fault)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815

        def _body(self) -> bytes:
            if "chunked" in self.headers.get("transfer-encoding", ""):
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def _send(
            self, status: int, headers: list[tuple[str, str]], content: bytes, fault: Fault | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() != "content-length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault == "cut":
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            elif fault == "slow":
                for start in range(0, len(content), 8192):
                    self.wfile.write(content[start : start + 8192])
                    self.wfile.flush()
                    time.sleep(0.05)
            else:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                return  # the client has gone

    return Handler
