#!/usr/bin/env python3
"""Refine3D at full size: simulated particles of box 256, from a reference of another box, by Snakemake.

    python benchmarks/refine_box256.py [--particles 500] [--box 256] [--folder build/box256] [--cores 2]

The reference is the truth at 64 voxels, low-passed at 40 Å: it is resampled. Prints the resolution against the truth,
the hand, CPU seconds and peak memory of the refinement; fails where the map is worse than expected. Data stay in the
folder: a run that was killed goes on from its last iteration.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star
from cryosnake.numerics.alignment import align_maps, model_map_fsc, transform_map
from cryosnake.numerics.filters import low_pass
from cryosnake.numerics.map_resample import resample_map
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

ROOT = Path(__file__).resolve().parent.parent
WIDTH, DIAMETER = 270.0, 200.0  # Å, of the box and the particle's mask
EXPECTED = 5.0  # Å, FSC 0.5 with the truth, of 500 particles of D2
CONFIG = f"""
title: a refinement at full size
jobs:
  refine:    {{type: refine3d, particles: particles.star, reference: reference.mrc, symmetry: D2, initial_lowpass: 40,
              particle_diameter: {DIAMETER:g}}}
  mask:      {{type: maskcreate, map: refine.map}}
  sharpened: {{type: postprocess, half_maps: refine.half_maps, mask: mask}}
"""


def main() -> int:
    """Make the data once, run, and compare with the truth; 1 when the map is worse than expected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "box256")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    make_data(options.folder, options.particles, options.box)
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), "--directory",
               str(options.folder), "--cores", str(options.cores)]
    subprocess.run(command, check=True)
    return report(options.folder, max(EXPECTED, 2.3 * WIDTH / options.box))


def make_data(folder: Path, particles: int, box: int) -> None:
    """Simulate the particles, unless the folder holds them."""
    if (folder / "config.yaml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    simulate_particles(folder, StackSettings(count=particles, box=box, pixel_size=WIDTH / box, snr=0.05, seed=15))
    truth, pixel = read_mrc(folder / "truth/map.mrc")
    write_mrc(folder / "reference.mrc", low_pass(resample_map(truth, 64), 40.0, pixel * box / 64), pixel * box / 64)
    write_text(folder / "config.yaml", CONFIG)


def report(folder: Path, expected: float) -> int:
    """Print what came out, and return 1 where it is worse than expected (Å)."""
    found, pixel = read_mrc(folder / "PostProcess/sharpened/postprocess.mrc")
    mask, truth = (read_mrc(folder / name)[0] for name in ("MaskCreate/mask/mask.mrc", "truth/map.mrc"))
    # the transform is found on small maps, for on the whole ones it would take hours
    _, small = align_maps(*(resample_map(volume, 64) for volume in (found, truth)), mirror_test=True, refine_radius=28)
    whole = replace(small, shift=small.shift * len(found) / 64)
    fsc = model_map_fsc(transform_map(found, whole), truth, pixel, transform_map(mask, whole, order=1))
    said = read_star(folder / "PostProcess/sharpened/postprocess.star")["general"]["rlnFinalResolution"][0]
    names, values = (line.split("\t") for line in (folder / "Refine3D/refine/benchmark.tsv").read_text().splitlines())
    usage = dict(zip(names, values, strict=True))
    count = len(read_particles(folder / "particles.star"))
    print(f"{count} particles of box {len(found)}: {fsc.resolution:.2f} Å (FSC 0.5 with the truth), {said:.2f} Å said, "
          f"{'other' if small.mirrored else 'same'} hand; {float(usage['cpu_time']):.0f} CPU s, "
          f"{float(usage['max_rss']):.0f} MB")
    right = fsc.resolution <= expected and not small.mirrored
    print("as expected" if right else f"NOT as expected: {expected:.2f} Å, the same hand")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
