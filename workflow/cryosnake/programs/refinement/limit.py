"""A resolution that the expectation step does not look beyond (RELION: strict_highres_exp)."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from cryosnake.numerics.refine.grids.references import ClassReferences, MapReference, limited
from cryosnake.programs.refinement.particles import Particles

Kind = TypeVar("Kind", MapReference, ClassReferences)


def shell_of(particles: Particles, resolution: float) -> int:
    """Return the last shell that is no finer than a resolution in Å, at least 1; for 0 the last of all."""
    if resolution <= 0:
        return particles.box // 2
    return max(1, min(int(particles.box * particles.pixel_size / resolution), particles.box // 2))


def seen_to(particles: Particles, reference: Kind, resolution: float) -> Kind:
    """Return the reference as the expectation step sees it: nothing finer than a resolution in Å, 0 for everything."""
    if resolution <= 0:
        return reference
    return replace(reference, transforms=limited(reference.transforms, shell_of(particles, resolution)))
