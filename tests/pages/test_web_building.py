"""The job builder's pages without a browser: forms, who may write, what is refused, a config with mistakes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import yaml
from web_client import EDITING, TestClient, client, project_address

from cryosnake.pipeline.files import PIPELINE_FILE, write_pipeline
from cryosnake.pipeline.model import Pipeline
from cryosnake.project.building.starting import started_run
from cryosnake.project.config.text_edits import config_stamp
from cryosnake.project.locks.snakemake_lock import claim_run
from cryosnake.project.records.archive import archive

HERE = {"origin": "http://127.0.0.1:1"}
CONFIG = """\
# mine
microscope: {voltage: 300, spherical_aberration: 2.7, pixel_size: 1.5, dose_per_frame: 1.2}
jobs:
  movies: {type: import, movies: "Movies/*.tiff"}
  motion: {type: motioncorr, movies: movies, patches: [3, 3]}   # few
  ctf:    {type: ctffind, micrographs: motion}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "built"
    (folder / "Movies").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def opened(folder: Path) -> TestClient:
    return client(folder, access=EDITING)


@pytest.fixture
def at(opened: TestClient) -> str:
    return project_address(opened)


def save(opened: TestClient, at: str, name: str = "picks", **texts: str) -> tuple[int, str]:
    form = {"stamp": config_stamp(), "changes": "0", "name": name, "micrographs": "ctf", "method": "log",
            "diameter": "150, 180"} | texts
    answer = opened.post(f"{at}/build/save/autopick", data=form, headers=HERE)
    return answer.status_code, answer.text


def test_only_what_fits_is_offered_newest_first(opened: TestClient, at: str) -> None:
    text = opened.get(f"{at}/build/new/autopick").text
    offers = text.partition('id="f-micrographs"')[2].partition("</select>")[0]
    assert offers.index('value="ctf"') < offers.index('value="motion"')
    assert 'value="movies"' not in offers
    assert "Å" in text and "needed" in text
    assert "300, from microscope" in opened.get(f"{at}/build/new/import").text


def test_a_job_is_written_with_comments_kept(opened: TestClient, at: str, folder: Path) -> None:
    assert save(opened, at)[0] == 303
    added = "  picks:  {type: autopick, micrographs: ctf, method: log, diameter: [150, 180]}\n"
    assert (folder / "config.yaml").read_text() == CONFIG + added


def test_a_job_is_changed_and_says_what_follows(opened: TestClient, at: str, folder: Path) -> None:
    form = {"stamp": config_stamp(), "changes": "1", "name": "motion", "movies": "movies", "patches": "5, 5"}
    found = opened.get(f"{at}/build/check/motioncorr", params=form).json()
    assert found["number"] and found["follow"] == ["ctf"]
    assert found["command"] == "cryosnake set motion 'patches=[5, 5]'"
    assert opened.post(f"{at}/build/save/motioncorr", data=form, headers=HERE).status_code == 303
    assert (folder / "config.yaml").read_text() == CONFIG.replace("[3, 3]", "[5, 5]")
    found = opened.get(f"{at}/build/check/motioncorr", params={**form, "device": "cpu"}).json()
    assert not found["number"]  # where it is computed changes no result
    assert "diameter" not in opened.get(f"{at}/build/new/motioncorr?like=motion").text
    assert 'value="motion_2"' in opened.get(f"{at}/build/new/motioncorr?like=motion").text


def test_mistakes_stand_at_their_fields(opened: TestClient, at: str, folder: Path) -> None:
    def problems(**texts: str) -> dict[str, str]:
        answer = opened.get(f"{at}/build/check/class2d", params={"name": "x2", "changes": "0", **texts}).json()
        return {name: words for name, words in answer["problems"].items() if words}

    assert problems() == {"particles": "is needed: particles", "particle_diameter": "is needed"}
    assert "takes particles" in problems(particles="ctf", particle_diameter="200")["particles"]
    found = problems(particles="p.star", particle_diameter="200", iterations="many")
    assert "must be a whole number" in found["iterations"]
    assert "there is a job called" in problems(name="ctf", particles="p.star", particle_diameter="200")["name"]
    code, text = save(opened, at, diameter="[1, ")
    assert code == 422
    assert "is not YAML" in text
    assert (folder / "config.yaml").read_text() == CONFIG


def test_who_may_write(opened: TestClient, at: str, folder: Path) -> None:
    form = {"stamp": config_stamp(), "changes": "0", "name": "picks", "micrographs": "ctf", "diameter": "150, 180"}
    for page in ("build/save/autopick", "build/remove", "start", "stop"):
        assert opened.post(f"{at}/{page}", data=form, headers={"origin": "http://evil.example"}).status_code == 403
        assert opened.post(f"{at}/{page}", data=form).status_code == 403
        assert client(folder).post(f"{at}/{page}", data=form, headers=HERE).status_code == 405
    assert "--edit" in client(folder).get(f"{at}/build/new/autopick").text
    assert (folder / "config.yaml").read_text() == CONFIG


def test_two_tabs(opened: TestClient, at: str, folder: Path) -> None:
    stamp = config_stamp()
    assert save(opened, at)[0] == 303
    written = (folder / "config.yaml").read_text()
    code, text = save(opened, at, "others", stamp=stamp, diameter="100, 120")
    assert code == 409
    assert "has changed since" in text
    assert 'value="100, 120"' in text  # nothing typed is lost
    assert opened.post(f"{at}/build/remove", data={"stamp": stamp, "name": "picks"}, headers=HERE).status_code == 409
    assert (folder / "config.yaml").read_text() == written


def test_a_full_disk(opened: TestClient, at: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cryosnake.atomic.flush", full)
    code, text = save(opened, at)
    assert code == 409
    assert "No space left on device" in text and 'value="150, 180"' in text
    assert (folder / "config.yaml").read_text() == CONFIG
    assert sorted(path.name for path in folder.iterdir()) == ["Movies", "config.yaml"]


def test_a_job_is_removed(opened: TestClient, at: str, folder: Path) -> None:
    assert "cryosnake remove ctf" in opened.get(f"{at}/build").text
    assert "cryosnake remove motion" not in opened.get(f"{at}/build").text
    answer = opened.post(f"{at}/build/remove", data={"stamp": config_stamp(), "name": "ctf"}, headers=HERE)
    assert "ctf is gone" in opened.get(answer.headers["location"]).text
    assert list(yaml.safe_load((folder / "config.yaml").read_text())["jobs"]) == ["movies", "motion"]


@pytest.mark.parametrize(("text", "words"), [
    (CONFIG.replace("micrographs: motion", "micrographs: moton"), "config.yaml, line 6: jobs.ctf.micrographs"),
    (CONFIG + "  bad: [1, 2\n", "is not YAML")])
def test_a_config_with_mistakes(opened: TestClient, at: str, folder: Path, text: str, words: str) -> None:
    (folder / "config.yaml").write_text(text)
    for page in ("build", "build/new/autopick", "preview"):
        answer = opened.get(f"{at}/{page}")
        assert (answer.status_code, words in answer.text) == (200, True), page
    assert save(opened, at)[0] in (409, 422)
    assert (folder / "config.yaml").read_text() == text


def test_without_a_config(opened: TestClient, at: str, folder: Path) -> None:
    write_pipeline(PIPELINE_FILE, Pipeline())
    (folder / "config.yaml").unlink()
    assert "add a job" in opened.get(f"{at}/preview").text
    form = {"stamp": "", "changes": "0", "name": "movies", "movies": "Movies/*.tiff", "voltage": "300",
            "spherical_aberration": "2.7", "pixel_size": "1"}
    assert opened.get(f"{at}/build/new/import").status_code == 200
    assert opened.post(f"{at}/build/save/import", data=form, headers=HERE).status_code == 303
    assert yaml.safe_load((folder / "config.yaml").read_text())["jobs"]["movies"]["voltage"] == 300


def test_a_second_run_and_an_archived_project_are_refused(opened: TestClient, at: str, folder: Path) -> None:
    claim_run()
    answer = opened.post(f"{at}/start", data={}, headers=HERE)
    assert answer.status_code == 409
    assert "another run works in this project (process" in answer.text
    archive_text = opened.post(f"{at}/start", data={"cores": "many"}, headers=HERE).text
    assert "no number of cores" in archive_text
    archive()
    assert "archived" in opened.post(f"{at}/start", data={}, headers=HERE).text
    assert started_run() is None
