"""Rejection of images whose grey values are unlike the others'."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import open_stack, read_images
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import SelectOptions

if TYPE_CHECKING:
    import pandas as pd

_DEFAULT_LABEL = {"particles": "rlnImageName", "micrographs": "rlnMicrographName"}
_AT_ONCE = 500  # particle images in memory


def keep_by_statistics(rows: pd.DataFrame, options: SelectOptions, kind: str, path: str,
                       progress: Progress) -> np.ndarray:
    """Return which rows have an image whose mean and standard deviation lie within `discard_sigma` σ of all.

    RELION's rule: the ensemble includes all images, even the outliers.
    """
    label = options.discard_label or _DEFAULT_LABEL[kind]
    if label not in rows.columns:
        raise CryosnakeError(f"{path} has no column {label}; set discard_label to one that names images")
    values = image_statistics(rows[label].tolist(), progress)
    deviation = np.abs(values - values.mean(axis=0))
    return (deviation <= options.discard_sigma * values.std(axis=0) + 1e-12).all(axis=1)


def image_statistics(names: list[str], progress: Progress) -> np.ndarray:
    """Return mean and standard deviation (n, 2) of images by RELION's names."""
    statistics = np.empty((len(names), 2))
    step = _AT_ONCE if "@" in names[0] else 1
    for start in range(0, len(names), step):
        progress(start, len(names), "image statistics")
        chunk = names[start : start + step]
        images = read_images(chunk) if step > 1 else np.asarray(open_stack(chunk[0]), np.float32)
        flat = images.reshape(len(chunk), -1)
        statistics[start : start + step] = np.stack([flat.mean(axis=1, dtype=np.float64),
                                                     flat.std(axis=1, dtype=np.float64)], axis=1)
    return statistics
