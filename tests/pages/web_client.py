"""A client of the dashboard without a network: what a browser sends after it came in with the token."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest


def need_server() -> None:
    """Skip a file of tests where the extra `web` is not installed, unless CRYOSNAKE_REQUIRE asks for what is needed."""
    if find_spec("starlette") is None and not os.environ.get("CRYOSNAKE_REQUIRE"):
        pytest.skip("starlette is not installed (pip install 'cryosnake[web]')", allow_module_level=True)


need_server()

from starlette.testclient import TestClient  # noqa: E402

from cryosnake.pages.web.app import application  # noqa: E402
from cryosnake.pages.web.serving.guard import Access  # noqa: E402

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
