"""Who may talk to the site: a browser of this machine that was shown the token, and no page of another origin.

A page of another site must reach nothing, whether it asks by this address (cross-site request forgery: `Origin`,
`Sec-Fetch-Site`, a cookie that is SameSite=Strict) or by a name of its own that it lets point here (DNS rebinding:
`Host`). What is answered can load nothing from elsewhere, runs no inline script and is framed by no one.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
LOGIN = "/"
_READING = frozenset({"GET", "HEAD"})

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">{refresh}
<link rel="icon" href="data:,">
<title>segdata review</title></head><body><h1>segdata review</h1><p>{text}</p></body></html>
"""
_OPENING = _PAGE.format(
    refresh='<meta http-equiv="refresh" content="0;url=/">', text='<a href="/">Open the review.</a>'
)
_CLOSED = _PAGE.format(
    refresh="",
    text="This page opens with the address that <code>segdata review</code> printed, token and all. If the command was "
    "started again, it has printed a new one; what you had not saved is kept in this browser.",
)


class Gate:
    """Lets through to `inner` what a browser with the token asks; answers everything else itself.

    `token` opens the site once in each browser, at ``/?token=...``, which sets a cookie with another secret.
    """

    def __init__(self, inner: Application, port: int, token: str | None = None) -> None:
        self.inner = inner
        self.token = token or secrets.token_urlsafe(32)
        self.cookie = f"segdata_review_{port}"
        self._secret = secrets.token_urlsafe(32)
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{port}".encode() for name in names} | (
            {n.encode() for n in names} if port == 80 else set()
        )
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            await self._answer(send, 421, "This host is not served here.")
            return
        logging_in = self._logs_in(scope)
        if not logging_in and self._is_foreign(scope["method"], headers):
            await self._answer(send, 403, "Requests from other origins are refused.")
            return
        if logging_in:
            cookie = f"{self.cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict"
            # The page itself goes on to the site: a cookie that is SameSite=Strict is not sent with a redirect that
            # began on another site, such as a terminal in the browser.
            await self._answer(send, 200, _OPENING, ((b"set-cookie", cookie.encode()),), kind=b"text/html")
            return
        if not self._knows(headers):
            page = scope["path"] == "/"
            text = _CLOSED if page else "Open the site with the address that segdata review printed."
            await self._answer(send, 403, text, kind=b"text/html" if page else b"text/plain")
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in HEADERS if each[0] not in given)]
            await send(message)

        await self.inner(scope, receive, guarded)

    def _logs_in(self, scope: Scope) -> bool:
        if scope["path"] != LOGIN or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=8).get("token", [])
        return len(given) == 1 and _equal(given[0], self.token)

    def _is_foreign(self, method: str, headers: list[tuple[bytes, bytes]]) -> bool:
        """Tell whether a page of another origin asks; what changes something must say where it comes from."""
        origins = [value for name, value in headers if name == b"origin"]
        sites = {value for name, value in headers if name == b"sec-fetch-site"}
        if any(origin not in self._origins for origin in origins) or sites - {b"same-origin", b"none"}:
            return True
        return method not in _READING and len(origins) != 1

    def _knows(self, headers: list[tuple[bytes, bytes]]) -> bool:
        for name, value in headers:
            if name == b"cookie":
                pairs = (pair.strip().partition("=") for pair in value.decode("latin-1").split(";"))
                if any(name == self.cookie and _equal(secret, self._secret) for name, _, secret in pairs):
                    return True
        return False

    async def _answer(
        self,
        send: Send,
        status: int,
        text: str,
        more: tuple[tuple[bytes, bytes], ...] = (),
        kind: bytes = b"text/plain",
    ) -> None:
        body = text.encode()
        headers = [(b"content-type", kind + b"; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        headers += [(b"cache-control", b"no-store"), *more, *HEADERS]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _equal(given: str, wanted: str) -> bool:
    """Compare in a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
