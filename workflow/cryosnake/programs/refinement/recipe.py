"""Recipe, the interface of one kind of refinement or classification; `loop.run` iterates it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from cryosnake.jobs.forms import IterationProgress, Progress
from cryosnake.numerics.backend import to_device
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.grids.grids import ShiftGrid, SphereGrid
from cryosnake.numerics.refine.grids.references import ClassReferences, MapReference, limited, map_reference
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.parallel.world import lead
from cryosnake.programs.refinement.execution import Execution
from cryosnake.programs.refinement.memory import Demand
from cryosnake.programs.refinement.particles import ParticleSet, require_diameter
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.step import Accumulated, Report, SearchPlan

_GROWTH = 10  # shells that the images reach beyond the best class


@dataclass(frozen=True, kw_only=True)
class Model:
    """State after an iteration; every recipe adds its own fields."""

    iteration: int
    assignments: Assignments


def next_size(ssnr: np.ndarray, box: int) -> int:
    """Return the Fourier pixels of the next iteration: some shells beyond the best class of ssnr (classes, shells)."""
    return min(2 * (int(class_shells(ssnr).max()) + _GROWTH), box)


Options = TypeVar("Options", bound=Any)
M = TypeVar("M", bound=Model)
S = TypeVar("S")
T = TypeVar("T")
Kind = TypeVar("Kind", MapReference, ClassReferences)


class Recipe(ABC, Generic[Options, M, S]):
    """What a job type does in an iteration; M is its model, S what the steps of an update have in common.

    An iteration is one or several updates: `prepare`, `sampling`, `expect` over each of `sets`, `learn`. All ranks do
    everything together, but `start`, `read`, `learn`, `write` and `picture` are called on rank 0 alone; all get its
    model.
    """

    may_be_limited = False  # whether images may be used to fewer Fourier pixels where memory is short
    start_has_files = False  # whether files are written before the first iteration

    def __init__(self, work: Execution, options: Options, inputs: Mapping[str, Path], root: Path) -> None:
        require_diameter(work.particles, options.particle_diameter)
        self.work, self.options, self.inputs = work, options, inputs
        self.root = root  # the start of all file names
        self.largest = work.particles.box  # Fourier pixels of the images, at most
        self.set_up()

    def set_up(self) -> None:
        """Refuse options that do not fit the particles, and derive from them what the iterations use."""

    @abstractmethod
    def start(self) -> M:
        """Return the model before the first iteration."""

    def read(self, path: str) -> M:
        """Return the model after the iteration that an optimiser file describes."""
        raise NotImplementedError

    @abstractmethod
    def headline(self) -> str:
        """Return one line about the particles and what is done with them."""

    def demand(self, size: int) -> Demand | None:
        """Return what the iteration that takes most memory needs, with images of at most `size` Fourier pixels."""
        return None

    def say_plan(self, model: M) -> None:
        """Print what the next iteration costs, where that is known."""

    def begin(self, model: M, progress: Progress) -> M:
        """Return the model with which the first iteration starts; it may be reached from the given one in steps."""
        return model

    def finished(self, model: M) -> bool:
        """Return whether the job is finished."""
        return bool(model.iteration >= self.options.iterations)

    def progress(self, model: M) -> tuple[int, int, str]:
        """Return the number of particles done before the next iteration, the total, and a message."""
        count = len(self.particles)
        return count * model.iteration, count * self.options.iterations, f"iteration {model.iteration + 1}"

    def prepare(self, model: M) -> M:
        """Return the model with which the next update starts: its number, and its sampling."""
        return replace(model, iteration=model.iteration + 1)

    @abstractmethod
    def sampling(self, model: M) -> S:
        """Return what the expectation steps of an update share."""

    def sets(self, model: M) -> list[np.ndarray]:
        """Return the rows of each set of particles of an update; none is empty."""
        return [np.arange(len(self.particles))]

    @abstractmethod
    def expect(self, model: M, sampling: S, number: int, rows: np.ndarray, report: Report) -> Accumulated:
        """Return what an expectation step over rows of set `number` accumulates."""

    @abstractmethod
    def learn(self, model: M, sampling: S, found: list[Accumulated], assignments: Assignments) -> M:
        """Return the model after an update, from what was found over each set, and the new assignments."""

    def complete(self, model: M) -> bool:
        """Return whether an iteration is over; otherwise another update is part of it."""
        return True

    @abstractmethod
    def line(self, model: M, seconds: float) -> str:
        """Return the line printed about an iteration that took this long; "" for none."""

    def measure(self, model: M) -> M:
        """Return the model with results computed after an iteration, for the next one or for its files."""
        return model

    @abstractmethod
    def write(self, model: M) -> bool:
        """Write the files of an iteration and return True, or return False where it leaves none."""

    def is_numbered(self, model: M) -> bool:
        """Return whether the files are named by the iteration, as those from which a job continues."""
        return True

    @abstractmethod
    def picture(self, model: M) -> Any:
        """Return the figure of an iteration."""

    def proceed(self, model: M) -> M:
        """Return the model with decisions about the next iteration, after the files have been written."""
        return model

    def close(self, model: M, progress: IterationProgress) -> None:
        """Do and print what remains after the last iteration."""

    # Shared by recipes

    @property
    def particles(self) -> ParticleSet:
        """The particles that are worked on."""
        return self.work.particles

    @cached_property
    def mask(self) -> np.ndarray:
        """The soft disc (box, box) about a particle."""
        return self.particles.disc(self.options.particle_diameter)

    @cached_property
    def last_shell(self) -> int:
        """The last shell that the expectation step uses (RELION: strict_highres_exp)."""
        resolution = getattr(self.options, "highres_limit", None) or 0.0
        return max(1, self.particles.shell_at(resolution)) if resolution > 0 else self.particles.box // 2

    def rng(self, *purpose: int) -> np.random.Generator:
        """Return random numbers for a purpose, given by numbers that no other one has."""
        return np.random.default_rng([self.options.seed, *purpose])

    def seen(self, reference: Kind) -> Kind:
        """Return a reference for the expectation step: 0 beyond `last_shell`."""
        if (self.options.highres_limit or 0.0) <= 0:
            return reference
        return replace(reference, transforms=limited(reference.transforms, self.last_shell))

    def maps(self, volumes: np.ndarray, size: int, grid: SphereGrid) -> MapReference:
        """Return maps (classes, box, box, box) as references, on the device of the images."""
        return map_reference(to_device(volumes, self.work.device), size, grid)

    def coarse_size(self, step: float, size: int, two_dimensional: bool = False) -> int:
        """Return the Fourier pixels of the coarse pass for a step in degrees and images of `size` Fourier pixels."""
        particles, reach = self.particles, min(size, 2 * self.last_shell)
        return coarse_size(step, self.options.particle_diameter, particles.pixel_size, particles.box, reach,
                           two_dimensional)

    def search_plan(self, size: int, coarse: int, shifts: ShiftGrid, signal: np.ndarray, seed: int, *,
                    sigma: float = 0.0, diameter: float = 0.0) -> SearchPlan:
        """Return a plan with the options' CTF and mask."""
        options = self.options
        return SearchPlan(
            size=size, coarse_size=coarse, shifts=shifts, sigma=sigma, use_ctf=options.ctf, zero_mask=options.zero_mask,
            intact_first_peak=options.ctf_intact_first_peak, mask=self.mask, signal=signal, seed=seed,
            diameter=diameter)

    def lead(self, work: Callable[[], T]) -> T:
        """Let rank 0 do something, and return the result on every rank."""
        return lead(self.work.ranks, work)

    def say(self, text: str) -> None:
        """Print on rank 0."""
        if self.work.ranks.rank == 0 and text:
            print(text, flush=True)
