"""What the site answers to what: a table of routes. All state is the queue's and the store's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, TypeVar, get_args

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segdata.errors import InputError, SampleError, SegdataError, StorageError
from segdata.report.review.images import Layer
from segdata.report.review.queue import FILE_ORDER, FILTERS, HIGH_IS_BAD, Filter, View
from segdata.report.review.samples import Kind, Samples, Saving
from segdata.report.review.store import LONGEST_COMMENT, VERDICTS, ConflictError

LARGEST_BODY = 16 << 20
_PAGE = 60
_PATIENCE = 60.0  # seconds for the body of a request
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_STATUS = {"unknown-key": 404, "missing-file": 404, "no-photo": 404, "leads-out": 403, "unsafe-name": 403}
_SUPERPIXELS = (6, 80)
_T = TypeVar("_T")
Handler = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """A request that is not understood."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def make_app(samples: Samples) -> Starlette:
    """Give the site as an ASGI application; `security.Gate` belongs round it."""
    site = _Site(samples)
    routes = [
        Route("/", _static("index.html")),
        *(Route(f"/static/{name}", _static(name)) for name in _FILES if name != "index.html"),
        Route("/api/site", _answering(site.site)),
        Route("/api/queue", _answering(site.queue)),
        Route("/api/neighbour", _answering(site.neighbour)),
        Route("/api/sample", _answering(site.sample)),
        Route("/api/changes", _answering(site.changes)),
        Route("/api/decision", site.decide, methods=["PUT"]),
        Route("/photo", _answering(site.photo)),
        Route("/thumb", _answering(site.thumb)),
        Route("/layer", _answering(site.layer)),
        Route("/mask", _answering(site.mask)),
        Route("/superpixels", _answering(site.superpixels)),
    ]
    return Starlette(routes=routes, exception_handlers={Exception: _unexpected})


def _read_static() -> dict[str, bytes]:
    folder = resources.files("segdata.report.review") / "static"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name[each.name.rfind(".") :] in _TYPES}


_FILES = _read_static()


def _static(name: str) -> Handler:
    media_type = _TYPES[name[name.rfind(".") :]]

    async def answer(_: Request) -> Response:
        return Response(_FILES[name], media_type=media_type, headers={"cache-control": "no-cache"})

    return answer


def _answering(work: Callable[[Request], Response]) -> Handler:
    """Do the work in a thread, and say in one sentence what is wrong."""

    async def answer(request: Request) -> Response:
        return await _told(run_in_threadpool(work, request))

    return answer


async def _told(answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except RefusedError as error:
        return _json({"code": "bad-request", "message": error.message}, error.status)
    except SampleError as error:
        return _json({"code": error.code, "message": str(error)}, _STATUS.get(error.code, 422))
    except StorageError as error:
        return _json({"code": "storage", "message": str(error)}, 507)
    except (InputError, SegdataError) as error:
        return _json({"code": "input", "message": str(error)}, 500)


async def _unexpected(_: Request, error: Exception) -> Response:
    return _json({"code": "internal-error", "message": f"{type(error).__name__}: this is a mistake in segdata"}, 500)


def _json(value: Any, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), status, media_type="application/json", headers=headers)


def _bytes(request: Request, tag: str, make: Callable[[], tuple[bytes, str]]) -> Response:
    """Give bytes that the browser may keep, as long as it asks whether they are still the same."""
    headers = {"etag": f'"{tag}"', "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    data, media_type = make()
    return Response(data, media_type=media_type, headers=headers)


def _text(request: Request, name: str, default: str | None = None) -> str:
    value = request.query_params.get(name, default)
    if value is None:
        raise RefusedError(400, f"the request lacks {name}")
    return value


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 9:
        raise RefusedError(400, f"{name} is no whole number")
    return int(text)


def _choice(request: Request, name: str, kind: Any, default: str | None = None) -> Any:
    value = _text(request, name, default)
    if value not in get_args(kind):
        raise RefusedError(400, f"{name} is none of {', '.join(get_args(kind))}")
    return value


def _view(request: Request) -> View:
    first = _text(request, "first", "low")
    return View(
        by=_text(request, "by", FILE_ORDER),
        first="high" if first == "high" else "low",
        show=_choice(request, "show", Filter, "all"),
        find=_text(request, "find", "")[:200],
    )


class _Site:
    """The answers."""

    def __init__(self, samples: Samples) -> None:
        self.samples, self.of = samples, samples.queue

    def site(self, _: Request) -> Response:
        counts = self.of.counts()
        columns = [{"name": FILE_ORDER, "first": "low"}]
        columns += [{"name": name, "first": "high" if name in HIGH_IS_BAD else "low"} for name in self.of.columns]
        return _json(
            {
                "id": self.of.store.id,
                "dataset": self.samples.root.folder.resolve().name,
                "reviewer": self.of.reviewer,
                "reviewers": self.of.reviewers(),
                "columns": columns,
                "by": self.of.best_column(),
                "filters": FILTERS,
                "verdicts": VERDICTS,
                "counts": counts,
                "predictions": self.samples.preds is not None,
                "sequence": self.of.sequence,
                "longest_comment": LONGEST_COMMENT,
            }
        )

    def queue(self, request: Request) -> Response:
        return _json(self.of.page(_view(request), _number(request, "offset", 0), _number(request, "limit", _PAGE)))

    def neighbour(self, request: Request) -> Response:
        step = _number(request, "step", 1)
        if step not in {-1, 0, 1}:
            raise RefusedError(400, "step is none of -1, 0, 1")
        return _json(self.of.neighbour(_view(request), request.query_params.get("key"), step))  # type: ignore[arg-type]

    def sample(self, request: Request) -> Response:
        return _json(self.samples.view(_text(request, "key")))

    def changes(self, request: Request) -> Response:
        since = _number(request, "since", 0)
        counts = self.of.counts()
        news = [] if since >= self.of.sequence else self.of.store.since(since)
        changed = [{"key": each.key, "reviewer": each.reviewer} for each in news[-1000:]]
        return _json({"sequence": self.of.sequence, "counts": counts, "changed": changed})

    def photo(self, request: Request) -> Response:
        key = _text(request, "key")
        return _bytes(request, self.samples.tag(key, "photo"), lambda: tuple(self.samples.photo(key)))  # type: ignore[arg-type,return-value]

    def thumb(self, request: Request) -> Response:
        key, masked = _text(request, "key"), _text(request, "mask", "1") == "1"
        tag = self.samples.tag(key, "thumb", masked)
        return _bytes(request, tag, lambda: (self.samples.thumbnail(key, masked=masked), "image/jpeg"))

    def layer(self, request: Request) -> Response:
        key, name = _text(request, "key"), _choice(request, "name", Layer)
        tag = self.samples.tag(key, "layer", name)
        return _bytes(request, tag, lambda: (self.samples.layer(key, name), "image/png"))

    def mask(self, request: Request) -> Response:
        kind = _choice(request, "of", Kind)
        data = self.samples.mask(_text(request, "key"), kind, _text(request, "reviewer", ""))
        return Response(data, media_type="application/octet-stream", headers={"cache-control": "no-store"})

    def superpixels(self, request: Request) -> Response:
        key = _text(request, "key")
        low, high = _SUPERPIXELS
        size = max(low, min(high, _number(request, "size", 16)))
        tag = self.samples.tag(key, "superpixels", size)
        return _bytes(request, tag, lambda: (self.samples.superpixels(key, size), "application/octet-stream"))

    async def decide(self, request: Request) -> Response:
        return await _told(self._decide(request))

    async def _decide(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RefusedError(415, "a decision is sent as application/json")
        key = _text(request, "key")
        try:
            saving = msgspec.json.decode(await _body(request), type=Saving)
        except msgspec.DecodeError as error:
            raise RefusedError(400, f"the decision cannot be read ({error})") from error
        try:
            saved = await run_in_threadpool(self.samples.save, key, saving)
        except ConflictError:
            view = await run_in_threadpool(self.samples.view, key)
            return _json({"code": "conflict", "message": "another window saved meanwhile", "sample": view}, 409)
        return _json(saved)


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    try:
        async with asyncio.timeout(_PATIENCE):
            async for part in request.stream():
                size += len(part)
                if size > LARGEST_BODY:
                    raise RefusedError(413, f"a decision has at most {LARGEST_BODY:,} bytes")
                parts.append(part)
    except TimeoutError as error:
        raise RefusedError(408, "the decision did not come to its end") from error
    return b"".join(parts)
