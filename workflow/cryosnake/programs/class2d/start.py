"""The start of a 2D classification: averages of random particles at low resolution."""

from __future__ import annotations

import numpy as np
import scipy.fft

from cryosnake.numerics.refine.grids.images import shift_images
from cryosnake.programs.refinement.execution import Execution
from cryosnake.programs.refinement.state import Assignments


def random_averages(work: Execution, chosen: np.ndarray, assignments: Assignments, classes: int, shell: int,
                    ) -> np.ndarray:
    """Return the averages (classes, box, box) of the chosen particles of each class, up to a shell."""
    box, total = work.particles.box, np.zeros((classes, work.particles.box**2))
    for begin in range(0, len(chosen), 256):
        rows = chosen[begin : begin + 256]
        member = (assignments.class_index[rows] == np.arange(classes)[:, None]).astype(np.float32)
        total += member @ shift_images(work.images(rows), np.rint(assignments.offset[rows])).reshape(len(rows), -1)
    number = np.maximum(np.bincount(assignments.class_index[chosen], minlength=classes), 1)
    averages = (total / number[:, None]).astype(np.float32).reshape(classes, box, box)
    radius = np.hypot(np.fft.fftfreq(box, 1.0 / box)[:, None], np.arange(box // 2 + 1))
    keep = 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - shell) / 2.0, 0.0, 1.0))
    return scipy.fft.irfft2(scipy.fft.rfft2(averages) * keep, s=(box, box)).astype(np.float32)
