"""Clean-up, the Trash, and what is done to a job, by pages: shown first, refused when it has changed since."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shown_project import make_project
from web_client import EDITING, TestClient, client, project_address

from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.building.clean_up import choose_cleanup
from cryosnake.project.records.final_marks import is_final
from cryosnake.project.records.own_trash import trash_stamp

HERE = {"origin": "http://127.0.0.1:1"}
FIRST, SECOND = "MaskCreate/job009/", "PostProcess/job010/"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cleaned"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_project(10)
    update_pipeline(folder, lambda before: set_status(before, SECOND, Status.FAILED))
    set_exit(folder / SECOND, Status.FAILED)
    return folder


@pytest.fixture
def opened(folder: Path) -> TestClient:
    return client(folder, access=EDITING)


@pytest.fixture
def at(opened: TestClient) -> str:
    return project_address(opened)


def stamp_in(text: str) -> str:
    return re.findall(r'name="stamp" value="([^"]*)"', text)[-1]


def test_what_is_ticked_goes_to_the_trash_and_comes_back(opened: TestClient, at: str, folder: Path) -> None:
    nothing = opened.get(f"{at}/cleanup").text
    assert "Nothing is ticked" in nothing
    for tab in ("Estimate", "Preprocessing", "Intermediate", "Non-final", "Failed", "Trash"):
        assert f"<h2>{tab}</h2>" in nothing
    shown = opened.get(f"{at}/cleanup?tick=delete_failed").text
    assert "cryosnake cleanup --delete-failed --apply" in shown
    form = {"tick": "delete_failed", "stamp": stamp_in(shown), "workspace": ""}
    answer = opened.post(f"{at}/cleanup/apply", data=form, headers=HERE)
    assert answer.status_code == 303
    assert not (folder / SECOND).exists()
    listed = opened.get(answer.headers["location"]).text
    assert f"deleted: {SECOND}" in listed
    back = opened.post(f"{at}/cleanup/restore", data={"job": SECOND.rstrip("/"), "what": "job"}, headers=HERE)
    assert back.status_code == 303
    assert (folder / SECOND / "postprocess_masked.mrc").exists()
    opened.post(f"{at}/cleanup/apply", data={**form, "stamp": choose_cleanup(["delete_failed"]).stamp}, headers=HERE)
    late = opened.post(f"{at}/cleanup/empty", data={"stamp": form["stamp"]}, headers=HERE)
    assert late.status_code == 409 and "other files are in the Trash" in late.text and any(Path("Trash").rglob("*.mrc"))
    seen = {"stamp": trash_stamp()}
    assert seen["stamp"] in opened.get(f"{at}/cleanup").text
    assert "The Trash is empty" in opened.get(
        opened.post(f"{at}/cleanup/empty", data=seen, headers=HERE).headers["location"]).text
    assert not any((folder / "Trash").rglob("*.mrc"))


def test_a_plan_that_has_changed_is_refused(opened: TestClient, at: str, folder: Path) -> None:
    stamp = stamp_in(opened.get(f"{at}/cleanup?tick=delete_failed").text)
    (folder / SECOND / "more.mrc").write_bytes(b"1" * 99)
    answer = opened.post(f"{at}/cleanup/apply", data={"tick": "delete_failed", "stamp": stamp}, headers=HERE)
    assert answer.status_code == 409
    assert "have changed since" in answer.text
    assert (folder / SECOND).exists()
    stamp = stamp_in(opened.get(f"{at}/delete/{FIRST}").text)
    assert stamp == f"{FIRST},{SECOND}"
    assert opened.post(f"{at}/delete/{FIRST}", data={"stamp": FIRST}, headers=HERE).status_code == 409
    assert opened.post(f"{at}/delete/{FIRST}", data={"stamp": stamp}, headers=HERE).status_code == 303
    assert not (folder / FIRST).exists() and not (folder / SECOND).exists()


def test_a_page_that_only_shows_writes_nothing(folder: Path) -> None:
    shown = client(folder)
    at = project_address(shown)
    before = sorted(folder.rglob("*"))
    for page in (f"{at}/cleanup?tick=delete_failed&refresh=1", f"{at}/delete/{FIRST}", f"{at}/job/{FIRST}"):
        answer = shown.get(page)
        assert answer.status_code == 200
        assert 'method="post"' not in answer.text
    assert sorted(folder.rglob("*")) == before
    for page in ("cleanup/apply", "cleanup/empty", f"delete/{FIRST}", f"act/{FIRST}"):
        assert shown.post(f"{at}/{page}", data={"do": "mark", "as": "final"}, headers=HERE).status_code == 405


def test_what_is_done_to_a_job(opened: TestClient, at: str, folder: Path) -> None:
    def act(job: str, **form: str) -> str:
        answer = opened.post(f"{at}/act/{job}", data=form, headers=HERE)
        return opened.get(answer.headers["location"]).text if answer.status_code == 303 else \
            f"{answer.status_code} {answer.text}"

    assert "final: no clean-up removes it" in act(FIRST, do="mark", **{"as": "final"})
    assert is_final(FIRST.rstrip("/"))
    assert "no longer final" in act(FIRST, do="mark", **{"as": "not-final"})
    act(SECOND, do="mark", **{"as": "finished"})
    assert read_pipeline("default_pipeline.star").processes[SECOND].status == Status.SUCCEEDED
    assert "alias first_try" in act(FIRST, do="alias", alias="first_try")
    assert act(FIRST, do="alias", alias="a/b").startswith("409 ")
    assert act(FIRST, do="abort").startswith("409 ")
    assert act(FIRST, do="continue", iterations="many").startswith("409 ")
    assert act(FIRST, do="burn").startswith("409 ")
    page = opened.get(f"{at}/job/{FIRST}").text
    stamp = re.findall(r'name="stamp" value="([^"]*)"', page)[0]
    assert "note.txt is saved" in act(FIRST, do="note", text="ours\r\nnow", stamp=stamp)
    assert (folder / FIRST / "note.txt").read_text() == "ours\nnow"
    assert "has changed since" in act(FIRST, do="note", text="mine", stamp=stamp)
    assert (folder / FIRST / "note.txt").read_text() == "ours\nnow"
