"""Verdict on an initial model, by whether other starts find the same map and both halves the same poses."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from cryosnake.numerics.alignment import align_maps
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.fsc import last_shell_above
from cryosnake.numerics.map_resample import resample_map
from cryosnake.numerics.refine.sums.maximisation import low_pass
from cryosnake.numerics.refine.sums.reconstruction import fsc_of_sums
from cryosnake.numerics.symmetry import nearest_mate, operators
from cryosnake.numerics.views.spread import ViewSpread, view_spread
from cryosnake.programs.initialmodel.model import InitialMaps
from cryosnake.programs.refinement.iteration_pictures import views
from cryosnake.programs.refinement.state import Assignments

_COMPARED = 30.0  # Å, at which the maps of the starts are compared
_SAME_MAP = 0.5  # mean correlation of Fourier shells, all of the same weight, above which two maps are the same
_SAME_POSE = 25.0  # degrees
_REPRODUCED = 0.5  # part of the particles whose poses both halves must agree on
_SYMMETRIC = 0.3  # measured: 0.2 for maps without the symmetry, 0.3 to 0.6 for noisy ones with it


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Numbers behind the judgement.

    Attributes
    ----------
    starts : list of float
        Correlation of each other start's map with the chosen one, in the better hand.
    reproduced : float
        Part of the particles whose poses agree within 25 degrees between the maps of two halves of the particles.
    by_chance : float
        The part that would agree if the poses were random.
    symmetry : float
        Correlation of the map with its turned copies, before symmetry was imposed; 1 for C1.
    resolution : float
        Å, where the FSC of the two halves falls below 0.5. Both were aligned to the same map.
    top_weight : float
        Mean probability of the best pose.
    views : ViewSpread
        How even the views are.
    """

    starts: list[float]
    reproduced: float
    by_chance: float
    symmetry: float
    resolution: float
    top_weight: float
    views: ViewSpread

    @property
    def doubts(self) -> list[str]:
        """Return the reasons not to believe the map; none when it converged."""
        found = []
        if self.starts and max(self.starts) < _SAME_MAP:
            found.append(f"no other start led to the same map (best correlation {max(self.starts):.2f}, expected at "
                         f"least {_SAME_MAP:g})")
        if self.reproduced < _REPRODUCED:
            found.append(f"the maps of two halves of the particles agree on {self.reproduced:.0%} of the poses only "
                         f"({self.by_chance:.0%} by chance, expected at least {_REPRODUCED:.0%})")
        if self.symmetry < _SYMMETRIC:
            found.append(f"the map found without symmetry hardly has the requested one (correlation {self.symmetry:.2f}"
                         f" with its turned copies, expected at least {_SYMMETRIC:g})")
        return found

    def as_dict(self) -> dict[str, object]:
        """Return all of it for a file."""
        return {"converged": not self.doubts, "doubts": self.doubts} | asdict(self)

    def describe(self) -> str:
        """Return the numbers, how even the views are, and whether the map can be believed, a line for each."""
        numbers = (f"Pmax {self.top_weight:.3f}; FSC of the halves 0.5 at {self.resolution:.1f} Å; poses found with "
                   f"either half's map agree for {self.reproduced:.0%} of the particles ({self.by_chance:.0%} by "
                   f"chance)\n{self.views.describe()}\n")
        if not self.doubts:
            return numbers + "Converged. The hand is not known: it is right in one case of two."
        return numbers + (f"NOT CONVERGED: {'; '.join(self.doubts)}. Do not refine from this map: try more starts, "
                          "more iterations, cleaner particles, another particle_diameter or seed.")


def judge(length: float, model: InitialMaps, first: Assignments, second: Assignments) -> Verdict:
    """Return the verdict on a model of a box of `length` Å whose sums are those of two halves of all particles.

    `first` and `second` are the same particles' assignments with the maps of either half.
    """
    near = angular_distance(nearest_mate(first.pose, second.pose, model.symmetry), second.pose) < _SAME_POSE
    classes = len(model.volumes)
    largest = int(np.bincount(model.assignments.class_index, minlength=classes).argmax())
    curve = fsc_of_sums(model.sums[0, largest], model.sums[1, largest], model.radius, model.ssnr.shape[1])
    shell = max(last_shell_above(curve[: model.radius + 1], 0.5), 1)
    return Verdict(
        starts=list(model.agreements), reproduced=float((near & (first.class_index == second.class_index)).mean()),
        by_chance=_chance(model.symmetry) / classes, symmetry=model.had_symmetry, resolution=length / shell,
        top_weight=float(model.assignments.top_weight.mean()),
        views=view_spread(views(model.assignments.pose, model.symmetry)))


def _chance(symmetry: str) -> float:
    """Probability that two random orientations are within the angle, for the nearest of all mates."""
    angle = np.radians(_SAME_POSE)
    return min(float(len(operators(symmetry)) * (angle - np.sin(angle)) / np.pi), 1.0)


def map_agreement(moving: np.ndarray, fixed: np.ndarray, length: float) -> float:
    """Return the correlation of two maps (box, box, box) of `length` Å after alignment, in the better hand.

    All shells to 30 Å have the same weight, so that being blobs of the same size is not enough.
    """
    radius = max(int(length / _COMPARED), 4)
    box = min(2 * radius + 6, fixed.shape[0])
    pair = [low_pass(resample_map(volume, box), length / box, _COMPARED) for volume in (moving, fixed)]
    _, found = align_maps(*pair, mirror_test=True, search_radius=radius, refine_radius=radius, angular_step=20.0)
    return found.correlation
