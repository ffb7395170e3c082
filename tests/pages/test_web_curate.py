"""Curating in the browser: the server's answers, and a real browser in which limits and flags are set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, browser, dashboard
from shown_project import make_project
from web_client import EDITING, client, need_server, project_address

from cryosnake.io.mrc_writer import write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.project.config.curation import read_curation

need_server()
_LEFT, _RIGHT, _HOME = "\ue012", "\ue014", "\ue011"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty micrographs with their CTF, the first eight of them with images."""
    folder = tmp_path / "shown"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_project(10)
    Path("Movies").mkdir()
    for number in range(8):
        write_mrc(f"Movies/m{number:04d}.mrc", np.random.default_rng(0).normal(size=(60, 80)).astype(np.float32), 1.5)
    Path("config.yaml").write_text("title: shown\njobs:\n  curate: {type: curate, limits: {rlnCtfMaxResolution: ..6}, "
                                   "micrographs: CtfFind/job003/micrographs_ctf.star}\n")
    return folder


def form(stamp: str, **flags: str) -> dict[str, str]:
    return {"stamp": stamp, "limits": json.dumps({"rlnDefocusU": "9000.."}),
            "flags": json.dumps({f"Movies/{name}": state for name, state in flags.items()})}


def test_what_is_saved_is_what_the_command_writes_and_the_second_is_refused(project: Path) -> None:
    opened = client(project, access=EDITING)
    at, origin = project_address(opened), {"origin": "http://127.0.0.1:1"}
    assert "Curate micrographs for curate" in opened.get(f"{at}/curate/curate").text
    data = opened.get(f"{at}/curated/curate").json()
    assert data["limits"] == {"rlnCtfMaxResolution": "..6"} and len(data["names"]) == 60
    assert [len(one["values"]) for one in data["columns"]] == [60] * 4
    assert opened.get(data["images"][0]).headers["content-type"] == "image/png"
    address, stamp = f"{at}/curate/curate", data["stamp"]
    assert opened.post(address, data=form(stamp, m0001="reject"), headers=origin).status_code == 200
    found = read_curation("curate")
    assert found.limits == {"rlnDefocusU": "9000.."} and found.flags["Movies/m0001"].state == "reject"
    before = Path("decisions/curate.flags.yaml").read_bytes()
    late = opened.post(address, data=form(stamp, m0002="reject"), headers=origin)
    assert late.status_code == 409 and "somebody else has saved" in late.text
    now = opened.get(f"{at}/curated/curate").json()["stamp"]
    for wrong in (form(now, nobody="reject"), {**form(now), "limits": '{"rlnDefocusU": "x"}'}, {"stamp": now},
                  {**form(now), "limits": '{"rlnNone": "..1"}'}, {**form(now), "flags": "[]"}):
        assert opened.post(address, data=wrong, headers=origin).status_code == 409
    assert Path("decisions/curate.flags.yaml").read_bytes() == before
    assert client(project).post(address, data=form(now), headers=origin).status_code == 405


def test_a_limit_on_a_column_of_equal_values_is_shown(project: Path) -> None:
    star = project / "CtfFind/job003/micrographs_ctf.star"
    tables = read_star(star)
    star.unlink()
    write_star(star, {**tables, "micrographs": tables["micrographs"].assign(rlnCtfMaxResolution=5.0)})
    opened = client(project, access=EDITING)
    data = opened.get(f"{project_address(opened)}/curated/curate").json()
    [column] = [one for one in data["columns"] if one["label"] == "rlnCtfMaxResolution"]
    assert set(column["values"]) == {5.0} and data["limits"] == {"rlnCtfMaxResolution": "..6"}


def test_what_was_left_out_in_relion_is_shown_and_taken_over(window: Browser, project: Path) -> None:
    first = accepted(window)
    ticks = Path("ManualPick/job021/local_selection.star")
    ticks.parent.mkdir(parents=True)
    names = read_star("CtfFind/job003/micrographs_ctf.star")["micrographs"]["rlnMicrographName"]
    write_star(ticks.with_name("micrographs_selected.star"), {"micrographs": names[3:].to_frame()})
    write_star(ticks, {"": names.to_frame().assign(rlnSelected=[0, 0, 0] + [1] * (len(names) - 3))})
    window.run("location.reload()")
    window.wait("document.querySelector('.relion')?.textContent.includes('Left out in ManualPick/job021')")
    window.run("document.querySelector('.relion button').click()")
    assert "--reject" in str(window.run("return document.querySelector('.command').textContent"))
    window.run("document.querySelector('.save').click()")
    window.wait("document.querySelector('.saved').textContent.startsWith('Saved')")
    assert accepted(window) <= first
    assert [one.state for one in read_curation("curate").flags.values()] == ["reject"] * 3


@pytest.fixture
def window(chromedriver: str, project: Path) -> Iterator[Browser]:
    with dashboard(project) as address, browser(chromedriver) as opened:
        opened.go(address)
        at = str(opened.wait("location.pathname.endsWith('/overview') && location.href")).removesuffix("/overview")
        opened.go(f"{at}/curate/curate")
        opened.wait("document.querySelector('.curate').dataset.ready")
        yield opened


def accepted(window: Browser) -> int:
    return int(window.run("return document.querySelector('.accepted').textContent").split(" of ")[0])


def test_limits_move_by_mouse_and_keys_and_flags_by_keys(window: Browser, project: Path) -> None:
    low = ".limits[data-label=rlnDefocusU] input[type=range].low"
    first = accepted(window)
    window.move_to(low, drag=(20, 0))
    window.wait(f"parseInt(document.querySelector('.accepted').textContent) < {first}")
    dragged = accepted(window)
    window.run(f"document.querySelector('{low}').focus()")
    window.press(*[_LEFT] * 400)
    window.wait(f"parseInt(document.querySelector('.accepted').textContent) > {dragged}")
    window.press(_HOME)
    window.wait(f"parseInt(document.querySelector('.accepted').textContent) === {first}")

    # two are rejected by eye, by keys alone; a batch that arrives meanwhile does not lose them
    window.run("const which = document.querySelector('.which'); which.value = 'accepted'; "
               "which.dispatchEvent(new Event('change')); document.querySelector('.looked button').focus()")
    window.press("r", "r", "a", "u", _RIGHT, _LEFT)
    window.wait(f"parseInt(document.querySelector('.accepted').textContent) === {first - 2}")
    star = project / "CtfFind/job003/micrographs_ctf.star"
    tables = read_star(star)
    more = tables["micrographs"].iloc[[0]].assign(rlnMicrographName="Movies/m9999.mrc", rlnCtfMaxResolution=4.0)
    table = tables["micrographs"]
    star.unlink()
    write_star(star, {**tables, "micrographs": type(table)([*table.to_dict("records"), *more.to_dict("records")])})
    window.wait("document.querySelector('.curate').dataset.ready === '61'")
    assert accepted(window) == first - 1
    assert "--reject" in window.run("return document.querySelector('.command').textContent")
    window.run("document.querySelector('.save').click()")
    window.wait("document.querySelector('.saved').textContent.startsWith('Saved')")
    flags = read_curation("curate").flags
    assert [flag.state for flag in flags.values()].count("reject") == 2

    # somebody else saves: nothing of ours is lost
    window.press("r")
    (project / "decisions/curate.flags.yaml").write_text("job: curate\nflags: {}\n")
    window.wait("document.querySelector('.saved').textContent.includes('omebody else has saved')")
    window.run("document.querySelector('.save').click()")
    window.wait("document.querySelector('.saved').textContent.includes('Not saved')")
    assert read_curation("curate").flags == {}
    assert "--reject" in window.run("return document.querySelector('.command').textContent")
    assert [line for line in window.log() if "409" not in line and "404" not in line] == []
