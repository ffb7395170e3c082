#!/usr/bin/env python3
"""Pick particles with Topaz, as an External job of cryosnake or RELION.

    topaz_picker.py --o External/job004/ --in_mics CtfFind/job003/micrographs_ctf.star --radius 8 --scale 8 --j 4

Needs nothing but Python and `topaz` (https://github.com/tbepler/topaz) on the PATH, or --topaz /path/to/topaz. Writes
topaz.star, the table of coordinate files that cryosnake and RELION 4/5 read, and coords_suffix_topaz.star for RELION
3.1. Micrographs that were picked by an earlier run of the job are skipped.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

AT_ONCE = 20  # micrographs in one call of topaz: between calls the job can be aborted


def main() -> int:
    """Run the job; 0 success, 1 failure, 2 aborted."""
    arguments = parse()
    out = Path(arguments.o)
    out.mkdir(parents=True, exist_ok=True)
    try:
        aborted = pick(arguments, out)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"topaz_picker: {error}", file=sys.stderr)
        (out / "RELION_JOB_EXIT_FAILURE").touch()
        return 1
    (out / ("RELION_JOB_EXIT_ABORTED" if aborted else "RELION_JOB_EXIT_SUCCESS")).touch()
    return 2 if aborted else 0


def parse() -> argparse.Namespace:
    """Return the arguments: RELION's own, and those of the config's `parameters:`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--o", required=True, metavar="DIR", help="job directory")
    parser.add_argument("--in_mics", required=True, metavar="STAR", help="micrographs")
    parser.add_argument("--j", type=int, default=1, metavar="N", help="threads")
    parser.add_argument("--radius", type=int, default=8, metavar="PX", help="of a particle, in downscaled pixels")
    parser.add_argument("--scale", type=int, default=8, metavar="N", help="factor of downscaling before picking")
    parser.add_argument("--threshold", type=float, default=0.0, help="lowest score of a pick (default 0)")
    parser.add_argument("--model", default="resnet16", help="a trained model, or the name of a built-in one")
    parser.add_argument("--device", type=int, default=-1, help="GPU; -1 (default) is the CPU")
    parser.add_argument("--topaz", default="topaz", help="the program")
    parser.add_argument("--pipeline_control", help=argparse.SUPPRESS)  # RELION adds it to some command lines
    return parser.parse_args()


def pick(arguments: argparse.Namespace, out: Path) -> bool:
    """Pick what is not picked yet, and write the tables; return whether somebody asked to stop."""
    names = read_column(Path(arguments.in_mics), ("rlnMicrographName",))
    files = {name: out / f"{stem_of(name)}_topaz.star" for name in names}
    todo = [name for name in names if not files[name].exists()]
    print(f"{len(todo)} of {len(names)} micrographs to pick")
    for start in range(0, len(todo), AT_ONCE):
        if (out / "RELION_JOB_ABORT_NOW").exists():
            (out / "RELION_JOB_ABORT_NOW").unlink()
            return True
        for name, picks in run_topaz(arguments, out, todo[start : start + AT_ONCE]).items():
            write_picks(files[name], picks)
        print(f"{min(start + AT_ONCE, len(todo))} of {len(todo)} done", flush=True)
    write_tables(out, arguments.in_mics, files)
    return False


def run_topaz(arguments: argparse.Namespace, out: Path, names: list[str]) -> dict[str, list[list[str]]]:
    """Return x, y and score of the picks on each micrograph, in its own pixels.

    Topaz names its results after the files without their folders: links with names of our own keep two apart.
    """
    work = out / "topaz_work"
    shutil.rmtree(work, ignore_errors=True)
    (work / "small").mkdir(parents=True)
    links = {f"m{number:06d}": name for number, name in enumerate(names)}
    for link, name in links.items():
        (work / f"{link}.mrc").symlink_to(os.path.relpath(name, work))
    images = [str(work / f"{link}.mrc") for link in links]
    call(arguments.topaz, "preprocess", "-s", arguments.scale, "-d", arguments.device, "-o", work / "small", *images)
    small = sorted(path for path in (work / "small").iterdir() if path.stem in links)
    call(arguments.topaz, "extract", "-m", arguments.model, "-r", arguments.radius, "-t", arguments.threshold,
         "-x", arguments.scale, "-d", arguments.device, "-j", arguments.j, "-o", work / "picks.txt", *small)
    picks: dict[str, list[list[str]]] = {name: [] for name in names}
    for line in (work / "picks.txt").read_text().splitlines()[1:]:  # image_name x_coord y_coord score
        link, *values = line.split()
        picks[links[link]].append(values)
    shutil.rmtree(work)
    return picks


def call(*words: object) -> None:
    """Run a command; what it prints goes to run.out and run.err."""
    print("+", *words, flush=True)
    subprocess.run([str(word) for word in words], check=True)


def read_column(path: Path, labels: tuple[str, ...]) -> list[str]:
    """Return the values of the first column of a STAR file that has one of the labels."""
    columns: list[str] = []
    values: list[str] = []
    for line in path.read_text().splitlines():
        words = line.split()
        if not words or words[0].startswith(("data_", "loop_", "#")):
            columns = columns if not words or words[0].startswith("#") else []
        elif words[0].startswith("_"):
            columns.append(words[0][1:])
        else:
            values += [words[columns.index(label)] for label in labels if label in columns]
    if not values:
        raise ValueError(f"{path}: no column {' or '.join(labels)}")
    return values


def stem_of(name: str) -> str:
    """Return the path of a micrograph after its job directory, without extension: RELION's rule for products."""
    return os.path.splitext(re.sub(r"^[^/]+/job\d{3,}/", "", name))[0]


def write_picks(path: Path, picks: list[list[str]]) -> None:
    """Write the coordinates of one micrograph; that the file is there marks the micrograph as done."""
    rows = "".join(f"{float(x):12.3f} {float(y):12.3f} {float(score):12.5f}\n" for x, y, score in picks)
    write(path, "\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnAutopickFigureOfMerit #3\n" + rows + "\n"
          if picks else "")


def write_tables(out: Path, micrographs: str, files: dict[str, Path]) -> None:
    """Write what other jobs take, and the list of these files for the pipeline (both dialects of RELION)."""
    rows = "".join(f"{name} {path}\n" for name, path in files.items())
    write(out / "topaz.star", "\ndata_coordinate_files\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
          + rows + "\n")
    write(out / "coords_suffix_topaz.star", f"{micrographs}\n")
    node = "MicrographCoordsGroup.star.relion"
    write(out / "RELION_OUTPUT_NODES.star", "\ndata_output_nodes\n\nloop_\n_rlnPipeLineNodeName #1\n"
          "_rlnPipeLineNodeType #2\n_rlnPipeLineNodeTypeLabel #3\n"
          + "".join(f"{out / name} 2 {node}\n" for name in ("topaz.star", "coords_suffix_topaz.star")) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file that is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
