"""`cryosnake simulate`: a test project with a known truth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cryosnake.errors import CryosnakeError

# `tiny` is for tests, `demo` for `make demo`: 160 px of the micrographs scaled to 64 px give 4.425 Å per pixel.
# `full_resolution` are the same movies, with the truth at their own pixel size.
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"movies": 4, "size": (512, 512), "frames": 10, "pixel_size": 2.2, "dose_per_frame": 4.0,
             "particles_per_movie": 14, "box": 48, "box_pixel_size": 5.5, "hot_pixels": 8, "dead_pixels": 4,
             "contaminated": 0.0, "local_motion": 3.0},
    "demo": {"movies": 12, "size": (1280, 1280), "frames": 16, "pixel_size": 1.77, "dose_per_frame": 3.0,
             "particles_per_movie": 75, "box": 64, "box_pixel_size": 4.425},
}
PRESETS["full_resolution"] = PRESETS["demo"] | {"box": 128, "box_pixel_size": 1.77}


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    command = argparse.ArgumentParser(prog="cryosnake simulate", description=__doc__)
    command.add_argument("folder", help="where Movies/, gain.mrc, reference.mrc and truth/ are written")
    command.add_argument("--preset", choices=sorted(PRESETS), default="demo", help="default: %(default)s")
    command.add_argument("--movies", type=int, help="number of movies")
    command.add_argument("--first", type=int, help="number of the first movie; adds to a project of the same seed")
    command.add_argument("--particles", type=int, dest="particles_per_movie", help="particles per movie, at most")
    command.add_argument("--symmetry", help="point group of the particle, for example C1, D2 or O")
    command.add_argument("--residues", type=int, help="residues of one asymmetric unit")
    command.add_argument("--model", metavar="FILE.pdb", help="atoms of a real particle, instead of the synthetic one")
    command.add_argument("--contaminated", type=float, help="fraction of movies with ice crystals")
    command.add_argument("--carbon", type=float, help="fraction of movies with a carbon edge")
    command.add_argument("--seed", type=int, help="same seed, same data")
    command.add_argument("--format", choices=("tiff", "mrcs"), help="of the movies")
    command.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = vars(parser().parse_args(argv))
    folder, preset, model, quiet = (given.pop(name) for name in ("folder", "preset", "model", "quiet"))
    settings = PRESETS[preset] | {name: value for name, value in given.items() if value is not None}
    from cryosnake.programs.simulate.project import simulate_project  # NumPy and numba: not for --help
    from cryosnake.programs.simulate.settings import silent

    try:
        simulate_project(folder, atoms=_atoms(model), progress=silent if quiet else _report, **settings)
    except (CryosnakeError, OSError) as error:
        print(f"cryosnake simulate: {error}", file=sys.stderr)
        return 1
    return 0


def _atoms(model: str | None) -> Any:
    if model is None:
        return None
    from cryosnake.simulation.atoms import atoms_from_pdb_text

    with open(model, encoding="utf-8") as file:
        return atoms_from_pdb_text(file.read())


def _report(done: int, total: int, message: str) -> None:
    print(f"simulate: {done} of {total} movies, {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
