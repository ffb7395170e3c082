"""Fixture G of the clean-up requirements: sixteen jobs, one "GB" being a thousand bytes."""

from __future__ import annotations

from pathlib import Path

from made_project import COORDINATES, MAP, MICROGRAPHS, MOVIES, PARTICLES, add_job

from cryosnake.pipeline.model import Status
from cryosnake.project.records.final_marks import set_final

GB = 1000
_FOLDERS = ("Import", "MotionCorr", "CtfFind", "AutoPick", "Extract", "Class2D", "Select", "Extract", "InitialModel",
            "Refine3D", "Refine3D", "Class3D", "Refine3D", "Class3D", "Refine3D", "Extract")
NAMES = dict(enumerate(_FOLDERS, start=1))


def job(number: int) -> str:
    """Return the process name of J<number>."""
    return f"{NAMES[number]}/job{number:03d}/"


def jobs(*numbers: int) -> set[str]:
    """Return the process names of some jobs."""
    return {job(number) for number in numbers}


def versions(last: int, end: str, size: int, final_size: int) -> dict[str, int]:
    """Return the files of iterations 0 to last."""
    return {f"run_it{n:03d}_{end}": final_size if n == last else size for n in range(last + 1)}


def make() -> None:
    """Make the fixture in the working directory: J10 and J16 are final."""
    Path("Movies").mkdir()
    for name in ("a", "b"):
        Path(f"Movies/{name}.tiff").write_bytes(name.encode() * 300)
    Path("session").mkdir()
    Path("session/S1.dat").write_bytes(b"s" * 200 * GB)
    add_job("Import", 1, {"movies.star": MOVIES})
    add_job("MotionCorr", 2, {"corrected_micrographs.star": MICROGRAPHS}, (job(1) + "movies.star",),
            files={"Movies/a.mrc": 60 * GB, "Movies/b.mrc": 40 * GB}, alias="motion")
    add_job("CtfFind", 3, {"micrographs_ctf.star": MICROGRAPHS}, (job(2) + "corrected_micrographs.star",),
            files={"Movies/a.ctf": GB})
    add_job("AutoPick", 4, {"autopick.star": COORDINATES}, (job(3) + "micrographs_ctf.star",),
            files={"Movies/a_autopick.star": GB // 10})
    picks = (job(3) + "micrographs_ctf.star", job(4) + "autopick.star")
    add_job("Extract", 5, {"particles.star": PARTICLES}, picks, files={"Movies/a.mrcs": 50 * GB})
    add_job("Class2D", 6, {"run_it020_data.star": PARTICLES}, (job(5) + "particles.star",),
            files=versions(20, "classes.mrcs", GB // 5, GB), alias="classes")
    add_job("Select", 7, {"particles.star": PARTICLES}, (job(6) + "run_it020_data.star",))
    add_job("Extract", 8, {"particles.star": PARTICLES}, (job(7) + "particles.star",),
            files={"Movies/a.mrcs": 10 * GB})
    clean = job(8) + "particles.star"
    add_job("InitialModel", 9, {"initial_model.mrc": MAP}, (clean,), files={"run_model.dat": 2 * GB})
    model = job(9) + "initial_model.mrc"
    for number, status in ((10, Status.SUCCEEDED), (11, Status.SUCCEEDED), (13, Status.ABORTED)):
        add_job("Refine3D", number, {"run_data.star": PARTICLES}, (clean, model), status=status,
                files={"run_class001.mrc": 3 * GB if number < 13 else GB})
        if number == 11:
            add_job("Class3D", 12, {"run_it025_data.star": PARTICLES}, (clean,), status=Status.FAILED,
                    files={"run_it025_class001.mrc": 2 * GB})
    add_job("Class3D", 14, {"run_it009_data.star": PARTICLES, "run_it005_data.star": PARTICLES}, (clean,),
            files=versions(9, "class001.mrc", 4 * GB // 10, 4 * GB // 10))
    add_job("Refine3D", 15, {"run_data.star": PARTICLES}, (job(14) + "run_it005_data.star",),
            files={"run_class001.mrc": 3 * GB})
    add_job("Extract", 16, {"particles.star": PARTICLES}, picks, files={"Movies/a.mrcs": 20 * GB})
    Path("config.yaml").write_text(
        "title: fixture\njobs: {}\nworkspaces:\n"
        f"  W1: [{', '.join(job(n).rstrip('/') for n in range(1, 17) if n != 10)}]\n"
        f"  W2: [{job(10).rstrip('/')}, {job(12).rstrip('/')}]\n")
    set_final(job(10))
    set_final(job(16))
