#!/usr/bin/env python3
"""`make demo`: simulate movies, run the whole chain, print where map, flowchart and project are."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Make and run the demo project; the exit code is Snakemake's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    arguments = parser.parse_args()
    project = arguments.folder.resolve()
    simulate(project)
    start = time.monotonic()
    code, nothing_to_do = run_workflow(project, arguments.cores)
    if code:
        return code
    report(project, time.monotonic() - start, nothing_to_do)
    return 0


def simulate(project: Path) -> None:
    """Make the movies, once: a project with the folder `truth` is complete."""
    if (project / "truth").is_dir():
        return
    from cryosnake.programs.simulate.command import main as simulate_main

    unfinished = project.with_name(f".{project.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    simulate_main([str(unfinished), "--preset", "demo"])
    shutil.copy(ROOT / "examples" / "demo.yaml", unfinished / "config.yaml")
    os.replace(unfinished, project)


def run_workflow(project: Path, cores: int) -> tuple[int, bool]:
    """Run Snakemake on the project; return its exit code and whether there was nothing to do."""
    snakemake = Path(sys.executable).with_name("snakemake")
    command = [str(snakemake), "--cores", str(cores), "--directory", str(project), "--snakefile",
               str(ROOT / "Snakefile")]
    nothing = False
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="")
            nothing = nothing or line.startswith("Nothing to be done")
    return process.returncode, nothing


def report(project: Path, seconds: float, nothing_to_do: bool) -> None:
    """Print a summary for the user."""
    from cryosnake.report.demo_summary import summarise_demo

    os.chdir(project)
    print()
    print("Everything is up to date; nothing was run again." if nothing_to_do
          else f"The chain took {seconds / 60:.1f} minutes.")
    for line in summarise_demo(project):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
