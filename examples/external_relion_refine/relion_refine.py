#!/usr/bin/env python3
"""Run relion_refine as an External job, and give its last iteration names that other jobs can be connected to.

    relion_refine.py --o External/job004/ --in_parts Extract/job003/particles.star --in_3dref ref.mrc --K 3 --iter 25
        --particle_diameter 180 --ini_high 40 --j 4

Other options go to relion_refine as they are. Without --in_3dref it classifies in 2D. What is written:
particles.star (the last data.star), optimiser.star, and with a reference map.mrc, the largest class.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the job; 0 success, 1 failure, 2 aborted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--o", required=True, type=Path, metavar="DIR", help="job directory")
    parser.add_argument("--in_parts", required=True, metavar="STAR", help="particles")
    parser.add_argument("--in_3dref", metavar="MRC", help="reference; without one, 2D classification")
    parser.add_argument("--in_mask", metavar="MRC", help="solvent mask")
    parser.add_argument("--j", default="1", metavar="N", help="threads")
    parser.add_argument("--program", default="relion_refine", help="the program, such as /opt/relion/bin/relion_refine")
    parser.add_argument("--pipeline_control", help=argparse.SUPPRESS)  # RELION adds it to some command lines
    arguments, others = parser.parse_known_args()
    out: Path = arguments.o
    out.mkdir(parents=True, exist_ok=True)
    code = subprocess.run(command(arguments, others)).returncode
    if (out / "RELION_JOB_EXIT_ABORTED").exists():  # --pipeline_control makes relion_refine obey an abort itself
        return 2
    try:
        if code:
            raise OSError(f"{arguments.program} ended with exit code {code}")
        name_results(out, with_map=arguments.in_3dref is not None)
    except OSError as error:
        print(f"relion_refine.py: {error}", file=sys.stderr)
        (out / "RELION_JOB_EXIT_SUCCESS").unlink(missing_ok=True)
        (out / "RELION_JOB_EXIT_FAILURE").touch()
        return 1
    (out / "RELION_JOB_EXIT_SUCCESS").touch()
    return 0


def command(arguments: argparse.Namespace, others: list[str]) -> list[str]:
    """Return the command line of relion_refine."""
    words = [arguments.program, "--i", arguments.in_parts, "--o", f"{arguments.o}/run", "--ctf", "--norm", "--scale",
             "--flatten_solvent", "--zero_mask", "--dont_combine_weights_via_disc", "--pool", "10", "--j", arguments.j,
             "--pipeline_control", f"{arguments.o}/"]
    if arguments.in_3dref:
        words += ["--ref", arguments.in_3dref, "--firstiter_cc"]
    if arguments.in_mask:
        words += ["--solvent_mask", arguments.in_mask]
    return [*words, *others]


def name_results(out: Path, *, with_map: bool) -> None:
    """Copy the last iteration's files to names that are known beforehand, and declare them to the pipeline."""
    last = max(out.glob("run_it[0-9][0-9][0-9]_optimiser.star"), default=None)
    if last is None:
        raise OSError(f"{out} holds no run_it*_optimiser.star")
    root = str(last).removesuffix("_optimiser.star")
    results = {"particles.star": (f"{root}_data.star", 3, "ParticleGroupMetadata.star.relion"),
               "optimiser.star": (f"{root}_optimiser.star", 9, "OptimiserData.star.relion")}
    if with_map:
        results["map.mrc"] = (largest_class(root), 6, "DensityMap.mrc")
    rows = ""
    for name, (source, number, label) in results.items():
        shutil.copyfile(source, out / f".{name}.tmp")
        os.replace(out / f".{name}.tmp", out / name)
        rows += f"{out / name} {number} {label}\n"
    (out / "RELION_OUTPUT_NODES.star").write_text(
        "\ndata_output_nodes\n\nloop_\n_rlnPipeLineNodeName #1\n_rlnPipeLineNodeType #2\n_rlnPipeLineNodeTypeLabel #3\n"
        + rows + "\n")


def largest_class(root: str) -> str:
    """Return the map of the class with most particles, from the table of classes in model.star."""
    labels: list[str] = []
    classes: list[tuple[float, str]] = []
    inside = False
    for line in Path(f"{root}_model.star").read_text().splitlines():
        words = line.split()
        if words and words[0].startswith("data_"):
            inside, labels = words[0] == "data_model_classes", []
        elif inside and words and words[0].startswith("_"):
            labels.append(words[0][1:])
        elif inside and labels and len(words) >= len(labels):
            classes.append((float(words[labels.index("rlnClassDistribution")]),
                            words[labels.index("rlnReferenceImage")]))
    if not classes:
        raise OSError(f"{root}_model.star lists no classes")
    return max(classes)[1]


if __name__ == "__main__":
    sys.exit(main())
