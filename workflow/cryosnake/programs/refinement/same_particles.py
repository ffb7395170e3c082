"""Particles that are in a file twice: the same image in two spellings, or one place of a movie under two names."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryosnake.io.paths import movie_of, usual_name

_PLACE = ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY")


def first_of_image(names: pd.Series) -> np.ndarray:
    """Return for each image name (n,) the index of the first row with the same image: 1@a.mrcs is 000001@./a.mrcs."""
    parts = [name.rpartition("@") for name in names.tolist()]
    stacks, unique = pd.factorize(np.array([stack for _, _, stack in parts], object))
    usual, _ = pd.factorize(np.array([usual_name(str(stack)) for stack in unique], object))
    numbers, texts = pd.factorize(np.array([number for number, _, _ in parts], object))
    values, _ = pd.factorize(np.array([str(text).lstrip("0") for text in texts], object))
    return _first(usual[stacks], values[numbers])


def first_at_place(particles: pd.DataFrame, pixel_sizes: np.ndarray | None) -> np.ndarray:
    """Return for each particle (n,) the index of the first row whose image is cut at the same pixel of the same movie.

    Parameters
    ----------
    particles
        The rows; without names and coordinates of micrographs each particle is the first.
    pixel_sizes : (n,)
        Of the micrographs, Å; None when the file does not give them.
    """
    own = np.arange(len(particles))
    if not all(label in particles.columns for label in _PLACE):
        return own
    codes, unique = pd.factorize(particles["rlnMicrographName"])
    movies, _ = pd.factorize(np.array([movie_of(str(name)) for name in unique], object))
    places = particles[[*_PLACE[1:]]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    sizes = np.zeros(len(particles)) if pixel_sizes is None else pixel_sizes
    known = np.isfinite(places).all(1) & places.any(1)  # at 0, 0: the file does not say where
    own[known] = own[known][_first(movies[codes[known]], *np.trunc(places[known]).T, sizes[known])]
    return own


def doubled(names: pd.Series, first: np.ndarray) -> str:
    """Return a warning about particles at the place of another, as `first_at_place` found them, "" without any.

    Copies of one image, as symmetry expansion makes them, are none.
    """
    image = first_of_image(names)
    twice = np.flatnonzero(image != image[first])
    if not len(twice):
        return ""
    row = int(twice[0])
    return (f"WARNING: {len(twice)} particle(s) are cut at the same place of a movie as another one, under another "
            f"name (the first is {names.iloc[row]}, as {names.iloc[int(first[row])]}). They count twice; leave them "
            "out with Select (duplicate_distance). Half sets do not share them.")


def _first(*keys: np.ndarray) -> np.ndarray:
    """Return for each row the index of the first one with the same keys."""
    group = pd.DataFrame(dict(enumerate(keys))).groupby([*range(len(keys))], sort=False).ngroup().to_numpy()
    _, first = np.unique(group, return_index=True)
    return np.asarray(first[group], np.int64)
