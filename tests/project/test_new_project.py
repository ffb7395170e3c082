"""`cryosnake init` on folders as microscopes leave them, `run`, `doctor`; mistakes get one message with the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from cryosnake import installation
from cryosnake.cli import main
from cryosnake.installation import snakemake_command, workflow_folder
from cryosnake.io.movies import write_movie_tiff
from cryosnake.io.mrc import write_mrc
from cryosnake.io.recorded_pixel_size import recorded_pixel_size
from cryosnake.project.config.config import parse_config
from cryosnake.project.start.movies import files_below, find_movies

KNOWN = ["--voltage", "300", "--pixel-size", "1.5", "--dose-per-frame", "1.2", "--diameter", "140", "180"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def movie(name: str, shape: tuple[int, ...] = (3, 16, 24), pixel_size: float = 0.83) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".mrc"):
        write_mrc(name, np.ones(shape, np.float32), pixel_size, stack=len(shape) == 3)
    else:
        write_movie_tiff(name, np.ones(shape, np.uint8))


def refused(capsys, *words: str) -> str:
    assert main(list(words)) == 1
    return capsys.readouterr().err


def test_movies_are_told_from_what_lies_beside_them(folder) -> None:
    """As EPU leaves them: sums of the same format in the same folders, a gain, and a map."""
    for square in (31, 42):
        for number in range(2):
            hole = f"Images-Disc1/GridSquare_{square}/Data/FoilHole_{number}{square}_Data_5"
            movie(f"{hole}_Fractions.mrc")
            movie(f"{hole}.mrc", (16, 24))
    movie("gain.mrc", (16, 24))
    movie("MotionCorr/job002/old.mrc")
    write_mrc("map.mrc", np.ones((8, 8, 8), np.float32), 1.0)
    found = find_movies()
    assert (found.pattern, found.count) == ("Images-Disc1/GridSquare_*/Data/*_Fractions.mrc", 4)
    assert found.info is not None and (found.info.frames, found.info.kind) == (3, "mrc")
    assert found.pixel_size == 0.83


def test_folders_of_different_depth_and_links(folder, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("data")
    Path("day1").symlink_to(elsewhere)
    movie("day1/a.tiff")
    movie("day1/more/b.tiff")
    assert (find_movies().pattern, find_movies().count) == ("day1/**/*.tiff", 2)
    (elsewhere / "back").symlink_to(elsewhere)
    assert list(files_below([".tiff"])) == ["day1/a.tiff", "day1/more/b.tiff"]  # each folder is entered once


@pytest.mark.parametrize(("given", "read"), [(0.83, 0.83), (1.0, None), (0.0, None), (400.0, None)])
def test_the_pixel_size_of_mrc_and_tiff_headers(folder, given, read) -> None:
    """1 Å is what programs write that do not know it."""
    write_mrc("m.mrc", np.ones((2, 8, 8), np.float32), given or 1.0, stack=True)
    resolution = (1e8 / given, 1e8 / given) if given else None
    for form in ({}, {"bigtiff": True}, {"byteorder": ">"}, {"byteorder": ">", "bigtiff": True}):
        tifffile.imwrite("m.tif", np.ones((2, 8, 8), np.uint8), resolution=resolution, resolutionunit=3, metadata=None,
                         **form)
        assert recorded_pixel_size("m.mrc") == recorded_pixel_size("m.tif") == read
    for damage in (b"II*\0", b"MM\0*" + b"\xff" * 40, b"no tiff at all"):
        Path("m.tif").write_bytes(damage)
        assert recorded_pixel_size("m.tif") is None


def test_the_pixel_size_of_eer_metadata(folder) -> None:
    text = b'<metadata><item name="sensorPixelSize.width" unit="m">7.2e-11</item></metadata>'
    tifffile.imwrite("m.tif", np.ones((8, 8), np.uint8), extratags=[(65001, 7, len(text), text, True)])
    os.rename("m.tif", "m.eer")
    assert recorded_pixel_size("m.eer") == 0.72


def test_init_writes_a_config_that_is_taken(folder, capsys) -> None:
    movie("Movies/m1.mrc")
    movie("Movies/gain.mrc", (16, 24))
    assert main(["init", "--title", "my: protein", "--symmetry", "D2", *KNOWN]) == 0
    raw = yaml.safe_load(Path("config.yaml").read_text())
    assert raw["title"] == "my: protein"
    assert raw["microscope"] == {"voltage": 300, "spherical_aberration": 2.7, "amplitude_contrast": 0.1,
                                 "pixel_size": 1.5, "dose_per_frame": 1.2, "gain": "Movies/gain.mrc"}
    jobs = raw["jobs"]
    assert jobs["movies"]["movies"] == "Movies/m*.mrc"
    assert (jobs["particles"]["box_size"], jobs["particles"]["rescale"]) == (180, 80)
    assert jobs["unbinned"]["box_size"] == 180
    for job in ("refine", "fine"):
        assert jobs[job]["symmetry"] == "D2" and jobs[job]["particle_diameter"] == 198
    assert list(parse_config(raw).jobs) == list(yaml.safe_load((workflow_folder() / "config.yaml").read_text())["jobs"])
    assert "# kV" in Path("config.yaml").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["Movies", "Snakefile", "config.yaml", "profiles"]


def test_what_is_not_given_is_asked_on_a_terminal(folder, monkeypatch, capsys) -> None:
    movie("Movies/m1.mrc")
    asked = []
    answers = iter(["three hundred", "300", "", "", "1.5", "150,180", "C4"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or next(answers))
    assert main(["init"]) == 0
    raw = yaml.safe_load(Path("config.yaml").read_text())
    assert raw["microscope"] == {"voltage": 300, "spherical_aberration": 2.7, "amplitude_contrast": 0.1,
                                 "pixel_size": 0.83, "dose_per_frame": 1.5}  # that of the header; no gain
    assert "pixel_size" not in asked[2] and "[0.83]" in asked[3]
    assert "a number, as in: 300" in capsys.readouterr().out


def test_questions_left_unanswered_write_nothing(folder, monkeypatch, capsys) -> None:
    movie("m1.mrc")

    def ended(question: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ended)
    assert "has written nothing" in refused(capsys, "init")
    assert not Path("config.yaml").exists()


def test_init_refuses_with_a_remedy_and_writes_nothing(folder, monkeypatch, capsys) -> None:
    assert "there are no movies below" in refused(capsys, "init", *KNOWN)
    movie("sum.mrc", (16, 24))
    assert "examples/micrographs.yaml" in refused(capsys, "init", *KNOWN)
    movie("m1.tiff")
    movie("gain_a.mrc", (16, 24))
    movie("gain_b.mrc", (16, 24))
    assert "--gain gain_a.mrc, or --gain none" in refused(capsys, "init", *KNOWN)
    message = refused(capsys, "init", "--gain", "none")
    assert all(option in message for option in ("--voltage", "--pixel-size", "--dose-per-frame", "--diameter"))
    assert "microscope.voltage" in refused(capsys, "init", "--gain", "none", *KNOWN, "--voltage", "-3")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert "mkdir my_project" in refused(capsys, "init", *KNOWN)
    Path("Snakefile").write_text("rule other: output: 'x'\n")
    assert "another workflow's Snakefile" in refused(capsys, "init", *KNOWN)
    Path("Snakefile").unlink()
    Path("config.yaml").write_text("mine")
    assert "has a config.yaml already" in refused(capsys, "init", *KNOWN)
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "gain_a.mrc", "gain_b.mrc", "m1.tiff",
                                                              "sum.mrc"]


def test_a_gain_that_does_not_fit_is_named_with_the_remedy(folder, capsys) -> None:
    movie("m1.tiff")
    movie("gain.mrc", (24, 16))
    assert main(["init", *KNOWN]) == 0
    said = capsys.readouterr().out
    assert "not taken: gain.mrc" in said and "set gain_rotation" in said
    assert "# gain:" in Path("config.yaml").read_text()


def test_movies_may_arrive_later(folder, capsys) -> None:
    assert main(["init", "--movies", "Movies/*.eer", *KNOWN]) == 0
    assert "no movies so far" in capsys.readouterr().out


def test_run_is_refused_outside_of_projects_and_where_nothing_can_be_written(folder, monkeypatch, capsys) -> None:
    assert "cryosnake init" in refused(capsys, "run", "-n")
    Path("config.yaml").write_text("jobs: {}")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "can't be written to" in refused(capsys, "run", "--cores", "2")


def test_the_command_line_of_snakemake(folder) -> None:
    ours = ["--snakefile", str(workflow_folder() / "Snakefile")]
    assert snakemake_command(["-n"])[1:] == ["-m", "snakemake", *ours, "--cores", "all", "-n"]
    assert snakemake_command(["-j4", "--snakefile=x"])[1:] == ["-m", "snakemake", "-j4", "--snakefile=x"]
    Path("workflow").mkdir()
    Path("workflow/Snakefile").touch()  # a project that uses ours as a module, without a profile
    command = snakemake_command(["--cores", "2"])
    assert command[3:7] == ["--snakefile", "workflow/Snakefile", "--workflow-profile",
                            str(workflow_folder() / "profiles/default")]
    Path("profiles/default").mkdir(parents=True)
    assert "--workflow-profile" not in snakemake_command([])


def test_where_kernels_cannot_be_kept_there_is_one_message(folder) -> None:
    """numba's own way to take both folders from it: a locator that needs NUMBA_CACHE_DIR, which is not set."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment["NUMBA_CACHE_LOCATOR_CLASSES"] = "UserProvidedCacheLocator"
    code = "from cryosnake.installation import kept_kernels\nwith kept_kernels(): import cryosnake.numerics.projection"
    for words in (["-c", code], ["-m", "cryosnake.cli", "doctor"]):
        result = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
        assert result.returncode == 1
        assert installation.NO_KERNEL_FOLDER in result.stdout + result.stderr
