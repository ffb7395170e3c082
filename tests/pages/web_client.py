"""A client of the dashboard without a network: what a browser sends after it came in with the token."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from cryosnake.pages.web.app import application
from cryosnake.pages.web.guard import Access

ACCESS = Access(token="right", cookie="cryosnake_1")
EDITING = Access(token="right", cookie="cryosnake_1", edit=True)


def client(*roots: Path, access: Access = ACCESS, inside: bool = True) -> TestClient:
    """Return a client, which has the cookie if it is `inside`; an error of ours is an answer, as for a browser."""
    cookies = {access.cookie: access.token} if inside else {}
    return TestClient(application(roots, access), "http://127.0.0.1:1", cookies=cookies, follow_redirects=False,
                      raise_server_exceptions=False)


def project_address(opened: TestClient) -> str:
    """Return the address of the only project, as "/p/name-123456"."""
    return opened.get("/").headers["location"].removesuffix("/overview")
