"""What tests of the review site share: a small data set, the site in a thread or a process, and someone who asks."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from segdata.files import write_file
from segdata.pixels import encode_photo, encode_png
from segdata.sample import encode

HEIGHT, WIDTH = 40, 60


def block(x: int = 20) -> np.ndarray:
    """Give a mask with one block in it."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, x : x + 20] = True
    return mask


def make_dataset(folder: Path, count: int = 5, **columns: Any) -> Path:
    """Write a data set of drawn photos, the later the surer; `columns` are those of every row."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        key = f"shoot/{number:04d}"
        photo = rng.integers(0, 80, (HEIGHT, WIDTH, 3), np.uint8)
        photo[block()] += 120
        write_file(folder / "images" / f"{key}.png", encode_photo(photo, ".png"))
        write_file(folder / "masks" / f"{key}.png", encode_png(block().view(np.uint8) * np.uint8(255)))
        rows.append(
            {
                "key": key,
                "file_name": f"images/{key}.png",
                "mask_file_name": f"masks/{key}.png",
                "width": WIDTH,
                "height": HEIGHT,
                "uncertainty": 1 - number / 10,
                "persons": [],
                **columns,
            }
        )
    write_rows(folder, rows)
    return folder


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write metadata.jsonl."""
    (folder / "metadata.jsonl").write_bytes(b"".join(encode(row) + b"\n" for row in rows))


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Read metadata.jsonl."""
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def saving(version: int = 0, verdict: str | None = "accept", request: str = "request-1", **more: Any) -> dict[str, Any]:
    """Give a decision as the browser sends it."""
    return {"version": version, "request": request, "verdict": verdict, "comment": "", **more}


class Answer:
    """What the site answered."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Site:
    """A running site, and a browser that has opened it with the token."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token, self.cookie = port, token, ""
        self.host = f"127.0.0.1:{port}"
        self.origin = f"http://{self.host}"

    def log_in(self) -> None:
        answer = self.bare("GET", f"/?token={self.token}", {"Host": self.host})
        self.cookie = answer.headers["set-cookie"].partition(";")[0]

    def bare(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        """Ask with these headers and no others."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            if body is not None:
                with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
                    connection.send(body)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, headers: dict[str, str] | None = None, **values: Any) -> Answer:
        """Ask as the site's own page does."""
        query = f"?{urlencode(values)}" if values else ""
        own = {"Host": self.host, "Cookie": self.cookie, "Sec-Fetch-Site": "same-origin"}
        return self.bare("GET", path + query, {**own, **(headers or {})})

    def put(self, key: str, decision: Any, headers: dict[str, str] | None = None) -> Answer:
        """Save a decision as the site's own page does."""
        own = {"Host": self.host, "Cookie": self.cookie, "Origin": self.origin, "Content-Type": "application/json"}
        body = decision if isinstance(decision, bytes) else json.dumps(decision).encode()
        return self.bare("PUT", f"/api/decision?{urlencode({'key': key})}", {**own, **(headers or {})}, body)

    def runs(self, key: str, of: str = "stored", **values: Any) -> list[int]:
        """Get a mask's height, width and run lengths."""
        return np.frombuffer(self.get("/mask", key=key, of=of, **values).body, "<u4").tolist()


@contextmanager
def serving(data: Path, reviewer: str = "Ann", **options: Any) -> Iterator[Site]:
    """Run the site in a thread of this process."""
    pytest.importorskip("starlette", reason="the review site needs starlette: pip install 'segdata[review]'")
    pytest.importorskip("uvicorn", reason="the review site needs uvicorn: pip install 'segdata[review]'")
    from segdata.report.review.app import make_app
    from segdata.report.review.security import Gate
    from segdata.report.review.serve import listen, make_server, open_samples
    from segdata.report.review.store import Store

    started = threading.Event()
    with Store(data) as store, listen(0) as listener:
        gate = Gate(make_app(open_samples(data, store, reviewer, **options)), listener.getsockname()[1])
        server = make_server(gate, started.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert started.wait(20)
            site = Site(listener.getsockname()[1], gate.token)
            site.log_in()
            yield site
        finally:
            server.should_exit = True
            thread.join(20)


_SCRIPT = """
import sys
from segdata.report.review.serve import review
data, reviewer, port, preds = sys.argv[1:]
review(data, reviewer=reviewer, port=int(port) or None, preds=preds or None, opened=lambda url: print(url, flush=True))
"""


def start_site(
    data: Path, reviewer: str = "Ann", port: int = 0, preds: Path | str = ""
) -> tuple[subprocess.Popen[str], str]:
    """Run the site in a process of its own; gives it and the address that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(data), reviewer, str(port), str(preds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address, "the site did not start"
    return process, address
