"""What goes wrong while a project is shown: a clear message in the page, and nothing lost."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, browser
from crawl import kind_of
from shown_project import make_project
from web_client import EDITING, TestClient, client, project_address

from cryosnake.cli import main
from cryosnake.io.mrc_writer import write_mrc

OWN = {"origin": "http://127.0.0.1:1"}
TAG = "<img src=x onerror=alert(1)>&amp;\"'"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shown"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_project(10)
    Path("config.yaml").write_text("jobs:\n  good: {type: select, particles: Class2D/job006/run_it025_data.star, "
                                   "classes: choose}\n")
    return folder


def words(opened: TestClient, page: str) -> tuple[int, str]:
    answer = opened.get(page)
    return answer.status_code, unescape(answer.text)


def test_a_project_that_is_deleted_or_renamed_while_shown_and_comes_back(project: Path) -> None:
    opened = client(project.parent)
    at = project_address(opened)
    pages = ("overview", "runs", "space", "job/Class2D/job006")
    assert all(opened.get(f"{at}/{page}").status_code == 200 for page in pages)
    os.chdir("/")
    elsewhere = project.rename(project.with_name("elsewhere"))
    for page in pages:
        status, text = words(opened, f"{at}/{page}")
        assert status == 409 and "Was it moved" in text, page
    assert opened.get(f"{at}/view/config.yaml").status_code == 404
    assert "elsewhere" in opened.get("/").headers["location"]  # under its new name, as another project
    elsewhere.rename(project)
    assert all(opened.get(f"{at}/{page}").status_code == 200 for page in pages)


def test_a_job_that_is_deleted_while_shown(project: Path) -> None:
    opened = client(project)
    at = project_address(opened)
    assert opened.get(f"{at}/job/Class2D/job006").status_code == 200
    shutil.rmtree("Class2D/job006")
    status, text = words(opened, f"{at}/job/Class2D/job006")
    assert status == 200 and "Its directory does not exist" in text
    assert main(["delete", "--yes", "InitialModel/job007"]) == 0
    assert words(opened, f"{at}/job/InitialModel/job007")[0] == 404
    assert words(opened, f"{at}/overview")[0] == 200


@pytest.mark.parametrize("damage", [b"", b"\0\xff" * 400, b"data_pipeline_general\n\nloop_\n_rlnA #1\n1 2 3\n"])
def test_a_damaged_pipeline_file_is_said_and_jobs_are_shown(project: Path, damage: bytes) -> None:
    Path("default_pipeline.star").write_bytes(damage)
    opened = client(project)
    at = project_address(opened)
    status, text = words(opened, f"{at}/overview")
    assert status == 200 and "default_pipeline.star" in text and "Class2D/job006" in text


@pytest.mark.parametrize("damage", [b"", b"\0\xff" * 800, b"data_\nloop_\n_rlnA #1\n_rlnB #2\n1 2\n3\n"])
def test_damaged_files_of_jobs_are_said_on_their_pages_only(project: Path, damage: bytes) -> None:
    opened = client(project)
    at = project_address(opened)
    Path("logfile.png").write_bytes(damage)
    for file in [*Path().glob("*/job*/*.star"), *Path().glob("*/job*/*.mrc*"), *Path().glob("*/job*/cryosnake.json")]:
        file.unlink()
        file.write_bytes(damage)
    assert words(opened, f"{at}/overview")[0] == 200
    for job in Path().glob("*/job*"):
        status, text = words(opened, f"{at}/job/{job}")
        assert status == 200 and "Traceback" not in text, job
        for file in job.iterdir():
            status, text = words(opened, f"{at}/view/{file}")
            assert status == 200 or (status == 409 and file.name in text), file
            assert "could not be made" not in text, file
    assert words(opened, f"{at}/view/logfile.png")[0] in (200, 409)


def test_names_that_look_like_html_are_text(project: Path) -> None:
    """Of a job, a file, a micrograph and the project; whatever page shows them."""
    name = TAG.replace("/", "")
    with open("config.yaml", "a") as config:
        config.write(f"title: {TAG!r}\n" if "'" not in TAG else f'title: "{TAG.replace(chr(34), "")}"\n')
    pipeline = Path("default_pipeline.star").read_text().replace("Class2D/class2d_6/", "Class2D/<b>class</b>/")
    Path("default_pipeline.star").write_text(pipeline)
    Path(f"{name}.txt").write_text(TAG)
    write_mrc("m.mrc", np.ones((20, 20), np.float32), 1.0)
    Path("m.mrc").rename(f"{name}.mrc")
    Path("Class2D/job006/run.out").unlink(missing_ok=True)
    Path("Class2D/job006/run.out").write_text(f"WARNING: {TAG}\n")
    table = Path("CtfFind/job003/micrographs_ctf.star").read_text().replace("Movies/m0001.mrc", "Movies/<b>1</b>.mrc")
    Path("CtfFind/job003/micrographs_ctf.star").unlink()
    Path("CtfFind/job003/micrographs_ctf.star").write_text(table)
    opened = client(project, access=EDITING)
    at = project_address(opened)
    links = re.findall(r'href="([^"#]+)"', opened.get(f"{at}/overview").text)
    pages = {kind_of(unescape(link).removeprefix(f"{at}/")): unescape(link) for link in links if at in link}
    files = [f"{at}/view/{quoted(f'{name}{end}')}" for end in (".txt", ".mrc")]
    for page in [*pages.values(), *files, f"{at}/job/Class2D/job006", f"{at}/job/{quoted(TAG)}",
                 f"{at}/view/CtfFind/job003/micrographs_ctf.star?word={quoted(TAG)}",
                 f"{at}/view/CtfFind/job003/micrographs_ctf.star", f"{at}/view/{quoted(TAG)}"]:
        text = opened.get(page).text
        assert "<img src=x" not in text and "<b>1</b>" not in text and "<b>class" not in text, page


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_while_saving_a_decision_is_said_and_the_file_is_as_it_was(
        project: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    Path("m").mkdir()
    opened = client(project, access=EDITING)
    at = project_address(opened)

    def form() -> dict[str, list[str]]:
        text = opened.get(f"{at}/choose/good").text
        return {name: [unescape(value)] for name, value in
                re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text)} | {"class": ["2", "7"]}

    assert opened.post(f"{at}/choose/good", data=form(), headers=OWN).status_code == 303
    before, again = Path("decisions/good.yaml").read_bytes(), form() | {"class": ["3"]}

    def full(path: Path, *_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        answer = opened.post(f"{at}/choose/good", data=again, headers=OWN)
    assert answer.status_code in (409, 507)
    assert os.strerror(code) in answer.text and "Nothing was written" in answer.text
    assert Path("decisions/good.yaml").read_bytes() == before
    assert sorted(path.name for path in Path("decisions").iterdir()) == ["good.yaml"]
    assert opened.post(f"{at}/choose/good", data=again, headers=OWN).status_code == 303


@pytest.fixture
def command(project: Path) -> list[str]:
    return [sys.executable, "-m", "cryosnake.cli", "web", str(project)]


@pytest.fixture
def window(chromedriver: str) -> Iterator[Browser]:
    with browser(chromedriver, (1280, 900), "--disable-3d-apis") as opened:
        yield opened


@contextlib.contextmanager
def started(command: list[str], port: str = "0") -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen([*command, "--port", port], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server, server.stdout.readline().strip()
        finally:
            server.kill()


def test_a_killed_server_is_said_in_the_page_which_goes_on_when_it_does(window: Browser, command: list[str]) -> None:
    """In a browser without WebGL besides: a map has its slices."""
    with started(command) as (_, address):
        window.go(address)
        window.wait("document.querySelector('.slices') && document.querySelector('.map .controls').hidden")
        window.run("window.mark = 1")
    said = "document.getElementById('live').textContent"
    window.wait(f"{said}.includes('No word from the server')", 20)
    with started(command, address.rpartition("/")[0].rpartition(":")[2]) as (_, again):
        window.wait(f"{said}.includes('open the address')", 20)
        assert window.run("return window.mark") == 1
        window.run("open(arguments[0])", again)  # in another tab
        window.wait("document.getElementById('live').hidden", 20)
