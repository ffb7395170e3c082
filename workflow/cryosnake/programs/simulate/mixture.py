"""A particle set of several conformations with a known truth, for tests of classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.io.star import read_star, write_star
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.simulation.atoms import Atoms


def simulate_mixture(folder: str | Path, conformations: Sequence[Atoms], counts: Sequence[int],
                     settings: StackSettings) -> None:
    """Write particles of all conformations in random order: particles.star and truth/particles.star in `folder`.

    The truth has the poses and the conformation, counted from 1, as rlnClassNumber. Folder `N/` has the images of
    conformation N and its true map, `N/truth/map.mrc`. All have the same optics; the image names start with `folder`
    as given.

    Parameters
    ----------
    conformations, counts
        The atoms, and the number of particles of each.
    settings
        All but count and prefix.
    """
    folder = Path(folder)
    tables: dict[str, list[pd.DataFrame]] = {"particles.star": [], "truth/particles.star": []}
    optics = pd.DataFrame()
    for number, (atoms, count) in enumerate(zip(conformations, counts, strict=True), 1):
        part = folder / str(number)
        simulate_particles(part, replace(settings, count=count, seed=1000 * number + settings.seed, prefix=f"{part}/"),
                           atoms=atoms)
        for name, found in tables.items():
            star = read_star(part / name)
            optics = star["optics"]
            found.append(star["particles"])
        tables["truth/particles.star"][-1]["rlnClassNumber"] = number
    order = np.random.default_rng(settings.seed).permutation(sum(counts))
    (folder / "truth").mkdir(exist_ok=True)
    for name, found in tables.items():
        joined = pd.concat(found, ignore_index=True).iloc[order].reset_index(drop=True)
        write_star(folder / name, {"optics": optics, "particles": joined})
