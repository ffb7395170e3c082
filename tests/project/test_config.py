"""config.yaml: what is read from it, and what is refused with which words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.project.config.config import ConfigError, fitting_output, parse_config
from cryosnake.project.config.lines import line_of
from cryosnake.project.records.record import JobRecord, same_job

MICROSCOPE = {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2}
GOOD: dict[str, Any] = {
    "title": "test", "microscope": MICROSCOPE, "batch_size": 5,
    "jobs": {
        "ctf": {"type": "ctffind", "micrographs": "motion"},
        "motion": {"type": "motioncorr", "movies": "movies", "patches": [3, 3]},
        "movies": {"type": "import", "movies": "Movies/*.tiff"},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    node = raw
    for parent in parents:
        node = node[parent]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return raw


def test_a_config_for_a_newer_cryosnake_is_refused_before_its_keys_are() -> None:
    assert parse_config(GOOD | {"version": "0.1"}) == parse_config(GOOD)
    with pytest.raises(ConfigError, match=r"^version: this config is for cryosnake 99\.0 or newer, and this is"):
        parse_config({"version": 99.0, "keys": "of the future"})


def test_jobs_are_sorted_by_their_connections_and_take_the_microscope() -> None:
    config = parse_config(GOOD)
    assert list(config.jobs) == ["movies", "motion", "ctf"]
    assert config.jobs["movies"].stated["voltage"] == 300.0
    assert config.jobs["motion"].parameters()["patches"] == [3, 3]
    assert config.jobs["motion"].connections["movies"].job == "movies"
    assert config.batch_size == 5


def test_the_project_says_for_all_jobs_which_iterations_are_kept_and_a_job_for_itself() -> None:
    raw = copy.deepcopy(GOOD) | {"keep_iterations": "last"}
    raw["jobs"]["classes"] = {"type": "class2d", "particles": "p.star", "particle_diameter": 100}
    raw["jobs"]["others"] = {**raw["jobs"]["classes"], "keep_iterations": "all"}
    config = parse_config(raw)
    assert config.jobs["classes"].parameters()["keep_iterations"] == "last"
    assert config.jobs["others"].parameters()["keep_iterations"] == "all"
    assert "keep_iterations" not in config.jobs["motion"].stated
    assert parse_config(GOOD | {"jobs": raw["jobs"]}).jobs["classes"].parameters()["keep_iterations"] == "all"
    record = JobRecord(type="class2d", name="classes", stated={"keep_iterations": "all"}, parameters={},
                       inputs={"particles": "p.star"}, version="", created=0.0)
    assert same_job(record, config.jobs["classes"].type, {"keep_iterations": "last"}, record.inputs)  # no new job


def test_a_file_can_fill_a_slot() -> None:
    config = parse_config(changed("jobs/ctf/micrographs", "other/micrographs.star"))
    assert config.jobs["ctf"].connections["micrographs"].path == "other/micrographs.star"


@pytest.mark.parametrize(("path", "value", "words"), [
    ("batchsize", 5, ["batchsize", "did you mean 'batch_size'"]),
    ("keep_iterations", "none", ["keep_iterations", "all, last"]),
    ("microscope/voltag", 5, ["microscope.voltag", "did you mean 'voltage'"]),
    ("microscope/voltage", None, ["jobs.movies", "voltage", "kV", "microscope"]),
    ("microscope/voltage", "high", ["microscope.voltage", "a number"]),
    ("jobs/motion/patchs", [5, 5], ["jobs.motion.patchs", "did you mean 'patches'"]),
    ("jobs/motion/patches", [5], ["list of 2 values"]),
    ("jobs/motion/patches", [0, 5], ["jobs.motion.patches[0]", "at least 1"]),
    ("jobs/motion/type", "motioncor", ["did you mean 'motioncorr'"]),
    ("jobs/motion/movies", "moviez", ["no job called 'moviez'", "did you mean 'movies'"]),
    ("jobs/motion/movies", "movies.maps", ["takes movies", "movies.movies"]),
    ("jobs/motion/movies", None, ["jobs.motion", "needs movies"]),
    ("jobs/ctf/micrographs", "movies", ["takes micrographs", "movies.movies (movies)"]),
    ("jobs/ctf/micrographs", "ctf", ["circle"]),
    ("jobs/motion/device", "cuda", ["one of auto, cpu, gpu"]),
    ("jobs", {}, ["there are no jobs"]),
    ("jobs/x", {"type": "import", "movies": "a"}, ["jobs.x", "alias", "short"]),
    ("jobs/job1", {"type": "import", "movies": "a"}, ["jobs.job1", "alias"]),
    ("batch_size", 0, ["batch_size", "at least 1"]),
    ("jobs/motion_join", {"type": "import", "movies": "a"}, ["jobs.motion_join", "choose another"]),
    ("jobs/motion/type", ["motioncorr"], ["there is no job type"]),
])
def test_mistakes_are_refused_with_a_remedy(path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(CryosnakeError) as refused:
        parse_config(changed(path, value))
    for word in words:
        assert word in str(refused.value)


def test_a_mistake_has_its_line(tmp_path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("title: x\njobs:\n  motion:\n    type: motioncorr\n    patches: [0, 1]\n")
    assert line_of(str(file), "jobs.motion.patches[0]") == 5
    assert line_of(str(file), "jobs.motion.missing") == 3
    assert line_of(str(file), "elsewhere") == 0
    file.write_text("theirs: 1\ncryosnake:\n  jobs:\n    motion: {patches: [3]}\n")  # of a workflow with a module
    assert line_of(str(file), "jobs.motion.patches") == 4 and line_of(str(file), "title") == 0


def test_the_key_of_a_mistake_is_known() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(changed("jobs/motion/patches", [5]))
    assert refused.value.key == "jobs.motion.patches"


def test_outputs_of_which_there_are_several_have_numbers() -> None:
    raw = copy.deepcopy(GOOD)
    raw["jobs"] = {
        "classes": {"type": "class3d", "particles": "p.star", "reference": "map.mrc", "particle_diameter": 100,
                    "classes": 3},
        "refine": {"type": "refine3d", "particles": "classes", "reference": "classes.class2", "particle_diameter": 100},
    }
    jobs = parse_config(raw).jobs
    chosen = fitting_output(jobs["classes"], jobs["refine"].type.slot("reference"), "class2")
    assert chosen is not None and chosen.file.format(**jobs["classes"].parameters()) == "run_it025_class002.mrc"
    assert [o.name for o in jobs["classes"].type.all_outputs({"classes": 3})] == [
        "particles", "optimiser", "class1", "class2", "class3", "model"]
    raw["jobs"]["refine"]["reference"] = "classes.class4"
    with pytest.raises(ConfigError, match=r"offers .*classes\.class3 \(map\)"):
        parse_config(raw)
