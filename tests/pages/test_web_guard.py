"""Who may ask the dashboard, and what it never gives away."""

from __future__ import annotations

import os
import re
from html import unescape
from pathlib import Path

import pytest
from shown_project import make_project
from web_client import ACCESS, EDITING, TestClient, client, project_address

from cryosnake.pages.web.serving.guard import Access

SECRET = "the secret of another folder"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a log; beside it, what must not be seen."""
    (tmp_path / "secret.txt").write_text(SECRET)
    root = tmp_path / "project"
    (root / "Logs").mkdir(parents=True)
    (root / "config.yaml").write_text("title: t\njobs: {}\n")
    (root / "Logs" / "run.out").write_text("all is well")
    return root


@pytest.fixture
def inside(project: Path) -> TestClient:
    return client(project)


@pytest.mark.parametrize("path", ["/", "/static/web.js", "/p/x/overview", "/p/x/image/a.mrc", "/p/x/events"])
def test_no_or_wrong_token(project: Path, path: str) -> None:
    outside = client(project, inside=False)
    assert outside.get(path).status_code == 403
    assert outside.get(f"{path}?token=wrong").status_code == 403
    assert outside.get(path, headers={"cookie": f"{ACCESS.cookie}=wrong".encode() + b"; other=\xe9"}).status_code == 403


def test_cookies_of_other_programs_do_no_harm(project: Path) -> None:
    """All servers of a host share them, whatever their ports."""
    cookie = f'odd={{"a": 1}}; {ACCESS.cookie}={ACCESS.token}; =; ;@=2'
    assert client(project, inside=False).get("/", headers={"cookie": cookie}).status_code == 307


def test_the_token_becomes_a_cookie_and_leaves_the_address(project: Path) -> None:
    answer = client(project, inside=False).get("/p/x/view/a?block=b&token=right")
    assert (answer.status_code, answer.headers["location"]) == (303, "/p/x/view/a?block=b")
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("cryosnake_1=right", "httponly", "samesite=strict", "path=/"))


def test_a_redirect_with_the_token_stays_here(project: Path) -> None:
    answer = client(project, inside=False).get("http://127.0.0.1:1//evil.example/?token=right")
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:1", "127.0.0.1.evil.example", "localhost@evil", ""])
def test_foreign_host(inside: TestClient, host: str) -> None:
    """Names of others that lead to this machine (DNS rebinding)."""
    assert inside.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:8000", "[::1]:8000", "localhost"])
def test_its_own_names_are_answered_at_any_end_of_a_tunnel(inside: TestClient, host: str) -> None:
    assert inside.get("/", headers={"host": host}).status_code == 307


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_only_shows_without_edit(inside: TestClient, method: str) -> None:
    answer = inside.request(method, "/p/x/choose/a", headers={"origin": "http://127.0.0.1:1"})
    assert answer.status_code == 405


@pytest.mark.parametrize("headers", [{}, {"origin": "null"}, {"origin": "http://evil.example"},
                                     {"origin": "http://127.0.0.1:2"}, {"origin": "https://127.0.0.1:1"},
                                     {"origin": "http://localhost:1"}, {"origin": "http://127.0.0.1:1.evil.example"},
                                     {"referer": "http://127.0.0.1:1/"},
                                     {"origin": "http://127.0.0.1:1", "sec-fetch-site": "cross-site"},
                                     {"origin": "http://127.0.0.1:1", "sec-fetch-site": "same-site"}])
def test_foreign_origin_and_csrf(project: Path, headers: dict[str, str]) -> None:
    opened = client(project, access=EDITING)
    assert opened.post("/p/x/choose/a", headers=headers).status_code == 403


def test_every_answer_has_the_policy(inside: TestClient) -> None:
    for path in ("/", "/nowhere", "/static/web.js", "/?token=wrong"):
        headers = inside.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def test_proxy_prefix(project: Path) -> None:
    public = Access(token="right", cookie="cryosnake_1", public="https://lab.example/em", edit=True)
    opened = client(project, access=public)
    theirs = {"host": "lab.example"}
    assert opened.get("/em/", headers=theirs).headers["location"].startswith("/em/p/project-")
    assert opened.get("/", headers=theirs).headers["location"].startswith("/em/p/project-")
    assert opened.get("/", headers={"host": "other.example"}).status_code == 403
    assert opened.post("/x", headers=theirs | {"origin": "http://lab.example"}).status_code == 403
    assert opened.post("/x", headers=theirs | {"origin": "https://lab.example"}).status_code == 404
    cookie = client(project, access=public, inside=False).get("/em/?token=right", headers=theirs).headers["set-cookie"]
    assert "Path=/em" in cookie and "Secure" in cookie


def test_proxy_prefix_is_in_every_address_of_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in those of events, pictures and forms."""
    monkeypatch.chdir(tmp_path)
    make_project(10)
    Path("config.yaml").write_text("jobs:\n  good: {type: select, classes: choose, particles: "
                                   "Class2D/job006/run_it025_data.star}\n")
    public = Access(token="right", cookie="cryosnake_1", public="https://lab.example/em", edit=True)
    opened, theirs = client(tmp_path, access=public), {"host": "lab.example"}
    at = opened.get("/em/", headers=theirs).headers["location"].removesuffix("/overview")
    found = set()
    for page in ("overview", "runs", "space", "choose/good", "job/Class2D/job006", "view/default_pipeline.star",
                 "view/Class2D/job006/run_it025_classes.mrcs", "nothing"):
        text = opened.get(f"{at}/{page}", headers=theirs).text
        found |= set(re.findall(r'(href|src|action|data-events|data-image)="(/[^"]*)"', text))
    assert {kind for kind, _ in found} >= {"href", "src", "action", "data-events"}
    assert [address for _, address in found if not address.startswith("/em/")] == []


@pytest.mark.parametrize("second", [["3"], ["2", "7"]])
def test_two_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: list[str]) -> None:
    """Of two tabs that were opened before either was sent, only the first writes."""
    monkeypatch.chdir(tmp_path)
    make_project(10)
    Path("m").mkdir()
    Path("config.yaml").write_text("jobs:\n  good: {type: select, classes: choose, particles: "
                                   "Class2D/job006/run_it025_data.star}\n")
    opened, own = client(tmp_path, access=EDITING), {"origin": "http://127.0.0.1:1"}
    address = f"{project_address(opened)}/choose/good"
    form = {name: [unescape(value)] for name, value in
            re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', opened.get(address).text)}
    assert opened.post(address, data=form | {"class": ["2", "7"]}, headers=own).status_code == 303
    written = Path("decisions/good.yaml").read_bytes()
    late = opened.post(address, data=form | {"class": second}, headers=own)
    assert late.status_code == 409 and "Nothing was written" in late.text
    assert Path("decisions/good.yaml").read_bytes() == written


@pytest.mark.parametrize("kind", ["view", "file", "image"])
@pytest.mark.parametrize("name", ["../secret.txt", "%2e%2e/secret.txt", "Logs/../../secret.txt", "/etc/passwd",
                                  "%2fetc%2fpasswd", "Logs/%00", "..%2fsecret.txt", "out.txt", "outside/secret.txt",
                                  "outside.mrc", ".hidden", "Logs/.hidden", ".cryosnake/run.json", "Logs", "pipe.txt",
                                  "a" * 5000, "%ff%fe"])
def test_path_escapes_and_links_that_leave(project: Path, kind: str, name: str) -> None:
    (project / "out.txt").symlink_to(project.parent / "secret.txt")
    (project / "outside").symlink_to(project.parent)
    (project / "outside.mrc").symlink_to(project.parent / "secret.txt")
    (project / ".cryosnake").mkdir()
    for hidden in (".hidden", "Logs/.hidden", ".cryosnake/run.json"):
        (project / hidden).write_text(SECRET)
    os.mkfifo(project / "pipe.txt")
    opened = client(project)
    answer = opened.get(f"{project_address(opened)}/{kind}/{name}")
    assert answer.status_code in (404, 409) and SECRET not in answer.text and "root:" not in answer.text


def test_links_inside_the_project_are_followed(project: Path) -> None:
    (project / "last.out").symlink_to("Logs/run.out")
    opened = client(project)
    at = project_address(opened)
    assert "all is well" in opened.get(f"{at}/view/last.out").text
    saved = opened.get(f"{at}/file/Logs/run.out")
    assert saved.text == "all is well" and saved.headers["content-disposition"].startswith("attachment")
    assert saved.headers["content-type"] == "application/octet-stream"


def test_script_in_names(project: Path) -> None:
    bad = "<script>alert(1)</script>"
    (project / "config.yaml").write_text(f"title: '{bad}'\njobs: {{}}\n")
    (project / "Logs" / "a.txt").write_text(bad)
    (project / f"{bad.replace('/', '')}.star").write_text(f"data_{bad}\nloop_\n_rln{bad} #1\n_rlnMicrographName #2\n"
                                                          f"{bad} javascript:alert(1)\n")
    opened = client(project)
    at = project_address(opened)
    for page in ("overview", "view/Logs/a.txt", "view/%3Cscript%3Ealert(1)%3Cscript%3E.star", "job/%3Cscript%3E",
                 "runs", "space"):
        text = opened.get(f"{at}/{page}").text
        assert "<script>" not in text and 'href="javascript:' not in text and "&lt;script" in text, page


def test_a_project_that_is_gone_says_so(project: Path) -> None:
    opened = client(project.parent)
    at = project_address(opened)
    project.rename(project.parent.parent / "elsewhere")
    answer = opened.get(f"{at}/overview")
    assert answer.status_code == 409 and "Was it moved" in answer.text
