"""Forms that a page sends: read within a limit, and worked on beside the server's loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cryosnake.pages.web.serving.patience import patiently

Form = Mapping[str, list[str]]
_MOST_BYTES = 100_000
_LONGEST = 60.0  # s


def posted(work: Callable[[Request, Form], Response], most_bytes: int = _MOST_BYTES,
           ) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint that reads a form of at most so many bytes, and answers with what `work` makes of it."""
    async def endpoint(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > most_bytes:
                raise HTTPException(413, "This form is too long.")
        form = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
        return await patiently(_LONGEST, request.path_params.get("project", ""), partial(work, request, form))
    return endpoint


def field(form: Form, name: str, default: str = "") -> str:
    """Return the only value of a field, or the first."""
    return form.get(name, [default])[0]
