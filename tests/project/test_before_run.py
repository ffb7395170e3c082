"""What is refused before anything runs: files that the config names, values, and lengths that do not fit."""

from __future__ import annotations

import copy
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_plan import finish_all

from cryosnake.io.movies import write_movie_tiff
from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.kinds.files import DEFECTS, ITERATION, MTF, FileKind, Format
from cryosnake.jobs.kinds.values import even
from cryosnake.jobs.model import MAP, PARTICLES, JobType, Output, Parameter, Slot
from cryosnake.jobs.registry import job_types
from cryosnake.project.config.config import ConfigError, parse_config
from cryosnake.project.planning import named_files
from cryosnake.project.planning.before_run import doubts, refuse_unusable
from cryosnake.project.planning.named_files import file_problem
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Plan
from cryosnake.project.run.commit import commit

RAW: dict[str, Any] = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 2.0, "dose_per_frame": 1.2},
    "jobs": {
        "movies": {"type": "import", "movies": "Movies/*.mrcs"},
        "motion": {"type": "motioncorr", "movies": "movies"},
        "ctf": {"type": "ctffind", "micrographs": "motion"},
        "picks": {"type": "autopick", "micrographs": "ctf", "diameter": [40, 60]},
        "boxes": {"type": "extract", "micrographs": "ctf", "coordinates": "picks", "box_size": 40, "rescale": 20},
        "classes": {"type": "class2d", "particles": "boxes", "particle_diameter": 70},
        "refine": {"type": "refine3d", "particles": "boxes", "reference": "ref.mrc", "particle_diameter": 70},
    },
}
WIDTH, HEIGHT = 72, 60


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("Movies").mkdir()
    for name in ("m1", "m2"):
        write_mrc(f"Movies/{name}.mrcs", np.zeros((3, HEIGHT, WIDTH), np.float32), 2.0, stack=True)
        os.utime(f"Movies/{name}.mrcs", (1e9, 1e9))
    write_mrc("gain.mrc", np.ones((HEIGHT, WIDTH), np.float32), 2.0)
    write_mrc("ref.mrc", np.ones((20, 20, 20), np.float32), 4.0)
    return tmp_path


def config(job: str = "", microscope: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    raw["microscope"] |= microscope or {}
    if job:
        raw["jobs"].setdefault(job, {}).update(changes)
    return raw


def planned(raw: dict[str, Any]) -> Plan:
    plan = make_plan(parse_config(raw))
    refuse_unusable(plan)
    return plan


def refused(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        planned(raw)
    return str(error.value)


@pytest.mark.parametrize(("job", "parameter", "value", "words"), [
    *[("refine", "symmetry", value, "must be a point group") for value in ("D2x", "C0", "Td", "", "D", "C-1")],
    ("refine", "symmetry", "I5", "one of I1 to I4"),
    ("boxes", "rescale", 21, "must be even: 20 or 22"), ("boxes", "box_size", 41, "must be even"),
    ("boxes", "rescale", 64, r"rescale \(64\) must not be above box_size \(40\)"),
    ("boxes", "background_diameter", 44, "must not be above box_size"), ("ctf", "box", 511, "must be even"),
    ("picks", "diameter", [180, 140], r"smaller value first: \[140, 180\]"), ("picks", "symmetry", "X", "point group"),
    ("ctf", "dfmin", 60000, r"dfmin \(60000\) must not be above dfmax \(50000\)"), ("ctf", "resmax", 40, "resmin"),
    ("ctf", "dfmax", 1500, "dfmin .2000. must not be above dfmax"), ("ctf", "phase_max", -1, "between 0 and 180"),
    ("motion", "gain_rotation", 45, "must be 0, 90, 180 or 270"), ("motion", "last_frame", -2, "at least -1"),
    ("refine", "gpu_ids", "all", "numbers of GPUs"), ("refine", "particle_diameter", float("inf"), "must be a finite"),
    ("movies", "pixel_size", float("nan"), "a finite number"), ("movies", "pixel_size", float("inf"), "finite"),
    ("movies", "voltage", 300000, "between 10 and 3000"), ("movies", "spherical_aberration", 2700, "between 0 and 20"),
])
def test_values_that_no_program_could_use(job: str, parameter: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"^jobs\.{job}\.{parameter}: .*{words}"):
        planned(config(job, **{parameter: value}))


@pytest.mark.parametrize(("job", "changes"), [
    ("refine", {"symmetry": "d2"}), ("refine", {"symmetry": "I3"}), ("refine", {"symmetry": "O"}),
    ("refine", {"gpu_ids": "0,1:2"}), ("refine", {"gpu_ids": "", "continue_from": ""}), ("motion", {"gain": ""}),
    ("motion", {"first_frame": 3, "last_frame": -1}),
    ("motion", {"first_frame": 3, "last_frame": 0}), ("motion", {"gain_rotation": 3}),
    ("boxes", {"rescale": 40}), ("boxes", {"box_size": 60, "rescale": 30}), ("picks", {"diameter": [50, 50]}),
    ("ctf", {"dfmin": 50000, "dfmax": 60000}), ("ctf", {"min_defocus": 8000}),
])
def test_values_at_the_edge_of_what_is_right(job: str, changes: dict[str, Any]) -> None:
    planned(config(job, **changes))


def bad_gain(how: str) -> str:
    """Make a file that is no gain reference; return its name."""
    name = {"folder": "Movies", "dm4": "g.dm4", "named": "g.mrc", "missing": "gian.mrc"}.get(how, f"g_{how}.mrc")
    if how == "dangling":
        Path(name).symlink_to("/nonexistent/gain.mrc")
    elif how in ("empty", "text", "dm4"):
        Path(name).write_bytes({"empty": b"", "text": b"no image", "dm4": b"\0\0\0\4" * 400}[how])
    elif how == "stack":
        write_mrc(name, np.ones((3, HEIGHT, WIDTH), np.float32), 2.0, stack=True)
    elif how == "cut":
        Path(name).write_bytes(Path("gain.mrc").read_bytes()[:-5])
    elif how == "size":
        write_mrc(name, np.ones((2 * HEIGHT, 2 * WIDTH), np.float32), 2.0)
    elif how == "named":
        write_movie_tiff("g.tif", np.ones((1, HEIGHT, WIDTH), np.float32))
        Path("g.tif").rename(name)
    return name


@pytest.mark.parametrize(("how", "words"), [
    ("missing", "does not exist; did you mean gain.mrc"), ("folder", "is a folder"), ("dangling", "is a link to"),
    ("empty", "is empty"), ("text", "is text, not an MRC file of one image"), ("stack", "is an MRC stack, not"),
    ("cut", "is cut off"), ("size", "has 144 x 120 pixels, and the movies have 72 x 60"),
    ("dm4", "name must end with"), ("named", "is a TIFF file by its contents"),
])
def test_a_gain_that_is_none_is_refused_with_file_job_and_remedy(project: Path, how: str, words: str) -> None:
    name = bad_gain(how)
    before = sorted(os.listdir())
    said = refused(config(microscope={"gain": name}))
    assert said.startswith(f"microscope.gain: motion: the gain reference {name}") and words in said
    assert refused(config("motion", gain=name)).startswith("jobs.motion.gain: motion: ")
    assert sorted(os.listdir()) == before


def test_a_gain_that_fits_when_it_is_turned_and_tiff_are_taken() -> None:
    write_mrc("turned.mrc", np.ones((WIDTH, HEIGHT), np.float32), 2.0)
    write_movie_tiff("gain.tif", np.ones((1, HEIGHT, WIDTH), np.float32))
    for name in ("gain.mrc", "turned.mrc", "gain.tif", "./Movies/../gain.mrc"):
        planned(config("motion", gain=name))


def test_one_movie_of_another_size_does_not_refuse_the_gain_and_the_box() -> None:
    write_mrc("Movies/m0.mrcs", np.zeros((3, 16, 16), np.float32), 2.0, stack=True)
    os.utime("Movies/m0.mrcs", (1e9, 1e9))
    planned(config("motion", gain="gain.mrc"))


def test_files_of_other_kinds() -> None:
    texts = {"mtf.star": "# remark\r\n\r\ndata_\r\n\r\nloop_\r\n", "bom.star": "\ufeffdata_a\n",
             "mtf.csv": "0,1\n0.5,0.4", "bad.star": "0 1\n", "list.txt": "1 2 3 4\n",
             "run_it025_optimiser.star": "data_x\n"}
    for name, text in texts.items():
        Path(name).write_text(text)
    Path("utf16.star").write_bytes("data_a\n".encode("utf-16"))
    Path("binary.txt").write_bytes(b"\1\0\2\0" * 400)
    for kind, good, bad in ((MTF, ["mtf.star", "bom.star", "utf16.star"], ["mtf.csv", "bad.star", "gain.mrc"]),
                            (DEFECTS, ["list.txt", "gain.mrc", "mtf.star"], ["binary.txt", "ref.mrc", "Movies"]),
                            (ITERATION, ["run_it025_optimiser.star"], ["mtf.star", "run_it024_optimiser.star", "."])):
        assert [name for name in (*good, *bad) if file_problem(name, kind)] == bad
    os.mkfifo("pipe")
    assert file_problem("pipe", MTF) == "is no regular file"


@pytest.mark.parametrize(("job", "changes", "words"), [
    ("refine", {"mask": "stack.mrcs"}, "stack.mrcs is an MRC stack, not an MRC map"),
    ("refine", {"reference": "gain.mrc"}, "gain.mrc is an MRC file of one image"),
    ("refine", {"mask": "gain.mrc", "at_least": 5000}, "gain.mrc is an MRC file of one image"),
    ("refine", {"particles": "text.star"}, "text.star is text, not a STAR file"),
    ("refine", {"particles": "Movies/"}, "Movies/ is a folder"),
    ("classes", {"particles": "ref.mrc"}, "ref.mrc is an MRC map"),
    ("refine", {"continue_from": "Refine3D/job009/run_it005_optimiser.star"}, "nor its folder Refine3D/job009"),
    ("sharp", {"type": "postprocess", "half_maps": "ref.mrc", "mask": "ref.mrc", "mtf": "mtf.star"}, "MTF of the det"),
])
def test_inputs_and_files_of_other_jobs(job: str, changes: dict[str, Any], words: str) -> None:
    write_mrc("stack.mrcs", np.ones((5, 20, 20), np.float32), 4.0, stack=True)
    Path("text.star").write_text("no star\n")
    assert words in refused(config(job, **changes))


def test_programs_of_external_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    job = {"type": "external", "micrographs": "ctf", "outputs": {"coordinates": "a.star"}}
    Path("pick.sh").write_text("#!/bin/sh\n")
    for program, words in (("./pick.sh --x", "can't be executed; chmod"), ("./no.py", "does not exist: ./no.py"),
                           ("no_such_picker", "is not on the PATH"), ("'open", "no command line"), (" ", "is empty")):
        assert words in refused(config("theirs", executable=program, **job))
    refuse_unusable(make_plan(parse_config(config("theirs", executable="no_such_picker", **job))), elsewhere=True)
    Path("pick.sh").chmod(0o755)
    for program in ("./pick.sh --x", "sh pick.sh", f"{Path('pick.sh').resolve()}"):
        planned(config("theirs", executable=program, **job))
    monkeypatch.setenv("PATH", "/nowhere")  # jobs see what is installed beside this Python
    planned(config("theirs", executable="python pick.py", **job))
    assert "is not on the PATH" in refused(config("theirs", executable="sh pick.sh", **job))


@pytest.mark.parametrize(("job", "changes", "words"), [
    ("boxes", {"box_size": 62}, "boxes: box_size is 62 px, and the micrographs are 60 px wide"),
    ("classes", {"particle_diameter": 80}, "particle_diameter is 80 Å, and the particles are 20 px of 4 Å, 80 Å wide"),
    ("refine", {"particle_diameter": 1000}, "1000 Å, and the particles"),
    ("picks", {"diameter": [100, 121]}, "diameter is 121 Å, and the micrographs are 60 px of 2 Å, 120 Å wide"),
    ("motion", {"bin_factor": 2}, "box_size is 40 px, and the micrographs are 30 px"),
])
def test_lengths_that_do_not_fit_in_the_images(job: str, changes: dict[str, Any], words: str) -> None:
    assert words in refused(config(job, **changes))


def test_lengths_are_compared_with_a_star_file_from_outside() -> None:
    Path("p.star").write_text("data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnImageSize\n_rlnImagePixelSize\n1 32 3.0\n\n"
                              "data_particles\n\nloop_\n_rlnImageName\n_rlnOpticsGroup\n1@a.mrcs 1\n")
    Path("m.star").write_text("data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnMicrographPixelSize\n1 2.0\n\n"
                              "data_micrographs\n\nloop_\n_rlnMicrographName\n_rlnOpticsGroup\ngain.mrc 1\n")
    assert "32 px of 3 Å, 96 Å" in refused(config("classes", particles="p.star", particle_diameter=96))
    planned(config("classes", particles="p.star", particle_diameter=95))
    assert "60 px wide" in refused(config("boxes", micrographs="m.star", box_size=80))
    assert "60 px of 2 Å" in refused(config("picks", micrographs="m.star", diameter=[90, 130]))
    for name, text in (("p.star", "data_optics\n_rlnImageSize nan\n"), ("p.star", "data_\nloop_\n_rlnA\n1\n")):
        Path(name).write_text(text)
        planned(config("classes", particles="p.star", particle_diameter=500))  # nothing is known


def test_jobs_that_have_nothing_to_do_are_not_looked_at(project: Path) -> None:
    """The raw data and their gain may have been archived."""
    raw = config(microscope={"gain": "gain.mrc"})
    del raw["jobs"]["refine"], raw["jobs"]["classes"]
    plan = planned(raw)
    commit(plan)
    finish_all(plan)
    Path("gain.mrc").unlink()
    planned(raw)
    write_mrc("Movies/m3.mrcs", np.zeros((3, HEIGHT, WIDTH), np.float32), 2.0, stack=True)
    os.utime("Movies/m3.mrcs", (1e9, 1e9))
    assert "gain.mrc does not exist" in refused(raw)


def test_types_of_other_packages_are_checked_by_their_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = FileKind("network", (Format.TEXT,), (".json",))
    theirs = JobType(
        name="theirs", folder="External", relion3=99, label="relion.external", title="Theirs", description="A test.",
        inputs=(Slot("map", (MAP,), "A map."), Slot("particles", (PARTICLES,), "Particles.", required=False)),
        outputs=(Output("map", "map.mrc", MAP),), program="their.package",
        parameters=(Parameter("weights", str, None, "Weights.", file=weights),
                    Parameter("tile", int, 64, "Tile.", check=even, at_most="size"),
                    Parameter("size", int, 128, "Size."),
                    Parameter("width", float, None, "Width.", unit="Å", at_most="particles")))
    monkeypatch.setattr("cryosnake.project.config.config.job_types", lambda: {**job_types(), "theirs": theirs})
    Path("w.json").write_text("{}")
    planned(config("net", type="theirs", map="ref.mrc", particles="boxes", weights="w.json", width=79.0))
    for changes, words in (({"weights": "v.json"}, "the network v.json does not exist; did you mean w.json"),
                           ({"weights": "ref.mrc"}, "name must end with .json"), ({"tile": 63}, "must be even"),
                           ({"tile": 130}, "tile (130) must not be above size (128)"),
                           ({"map": "gain.mrc"}, "gain.mrc is an MRC file of one image"),
                           ({"width": 81.0}, "width is 81 Å, and the particles are 20 px of 4 Å")):
        assert words in refused(config("net", type="theirs", **({"map": "ref.mrc", "particles": "boxes"} | changes)))


def test_each_file_is_opened_once_while_it_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    named_files._opened.cache_clear()
    for _ in range(3):
        planned(config("motion", gain="gain.mrc"))
    found = named_files._opened.cache_info()
    assert found.misses == 4 and found.hits > 8  # gain, reference, two movies
    os.utime("gain.mrc", (1e9, 1e9))
    planned(config("motion", gain="gain.mrc"))
    assert named_files._opened.cache_info().misses == 5


@pytest.mark.parametrize(("stated", "recorded", "said"), [
    (0.9, 2.2, True), (2.2, 0.9, True), (1.05, 2.1, True), (2.0, 2.1, False), (1.77, 1.77, False), (0.9, 1.0, False),
    (1.06, 0.0, False)])
def test_a_pixel_size_that_the_header_contradicts_is_said(stated: float, recorded: float, said: bool) -> None:
    for name in ("m1", "m2"):
        data = bytearray(Path(f"Movies/{name}.mrcs").read_bytes())
        data[40:52] = struct.pack("<3f", recorded * WIDTH, recorded * HEIGHT, 1)
        Path(f"Movies/{name}.mrcs").write_bytes(data)
        os.utime(f"Movies/{name}.mrcs", (1e9, 1e9))
    raw = config(microscope={"pixel_size": stated})
    raw["jobs"] = {"movies": raw["jobs"]["movies"]}
    lines = doubts(planned(raw))
    assert len(lines) == said
    assert all(f"movies: pixel_size is {stated:g} Å, and the header of Movies/m1.mrcs says {recorded:g} Å" in line
               for line in lines)
