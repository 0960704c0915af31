"""Run the review site on this machine."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from segdata.dataset import Dataset
from segdata.engine import Engine
from segdata.errors import InputError
from segdata.report.review.queue import Queue
from segdata.report.review.samples import Samples
from segdata.report.review.scores import Columns, Predictions, measure_agreement, read_scores
from segdata.report.review.security import Gate
from segdata.report.review.store import LONGEST_NAME, STORE, VERDICTS, Store
from segdata.steps import Progress

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

HOST = "127.0.0.1"
PORT = 8765
_PORTS_TRIED = 20
_PATIENCE = 15.0  # seconds for the head of a request, which comes from this machine


class ReviewSummary(msgspec.Struct, frozen=True):
    """How far a review is when its site is closed: `counts` by decision, and how many masks are corrected."""

    data: str
    store: str
    reviewer: str
    samples: int
    counts: dict[str, int]
    corrected: int
    disagreements: int


def review(
    data: str | Path,
    *,
    preds: str | Path | None = None,
    images: str | Path | None = None,
    scores: str | Path | None = None,
    reviewer: str | None = None,
    port: int | None = None,
    opened: Callable[[str], None] | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ReviewSummary:
    """Serve the site to review a data set, until it is interrupted (KeyboardInterrupt, or the end of the process).

    Parameters
    ----------
    data : the data set. Decisions are kept in its folder, in .review.sqlite, and change nothing else of it until
        `apply_review`.
    preds : predicted masks to compare with, a data set or a folder; they are shown, and the queue begins where they
        differ most from the stored masks.
    images : folder of the photos, for a data set without them, such as `annotate` writes.
    scores : file of scores to order the queue by, at first by the first of its columns: the CSV or JSON of evaluate,
        or any CSV with a column `key`.
    reviewer : the name that decisions are kept under; that of the user's account where not given. A second reviewer
        gives another name.
    port : of 127.0.0.1; 8765 or the next that is free where not given.
    opened : is given the address to open, with the token that lets a browser in.

    Raises `InputError` for what is no data set, a port that is taken, a reviewer without a name, and where starlette
    or uvicorn is not installed; `StorageError` where the data set's folder takes no file.
    """
    make_app = _framework()
    name = check_reviewer(reviewer)
    with Store(Dataset(data).root) as store:
        samples = open_samples(
            data, store, name, preds=preds, images=images, scores=scores, engine=engine, progress=progress
        )
        with listen(port) as listener:
            number = listener.getsockname()[1]
            gate = Gate(make_app(samples), number)
            address = f"http://{HOST}:{number}/?token={gate.token}"
            server = make_server(gate, lambda: opened and opened(address))
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
        counts = samples.queue.counts()
    return ReviewSummary(
        data=str(data),
        store=str(Path(data) / STORE),
        reviewer=name,
        samples=counts["all"],
        counts={verdict: counts[verdict] for verdict in (*VERDICTS, "undecided")},
        corrected=counts["corrected"],
        disagreements=counts["disagree"],
    )


def check_reviewer(name: str | None) -> str:
    """Give the name of a reviewer, that of the account where None is given. Raises `InputError` for no name.

    >>> check_reviewer(" Ann ")
    'Ann'
    """
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):  # an account without a name, as in containers
            name = "reviewer"
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(f"the reviewer {name[:LONGEST_NAME]!r} is no name", f"give up to {LONGEST_NAME} letters")
    return name


def open_samples(
    data: str | Path,
    store: Store,
    reviewer: str,
    *,
    preds: str | Path | None = None,
    images: str | Path | None = None,
    scores: str | Path | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Read what the site shows; the parameters are those of `review`."""
    given: Columns = {} if scores is None else read_scores(scores)
    more = dict(given)
    predictions = None if preds is None else Predictions(preds)
    if predictions is not None:
        measured = measure_agreement(Dataset(data), predictions, store, engine=engine, progress=progress)
        more = {**measured, **predictions.columns, **given}
    queue = Queue(data, store, reviewer, more, begin_with=next(iter(given), None))
    queue.refresh()
    return Samples(queue, photos=images, preds=predictions)


def _framework() -> Callable[[Samples], Starlette]:
    try:
        import uvicorn  # noqa: F401, PLC0415 - says before any work what is missing

        from segdata.report.review.app import make_app  # noqa: PLC0415 - brings starlette
    except ModuleNotFoundError as error:
        if error.name not in {"uvicorn", "starlette", "anyio", "h11", "click"}:
            raise
        raise InputError(f"the review site needs {error.name}", "pip install 'segdata[review]'") from error
    return make_app


def listen(port: int | None = None) -> socket.socket:
    """Listen on the loopback address alone, at a port or at the first that is free."""
    if port is not None and not 0 <= port < 1 << 16:
        raise InputError(f"{port} is no port", "give one from 1024 to 65535")
    last: OSError | None = None
    for number in range(PORT, PORT + _PORTS_TRIED) if port is None else (port,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
            listener.listen(64)
        except OSError as error:
            listener.close()
            last = error
        else:
            return listener
    raise InputError(f"port {port or PORT} cannot be used ({last})", "give another with --port") from last


def make_server(gate: Gate, started: Callable[[], object] = lambda: None) -> uvicorn.Server:
    """Give the server of the site, which calls `started` once it answers."""
    import uvicorn  # noqa: PLC0415
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415

    class Impatient(H11Protocol):
        """Closes what dawdles over the head of a request: the connections are few, and anyone here may take them."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.loop.call_later(_PATIENCE, self.look_again, None)

        def look_again(self, before: object) -> None:
            waits = self.cycle is before and (self.cycle is None or self.cycle.response_complete)
            if waits:
                self.transport.close()
            elif not self.transport.is_closing():
                self.loop.call_later(_PATIENCE, self.look_again, self.cycle)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    return Server(
        uvicorn.Config(
            gate,
            http=Impatient,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # it would print the token
            server_header=False,
            timeout_graceful_shutdown=2,
            limit_concurrency=128,
        )
    )
