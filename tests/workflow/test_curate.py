"""Curation during a session: limits and flags change, and only what they concern is made again."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cryosnake.cli import main
from cryosnake.io.star import read_star
from small_project import CONFIG, simulate, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CURATED = CONFIG.replace("  picks: ", "  curate:    {type: curate, micrographs: ctf, limits: {rlnDefocusU: 0..}}\n"
                         "  picks: ").replace("micrographs: ctf, method", "micrographs: curate, method").replace(
                             "micrographs: ctf, coordinates", "micrographs: curate, coordinates")
DONE = re.compile(r"^\S.* (\w+)/job\d+ batch (\S+): (\d+) done", re.MULTILINE)


def done(output: str) -> set[tuple[str, str, str]]:
    """Return the batches with what they did: type, key, number of micrographs."""
    return set(DONE.findall(output))


def stems(star: Path) -> list[str]:
    return sorted({Path(name).stem for name in read_star(star)["micrographs"]["rlnMicrographName"]})


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Six movies in two batches; six more wait outside."""
    folder = tmp_path_factory.mktemp("curated")
    simulate(folder, 8)
    (folder / "later").mkdir()
    for movie in sorted((folder / "Movies").iterdir())[6:]:
        movie.rename(folder / "later" / movie.name)
    (folder / "config.yaml").write_text(CURATED)
    return folder


def test_a_session_is_curated_while_it_grows(project, monkeypatch) -> None:
    monkeypatch.chdir(project)
    output = snakemake(project)
    assert {key for folder, key, _ in done(output) if folder == "Curate"} == {"0001", "0002"}
    curated, extracted = Path("Curate/job004"), Path("Extract/job006")
    every = stems(curated / "micrographs.star")
    assert len(every) == 6

    # one is rejected by eye: its batch alone is written again, and nothing else is processed
    first = read_star(curated / "batches/0001.star")["micrographs"]["rlnMicrographName"][0]
    stem = Path(first).stem
    stacks = {path: path.stat().st_mtime_ns for path in extracted.rglob("*.mrcs")}
    assert main(["curate", "curate", "--reject", stem]) == 0
    assert "curate (Curate/job004), batch 0001.r2" in snakemake(project, "--dry-run")
    output = snakemake(project)
    assert {key for folder, key, _ in done(output)} == {"0001.r2"}
    assert {(folder, count) for folder, _, count in done(output) if folder != "Curate"} == {("AutoPick", "0"),
                                                                                          ("Extract", "0")}
    assert stems(curated / "micrographs.star") == [name for name in every if name != stem]
    rejected = read_star(curated / "micrographs_rejected.star")["micrographs"]
    assert list(rejected["cryosnakeReason"]) == ["by eye"] and stems(curated / "micrographs_rejected.star") == [stem]
    assert {path: path.stat().st_mtime_ns for path in extracted.rglob("*.mrcs")} == stacks

    for name, count in (("micrographs.star", 5), ("micrographs_rejected.star", 1)):
        subprocess.run(["relion_star_handler", "--i", str(curated / name), "--o", "read.star"], check=True)
        assert len(read_star("read.star")["micrographs"]) == count

    # movies arrive while a limit reaches one of the other batch
    for movie in (project / "later").iterdir():
        shutil.move(movie, project / "Movies" / movie.name)
    table = read_star(curated / "batches/0002.star")["micrographs"]
    limit = f"{table['rlnDefocusU'].min() + 1:.1f}.."
    assert main(["curate", "curate", "--limit", f"rlnDefocusU={limit}"]) == 0
    output = snakemake(project)
    assert {"0002.r2", "0003"} <= {key for folder, key, _ in done(output) if folder == "Curate"}
    assert all(count == "0" for folder, key, count in done(output) if ".r" in key and folder != "Curate")

    # back to all: what was accepted before is not touched, what was rejected comes back
    before = set(stems(curated / "micrographs.star"))
    assert main(["curate", "curate", "--limit", "rlnDefocusU=0..", "--unflag", stem]) == 0
    output = snakemake(project)
    assert len(stems(curated / "micrographs.star")) == 8
    assert sum(int(count) for folder, key, count in done(output) if folder == "Extract") == 8 - len(before)
    assert "Nothing to be done" in snakemake(project)
