"""What an optimiser file knows of its particles: maps, grey scales, how the CTF was applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.star import read_star
from cryosnake.numerics.filters import apply_filter, interpolate_shells
from cryosnake.programs.maps.maskcreate_maps import read_map
from cryosnake.programs.refinement.tables import read_optimiser

_MODELS = ("rlnModelStarFile", "rlnModelStarFile2")
_IMAGE, _FSC = "rlnReferenceImage", "rlnGoldStandardFsc"
_LEAST = 0.05  # of the FSC: from the first shell below it on, a half map is noise
_NONE = ("", "None", "nan")


@dataclass(frozen=True, kw_only=True)
class References:
    """The result of a refinement or classification.

    Attributes
    ----------
    maps : tuple of tuple of (box, box, box) float32
        By half set, or one tuple for both; in it by class.
    pixel_size : float
        Å.
    scales : tuple of mapping
        rlnGroupScaleCorrection by rlnGroupName, as `maps` by half set.
    norms : tuple of float
        rlnNormCorrectionAverage.
    ctf, intact_first_peak : bool
    mtf_divided : bool
        Whether the refinement has divided its images by the detector's MTF, as RELION's does and ours does not.
    particles : str
        The particles' STAR file.
    words : str
        Which maps these are.
    """

    maps: tuple[tuple[np.ndarray, ...], ...]
    pixel_size: float
    scales: tuple[Mapping[str, float], ...]
    norms: tuple[float, ...]
    ctf: bool
    intact_first_peak: bool
    particles: str
    words: str
    mtf_divided: bool = False

    @property
    def box(self) -> int:
        """Voxels."""
        return len(self.maps[0][0])

    @property
    def split(self) -> bool:
        """Whether each half set has maps of its own."""
        return len(self.maps) == 2

    @property
    def classes(self) -> int:
        """Their number."""
        return len(self.maps[0])


def read_references(path: str) -> References:
    """Return what is known of the particles of an optimiser file; of Refine3D one map for each half set.

    After the last iteration of Refine3D, which joins the halves, a half set's map is its unfiltered half map times the
    FSC: the best estimate of the signal that it allows (Wiener filter).

    Raises
    ------
    CryosnakeError
        when it is no optimiser file of 3D maps, or one of its files is missing
    """
    general = read_optimiser(path)
    names = [str(general[label]) for label in _MODELS if str(general.get(label, "")) not in _NONE]
    models = [_read_model(path, name) for name in names]
    images = [_images(path, name, model) for name, model in zip(names, models, strict=True)]
    found = [tuple(read_map(name) for name in listed) for listed in images]
    words, maps = _listed([name for listed in images for name in listed]), [tuple(m for m, _ in each) for each in found]
    halves = _unfiltered(images[0]) if len(models) == 1 else None
    if halves and _FSC in models[0].get("model_class_1", ()):
        fsc = numbers_of(models[0]["model_class_1"][_FSC])
        maps, words = [(_weighted(read_map(name)[0], fsc),) for name in halves], f"{_listed(halves)}, times their FSC"
        models = models * 2
    return References(
        maps=tuple(maps), pixel_size=found[0][0][1], scales=tuple(map(_scales, models)),
        norms=tuple(_norm(model) for model in models), ctf=bool(int(general.get("rlnDoCorrectCtf", 1))),
        intact_first_peak=bool(int(general.get("rlnDoIgnoreCtfUntilFirstPeak", 0))),
        particles=str(general["rlnExperimentalDataStarFile"]), words=words, mtf_divided=_is_relions(path))


def _is_relions(path: str) -> bool:
    """Return whether RELION wrote an optimiser file, which begins with a comment of its own."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().startswith("# RELION optimiser")


def _read_model(path: str, name: str) -> dict[str, pd.DataFrame]:
    if not Path(name).exists():
        raise CryosnakeError(f"{path}: the model {name} does not exist. Restore it, or connect the optimiser of "
                             "another iteration")
    return read_star(name)


def _images(path: str, name: str, model: Mapping[str, pd.DataFrame]) -> list[str]:
    if _IMAGE not in model.get("model_classes", ()):
        raise CryosnakeError(f"{name} lists no references (data_model_classes, {_IMAGE}). Connect the optimiser of a "
                             "Refine3D or Class3D job")
    images = [str(image) for image in model["model_classes"][_IMAGE]]
    if "@" in images[0]:
        raise CryosnakeError(f"{path} is of a 2D classification; particles are subtracted from with maps. Connect the "
                             "optimiser of a Refine3D or Class3D job")
    return images


def _unfiltered(images: Sequence[str]) -> list[str] | None:
    """Return the unfiltered half maps beside the joined map of a Refine3D job, None where there are none."""
    ending = "_class001.mrc"
    if len(images) != 1 or not images[0].endswith(ending):
        return None
    root = images[0].removesuffix(ending)
    names = [f"{root}_half{half}_class001_unfil.mrc" for half in (1, 2)]
    return names if all(Path(name).exists() for name in names) else None


def _weighted(half: np.ndarray, fsc: np.ndarray) -> np.ndarray:
    low = np.flatnonzero(fsc[1:] < _LEAST)
    weight = np.clip(np.nan_to_num(fsc), 0.0, 1.0)
    weight[0] = 1.0
    if len(low):
        weight[int(low[0]) + 1 :] = 0.0
    return np.asarray(apply_filter(half, lambda radius: interpolate_shells(weight, radius)), np.float32)


def _scales(model: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    groups = model.get("model_groups")
    if groups is None or "rlnGroupScaleCorrection" not in groups or "rlnGroupName" not in groups:
        return {}
    values = numbers_of(groups["rlnGroupScaleCorrection"]).tolist()
    return dict(zip(map(str, groups["rlnGroupName"]), values, strict=True))


def _norm(model: Mapping[str, Any]) -> float:
    general = model.get("model_general")
    if general is None or "rlnNormCorrectionAverage" not in general:
        return 1.0
    return float(general["rlnNormCorrectionAverage"].iloc[0])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}" if len(names) > 2 else " and ".join(names)
