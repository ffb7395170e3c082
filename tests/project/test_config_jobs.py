"""Jobs that are added to config.yaml, changed and removed: its comments and layout stay."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small_history import make_project

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.project.actions.config_edit import change_job
from cryosnake.project.building.config_jobs import add_job, remove_job, values_of
from cryosnake.project.config.config import ConfigError, parse_config
from cryosnake.project.config.text_edits import (
    ChangedMeanwhileError,
    check_changed,
    config_stamp,
    edited,
    new_item,
    without,
)

FILE = Path("config.yaml")
EXAMPLE = (Path(__file__).resolve().parents[2] / "config.yaml").read_text(encoding="utf-8")
BLOCKS = """\
# mine
microscope: {voltage: 300, spherical_aberration: 2.7, pixel_size: 1.0, dose_per_frame: 1.2}
workspaces:
  first: [motion, ctf]
  second:
    - ctf  # only this
jobs:
  movies:   # the movies
    type: import
    movies: "Movies/*.tiff"   # all
  motion:
    type: motioncorr
    # of the first day
    movies: movies
    patches:
      - 5
      - 5   # more is slower

  ctf:
    type: ctffind
    micrographs: motion
    # the end of ctf
# the end of all
"""

@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def differences(before: str) -> tuple[list[str], list[str]]:
    """Return the lines that went and those that came."""
    lines = list(difflib.ndiff(before.splitlines(), FILE.read_text(encoding="utf-8").splitlines()))
    return [line[2:] for line in lines if line[0] == "-"], [line[2:] for line in lines if line[0] == "+"]


def test_a_job_comes_in_as_the_others_are_written() -> None:
    FILE.write_text(EXAMPLE, encoding="utf-8")
    lines = add_job("more", "class2d", {"particles": "good.particles", "particle_diameter": 200, "iterations": 40})
    gone, come = differences(EXAMPLE)
    assert (gone, come) == ([], ["  more:      {type: class2d, particles: good.particles, particle_diameter: 200, "
                                 "iterations: 40}"])
    assert FILE.read_text(encoding="utf-8").splitlines()[lines[0] - 1] == come[0]
    FILE.write_text(BLOCKS)
    add_job("picks", "autopick", {"micrographs": "ctf", "method": "log", "diameter": [150, 180]})
    assert differences(BLOCKS) == ([], ["  picks:", "    type: autopick", "    micrographs: ctf", "    method: log",
                                        "    diameter: [150, 180]"])


def test_a_config_begins_with_its_first_job(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["add", "movies", "import", "movies=*.tiff", "voltage=300", "spherical_aberration=2.7"]
    assert main(words) == 1
    assert "import needs pixel_size (Å)" in capsys.readouterr().err
    assert not FILE.exists()
    assert main([*words, "pixel_size=1"]) == 0
    assert main(["add", "motion", "motioncorr", "movies=movies", "dose_per_frame=1", "patches=5,5"]) == 0
    motion = parse_config(yaml.safe_load(FILE.read_text())).jobs["motion"]
    assert motion.stated["patches"] == [5, 5]
    assert motion.connections["movies"].job == "movies"
    for begun in ("# only words\n", "title: x", "title: x\njobs:  # none yet\n", "jobs: {}  # none\ntitle: x\n",
                  "jobs: {}"):
        FILE.write_text(begun)
        assert main([*words, "pixel_size=1"]) == 0, begun
        assert all(part in FILE.read_text() for part in begun.replace(": {}", ":").split())


def test_a_change_touches_nothing_else() -> None:
    FILE.write_text(BLOCKS)
    assert change_job("motion", {"patches": [7, 7], "dose_per_frame": 1.5}, made_from=config_stamp())
    gone, come = differences(BLOCKS)
    assert gone == ["      - 5", "      - 5   # more is slower"]
    assert come == ["      [7, 7]   # more is slower", "    dose_per_frame: 1.5"]
    FILE.write_text(EXAMPLE, encoding="utf-8")
    change_job("fine", {"initial_lowpass": 20}, ["symmetry", "sampling"])
    now = yaml.safe_load(FILE.read_text(encoding="utf-8"))["jobs"]["fine"]
    assert now == {"type": "refine3d", "particles": "unbinned", "reference": "refine.map", "initial_lowpass": 20,
                   "particle_diameter": 200}
    assert len(differences(EXAMPLE)[0]) == 2
    assert change_job("fine", {"initial_lowpass": 20}, ["symmetry"]) == []
    with pytest.raises(CryosnakeError, match="another type is another job"):
        change_job("fine", {"type": "class3d"})
    with pytest.raises(ConfigError, match="must be at least"):
        change_job("fine", {"initial_lowpass": -3})


def test_a_job_goes_and_its_files_stay() -> None:
    FILE.write_text(BLOCKS)
    with pytest.raises(CryosnakeError, match="motion is used by ctf; connect this to another job"):
        remove_job("motion")
    said = remove_job("ctf")
    assert differences(BLOCKS)[0] == ["  first: [motion, ctf]", "    - ctf  # only this", "  ctf:", "    type: ctffind",
                                      "    micrographs: motion"]
    assert "    []  # only this" in FILE.read_text()
    assert said[-1] == "it has no directory: nothing stays on the disk"
    remove_job("motion")
    with pytest.raises(CryosnakeError, match="only job"):
        remove_job("movies")
    assert "# all" in FILE.read_text()


def test_what_a_removed_job_made_is_named() -> None:
    make_project("classes", "good", "start", "refine", "mask")
    said = remove_job("mask")
    assert "stays with all its files; `cryosnake delete" in said[1]
    assert Path(said[1].split()[0]).is_dir()


def test_two_writers() -> None:
    FILE.write_text(EXAMPLE, encoding="utf-8")
    stamp = config_stamp()
    change_job("fine", {"initial_lowpass": 20}, made_from=stamp)
    saved = FILE.read_bytes()
    for write in (lambda: change_job("fine", {"initial_lowpass": 30}, made_from=stamp),
                  lambda: remove_job("local", made_from=stamp),
                  lambda: add_job("xx", "maskcreate", {"map": "fine.map"}, made_from=stamp)):
        with pytest.raises(ChangedMeanwhileError, match="has changed since"):
            write()
    assert FILE.read_bytes() == saved


@pytest.mark.parametrize("name", ["movies", "a.b", "a/b", "7", "job012", "x", "", "with space", "-a"])
def test_names_that_no_job_can_have(name: str) -> None:
    FILE.write_text(EXAMPLE, encoding="utf-8")
    with pytest.raises(ConfigError):
        add_job(name, "maskcreate", {"map": "fine.map"})
    assert FILE.read_text(encoding="utf-8") == EXAMPLE


def test_values_are_read_as_yaml_and_texts_as_they_stand() -> None:
    values, unset = values_of("import", [("movies", "*.tiff"), ("voltage", "3e2"), ("optics_group", "1"), ("mtf", " ")])
    assert (values, unset) == ({"movies": "*.tiff", "voltage": "3e2", "optics_group": "1"}, ["mtf"])
    values, _ = values_of("refine3d", [("particles", "[a, b.particles]"), ("pictures", "false")])
    assert values == {"particles": ["a", "b.particles"], "pictures": False}
    with pytest.raises(ConfigError, match="did you mean 'particles'"):
        values_of("class2d", [("partcles", "a")])
    with pytest.raises(ConfigError, match="is not YAML"):
        values_of("autopick", [("diameter", "[1, ")])


def test_a_config_that_no_program_can_change_stays(folder: Path) -> None:
    text = EXAMPLE.replace("{type: localres, half_maps: fine.half_maps, mask: mask}",
                           "&local {type: localres, half_maps: fine.half_maps, mask: mask}\n  again: *local")
    FILE.write_text(text, encoding="utf-8")
    with pytest.raises(CryosnakeError, match="by hand, line"):
        change_job("again", {"mask": "mask.mrc"})
    assert FILE.read_text(encoding="utf-8") == text


names = st.from_regex(r"[a-z]{2,9}", fullmatch=True)
scalars = st.one_of(st.booleans(), st.integers(-5, 500),
                     st.sampled_from(["a b", "x: y", "[", "#", "yes", "é, {}", "*.t"]))
bodies = st.dictionaries(names, st.one_of(scalars, st.lists(scalars, max_size=3)), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(names, bodies, min_size=1, max_size=4), names, bodies, st.booleans(), st.booleans())
def test_any_entry_comes_and_goes(jobs: dict[str, Any], name: str, body: dict[str, Any], flow: bool,
                                  ends: bool) -> None:
    """The text edits alone, on entries of any shape: what is added is there, and gone again when it is removed."""
    text = f"# first\n{yaml.safe_dump({'jobs': jobs}, default_flow_style=None if flow else False)}"
    text = text + "# last\n" if ends else text.rstrip("\n")
    new = edited(text, [new_item(text, f"{name}_new", body)])
    assert yaml.safe_load(new)["jobs"] == {**jobs, f"{name}_new": body}
    assert all(comment in new for comment in ("# first", "# last")[:1 + ends])
    again = without(new, ("jobs",), f"{name}_new")
    assert yaml.safe_load(again)["jobs"] == jobs
    assert again.rstrip("\n") == text.rstrip("\n")
    for key in jobs:
        if len(jobs) > 1:
            assert yaml.safe_load(without(text, ("jobs",), key))["jobs"] == {k: v for k, v in jobs.items() if k != key}


def test_what_the_new_text_says_is_checked() -> None:
    raw = yaml.safe_load(EXAMPLE)
    with pytest.raises(CryosnakeError, match="by hand"):
        check_changed(EXAMPLE, EXAMPLE + "title: other\n", raw)
