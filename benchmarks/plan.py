"""What planning costs: `snakemake` on N synthetic micrographs, against a bare Snakemake with as many batch jobs.

Import, MotionCorr, CtfFind, AutoPick and Extract, with scripts replaced by a stub that only makes their files. Prints
CPU seconds (children included) of: a dry run of everything, a no-op, and ten more movies, with the ratio to bare.

    python benchmarks/plan.py --micrographs 10000
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cryosnake.io.mrc import write_mrc
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.rule_values import pictures
from cryosnake.project.records.batches import batch_star, done_file, product_files
from cryosnake.project.records.file_stamps import signed_stamp
from cryosnake.project.run.commit import commit

ROOT = Path(__file__).resolve().parent.parent
BATCH = 50
CONFIG = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2},
    "batch_size": BATCH,
    "jobs": {
        "movies": {"type": "import", "movies": "Movies/*.mrcs", "settling_time": 0},
        "motion": {"type": "motioncorr", "movies": "movies"},
        "ctf": {"type": "ctffind", "micrographs": "motion"},
        "picks": {"type": "autopick", "micrographs": "ctf", "method": "log", "diameter": [150, 180]},
        "particles": {"type": "extract", "micrographs": "ctf", "coordinates": "picks", "box_size": 256},
    },
}
STUB = '''
import sys
out = sys.argv[sys.argv.index("--out") + 1]
names = {"Import": ["movies.star"], "MotionCorr": ["corrected_micrographs.star"], "CtfFind": ["micrographs_ctf.star"],
         "AutoPick": ["autopick.star", "coords_suffix_autopick.star"], "Extract": ["particles.star"]}[out.split("/")[0]]
if "--draw" in sys.argv:
    names = {"MotionCorr": ["accumulated_motion.png"], "CtfFind": ["ctf.png"], "AutoPick": ["picks.png"],
             "Extract": ["particles.png"]}[out.split("/")[0]]
elif "--join" not in sys.argv:
    names = ["batches/" + sys.argv[sys.argv.index("--batch") + 1] + ".star"]
for name in names:
    with open(out + "/" + name, "w") as file:
        file.write("x")  # an empty file counts as cut off
'''
BARE = '''
import glob, os
STUB = "stub.py"
N = int(config["batches"])
BATCHES = [f"{i:04d}" for i in range(1, N + 1)]
STEPS = ["Import", "MotionCorr", "CtfFind", "AutoPick", "Extract"]
BEFORE = dict(zip(STEPS[1:], STEPS))
rule all:
    input: [f"{s}/job001/all.star" for s in STEPS], [f"{s}/job001/all.png" for s in BEFORE]
for step in STEPS:
    rule:
        name: step
        input: (lambda s: (lambda w: f"{BEFORE[s]}/job001/batches/{w.b}.star" if s in BEFORE else []))(step)
        output: f"{step}/job001/batches/{{b}}.star"
        shell: "touch {output}"
    rule:
        name: step + "_join"
        input: [f"{step}/job001/batches/{b}.star" for b in BATCHES]
        output: f"{step}/job001/all.star"
        localrule: True
        shell: "touch {output}"
    rule:
        name: step + "_pictures"
        input: f"{step}/job001/all.star"
        output: f"{step}/job001/all.png"
        localrule: True
        shell: "touch {output}"
'''
PROFILE = ["--rerun-triggers", "mtime", "input", "--rerun-incomplete", "--scheduler", "greedy"]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--micrographs", type=int, default=10000)
    count = parser.parse_args().micrographs
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ours = measure_ours(folder, count)
        bare = measure_bare(folder, -(-count // BATCH))
    print(f"{count} micrographs, batches of {BATCH}; CPU seconds of one `snakemake` call")
    for name, cost in ours.items():
        print(f"{name:22} cryosnake {cost:6.2f}   bare {bare[name]:6.2f}   ratio {cost / bare[name]:.2f}")


def measure_ours(folder: Path, count: int) -> dict[str, float]:
    """Return the CPU seconds of each case for a cryosnake project."""
    sources, project = folder / "sources", folder / "project"
    for name in ("Snakefile", "rules", "workflow", "profiles", "envs", "report"):
        source = ROOT / name
        sources.mkdir(exist_ok=True)
        shutil.copytree(source, sources / name) if source.is_dir() else shutil.copy(source, sources)
    (sources / "scripts").mkdir()
    for job in CONFIG["jobs"].values():  # type: ignore[attr-defined]
        (sources / "scripts" / f"run_{job['type']}.py").write_text(STUB)
    (project / "Movies").mkdir(parents=True)
    import yaml

    (project / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    os.chdir(project)
    add_movies(0, count)
    call = ["--snakefile", str(sources / "Snakefile"), "--cores", "2"]
    costs = {"dry run of everything": cpu([*call, "--dry-run", "--quiet"])}
    pretend_finished()
    costs |= later_calls(call, call, lambda: add_movies(count, 10))
    return costs


def measure_bare(folder: Path, batches: int) -> dict[str, float]:
    """Return the CPU seconds of each case for a plain Snakefile of the same shape."""
    project = folder / "bare"
    project.mkdir()
    os.chdir(project)
    Path("Snakefile").write_text(BARE)
    call = ["--cores", "2", *PROFILE]
    costs = {"dry run of everything": cpu([*call, "--dry-run", "--quiet", "--config", f"batches={batches}"])}
    for step in ("Import", "MotionCorr", "CtfFind", "AutoPick", "Extract"):
        Path(step, "job001/batches").mkdir(parents=True)
        for number in range(1, batches + 1):
            Path(step, f"job001/batches/{number:04d}.star").touch()
        Path(step, "job001/all.star").touch()
        Path(step, "job001/all.png").touch()
    one_more = [*call, "--config", f"batches={batches + 1}"]
    return costs | later_calls([*call, "--config", f"batches={batches}"], one_more, lambda: None)


def later_calls(call: list[str], call_with_more: list[str], add: Callable[[], None]) -> dict[str, float]:
    """Return the CPU seconds of the calls after one that made everything, of which Snakemake has its records."""
    cpu([*call, "--touch", "--forceall", "--quiet"])
    costs = {"no-op": cpu(call, made=False)}
    add()
    return costs | {"10 more movies": cpu(call_with_more, made=True)}


def add_movies(first: int, count: int) -> None:
    """Write `count` tiny movies."""
    template = Path("template.mrcs")
    write_mrc(template, np.zeros((1, 8, 8), np.float32), 1.0, stack=True)
    data = template.read_bytes()
    for number in range(first, first + count):
        Path(f"Movies/movie_{number:06d}.mrcs").write_bytes(data)


def pretend_finished() -> None:
    """Make every file of a finished run."""
    plan = make_plan(parse_config(CONFIG))
    commit(plan)
    movies = plan.jobs["movies"].movies
    for job in plan.jobs.values():
        for number, key in job.batches.items():
            lines = []
            for movie in movies[number]:
                for product in product_files(job.path, job.config.type.products, movie):
                    os.makedirs(os.path.dirname(product), exist_ok=True)
                    Path(product).write_text("x")
                lines.append(f"{movie}\t{signed_stamp(movie)}\tok\t\n")
            Path(done_file(job.path, number)).write_text("".join(lines))
            Path(batch_star(job.path, key)).write_text("x")
        time.sleep(0.01)
    for job in plan.jobs.values():
        for file in job.files() + pictures(plan, job):
            Path(file).write_text("x")


def cpu(arguments: list[str], made: bool | None = None) -> float:
    """Return the CPU seconds of one snakemake call, children included; `made` says whether it must make something."""
    program = Path(sys.executable).with_name("snakemake")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([str(program), *arguments], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode or (made is not None and made == ("Nothing to be done" in result.stdout + result.stderr)):
        raise SystemExit(result.stdout + result.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
