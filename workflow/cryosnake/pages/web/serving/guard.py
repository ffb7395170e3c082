"""Who may ask: a token, then a cookie; only for our own address, and writes only from our own pages."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
_POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
           "form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
_HEADERS = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff", "referrer-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin", "cross-origin-opener-policy": "same-origin",
            "x-frame-options": "DENY"}


@dataclass(frozen=True, kw_only=True)
class Access:
    """What opens the door: `token` of this start, `cookie` the name of the cookie that holds it afterwards.

    `public` is the address of a reverse proxy ("https://host/prefix"), "" without one.
    """

    token: str
    cookie: str
    public: str = ""
    edit: bool = False

    @property
    def base(self) -> str:
        """The part before every address of ours: the proxy's prefix, without a slash at the end."""
        return urlsplit(self.public).path.rstrip("/")


def new_access(port: int, *, public: str = "", edit: bool = False) -> Access:
    """Return a new token; cookies are not kept apart by port, so the port is in the name."""
    return Access(token=secrets.token_urlsafe(24), cookie=f"cryosnake_{port}", public=public, edit=edit)


class Guard:
    """The door before an application; puts the headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        base = self._access.base
        if base and scope["path"].startswith(f"{base}/"):  # a proxy may leave its prefix, or take it off
            scope = {**scope, "path": scope["path"].removeprefix(base)}
        request = Request(scope)
        answer = self._refusal(request) or self._entry(request)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if not self._known_host(request.headers.get("host", "")):
            return PlainTextResponse("This server answers only under its own address.", 403)
        if request.method in ("GET", "HEAD"):
            return None
        if request.method != "POST" or not self._access.edit:
            return PlainTextResponse("This server only shows; start it with --edit to write.", 405)
        origin = request.headers.get("origin", "")
        same = request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
        if not same or not self._own_origin(origin, request.headers.get("host", "")):
            return PlainTextResponse("This comes from another page, and is not done.", 403)
        return None

    def _known_host(self, host: str) -> bool:
        name, _, port = host.lower().rpartition(":")
        if not port.isdecimal():  # no port, or the end of an IPv6 address
            name = host.lower()
        public = urlsplit(self._access.public).netloc.lower()
        return name in _LOCAL or bool(public and host.lower() == public)

    def _own_origin(self, origin: str, host: str) -> bool:
        public = urlsplit(self._access.public)
        if public.netloc and host.lower() == public.netloc.lower():
            return origin.lower() == f"{public.scheme}://{public.netloc}".lower()
        return origin.lower() == f"http://{host.lower()}"

    def _entry(self, request: Request) -> Response | None:
        """Let in who has the cookie; who comes with the token gets it, and goes on without the token in the address."""
        given = request.query_params.get("token", "")
        if given and self._is_token(given):
            rest = urlencode([(name, value) for name, value in parse_qsl(request.url.query) if name != "token"])
            path = f"{self._access.base}/{request.url.path.lstrip('/')}"
            answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
            answer.set_cookie(self._access.cookie, self._access.token, httponly=True, samesite="strict",
                              path=self._access.base or "/", secure=self._access.public.startswith("https:"))
            return answer
        if self._is_token(request.cookies.get(self._access.cookie, "")):
            return None
        return PlainTextResponse("Open the address that `cryosnake web` printed, with its token.", 403)

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(errors="replace"), self._access.token.encode())
