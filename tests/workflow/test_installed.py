"""As others get it: what the wheel holds, a project made and run with nothing but the wheel, and by snakedeploy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cryosnake.io.mrc import read_mrc
from small_project import simulate

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent
AT_THE_TOP = ("Snakefile", "config.yaml", "rules", "scripts", "profiles", "envs", "report", "examples")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder], cwd=ROOT,
                   check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_package_and_workflow_as_they_are_in_the_repository(wheel) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "workflow/cryosnake", *AT_THE_TOP]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    places = {name: name.removeprefix("workflow/") if name.startswith("workflow/") else f"cryosnake/workflow/{name}"
              for name in listed}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == set(places.values())
        for name, place in places.items():
            assert archive.read(place) == (ROOT / name).read_bytes(), name


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    """The programs of a fresh virtual environment with the wheel in it; dependencies are those of this one."""
    fresh = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
    packages = next(fresh.glob("lib/python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # whose own .pth files are not read
    subprocess.run([sys.executable, "-m", "pip", "--python", fresh / "bin" / "python", "install", "--quiet",
                    "--no-deps", "--no-index", wheel], check=True)
    for kernel in (ROOT / "workflow" / "cryosnake").rglob("*.nb[ic]"):  # compiled from the same text
        shutil.copy(kernel, packages / kernel.parent.relative_to(ROOT / "workflow"))
    snakemake = fresh / "bin" / "snakemake"
    snakemake.write_text(f"#!{fresh}/bin/python\nimport sys\nfrom snakemake.cli import main\nsys.exit(main())\n")
    snakemake.chmod(0o755)
    return fresh / "bin"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("my_data")
    simulate(folder, 6)
    shutil.rmtree(folder / "truth")
    for movie in (folder / "Movies").iterdir():
        os.utime(movie, (time.time() - 3600,) * 2)  # they have arrived
    return folder


def shell(programs: Path, project: Path) -> dict[str, Any]:
    """Of a shell that knows nothing of the sources: its folder and environment."""
    return {"cwd": project, "env": {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(project), "COLUMNS": "200"}}


def called(programs: Path, project: Path, *words: str, code: int = 0) -> str:
    """What a command says in such a shell."""
    result = subprocess.run(words, **shell(programs, project), input="", capture_output=True, text=True)
    assert result.returncode == code, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


def shorten(config: Path) -> None:
    """Edit the config as a user does: no classes, a reference in place of an initial model, one short refinement."""
    text = re.sub(r"  (classes|good|initial|unbinned): .*\n|  fine: .*\n.*\n", "", config.read_text())
    for old, new in (("good.particles", "particles"), ("fine.", "refine."), ("patches: [5, 5]", "patches: [1, 1]"),
                     ("box_size: 80, rescale: 80", "box_size: 64, rescale: 32"),
                     ("micrographs: motion", "micrographs: motion, resmax: 8, box: 256, max_resolution: 30, "
                      "min_figure_of_merit: -1"),
                     ("initial_lowpass: 50", "initial_lowpass: 50, max_iterations: 2"),
                     ("reference: initial.map", "reference: reference.mrc"),
                     ("batch_size:", "pictures: false\nbatch_size:")):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)


def test_from_movies_to_a_map_with_nothing_but_the_wheel(programs, project) -> None:
    told = called(programs, project, "cryosnake", "init", "--voltage", "300", "--pixel-size", "3.54",
                  "--dose-per-frame", "6", "--diameter", "140", "180", "--symmetry", "D2")
    assert "6 movies, Movies/*.tiff: TIFF, 4 frames of 384 x 384 pixels" in told and "gain reference: gain.mrc" in told
    before = {path.name: path.read_bytes() for path in project.iterdir() if path.is_file()}
    assert "has a config.yaml already" in called(programs, project, "cryosnake", "init", code=1)
    assert {path.name: path.read_bytes() for path in project.iterdir() if path.is_file()} == before
    assert len((project / "Snakefile").read_text().splitlines()) == 4  # a comment and three lines

    shorten(project / "config.yaml")
    assert "refine" in called(programs, project, "snakemake", "-n")
    assert not (project / "Import").exists()
    called(programs, project, "cryosnake", "run", "--cores", "2")
    data = read_mrc(project / "PostProcess" / "sharpened" / "postprocess.mrc")[0]
    assert data.shape == (32, 32, 32) and data.std() > 0
    assert "Nothing to be done" in called(programs, project, "snakemake", "--cores", "4")


def test_the_commands_of_the_readme_work(programs, project) -> None:
    """All that it says about one's own data, but those that do not end (watch, web) or ask a cluster (profile)."""
    section = (ROOT / "README.md").read_text().partition("## Your own data")[2].partition("\n## ")[0]
    commands = [line.partition("#")[0].split() for line in section.splitlines() if line.startswith("cryosnake ")]
    tested = [words for words in commands if words[1] not in ("init", "watch", "web", "profile")]
    assert len(tested) >= 7
    for words in tested:
        called(programs, project, *words)
    assert str(programs.parent) in called(programs, project, "cryosnake", "doctor")


def test_the_dashboard_shows_the_project_with_nothing_but_the_wheel(programs, project) -> None:
    command = ["cryosnake", "web"]
    with subprocess.Popen(command, **shell(programs, project), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with browser.open(server.stdout.readline().strip(), timeout=60) as page:
                text = page.read().decode()
        finally:
            server.terminate()
    assert "PostProcess" in text and "/static/web.js" in text


def test_one_round_of_watch(programs, project) -> None:
    config = project / "config.yaml"
    config.write_text(config.read_text().partition("  ctf:")[0])
    shutil.copy(project / "Movies" / "movie_0001.tiff", project / "Movies" / "movie_0007.tiff")
    told = called(programs, project, "cryosnake", "watch", "--rounds", "1", "--seal-after", "0", "--every", "0.2",
                  "--cores", "2")
    assert (project / "MotionCorr" / "motion" / "Movies" / "movie_0007.mrc").exists(), told


def test_snakedeploy_makes_a_project_that_uses_the_workflow_as_a_module(programs, project, tmp_path) -> None:
    """Of a local clone, whose Snakefile snakedeploy names as if it were in the project; of a public one, by its URL."""
    clone, deployed = tmp_path / "clone", tmp_path / "deployed"
    for folder in (clone, deployed):
        folder.mkdir()
    for name in (*AT_THE_TOP, "config"):
        source = ROOT / name
        shutil.copytree(source, clone / name) if source.is_dir() else shutil.copy(source, clone / name)
    subprocess.run([Path(sys.executable).with_name("snakedeploy"), "deploy-workflow", clone, deployed, "--branch",
                    "main", "--name", "cryosnake"], check=True, capture_output=True)
    assert (deployed / "config" / "config.yaml").read_text() == (ROOT / "config" / "config.yaml").read_text()
    snakefile = deployed / "workflow" / "Snakefile"
    assert "use rule * from cryosnake" in snakefile.read_text()
    ours = next(programs.parent.glob("lib/python*/site-packages/cryosnake/workflow/Snakefile"))
    snakefile.write_text(snakefile.read_text().replace('"Snakefile"', repr(str(ours))))
    (deployed / "Movies").symlink_to(project / "Movies")
    shutil.copy(project / "gain.mrc", deployed)
    config = deployed / "config" / "config.yaml"
    text = config.read_text().replace("Movies/gain.mrc", "gain.mrc").partition("  ctf:")[0]
    config.write_text(f"pictures: false\n{text}")
    told = called(programs, deployed, "snakemake", "--cores", "2")
    assert "profiles/default" in told
    assert (deployed / "MotionCorr" / "motion" / "Movies" / "movie_0006.mrc").exists(), told
