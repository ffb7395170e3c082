"""Particles that no refinement may be started with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.programs.refinement.particle_checks import check_values, refuse_blank

NAMES = [f"{i:06d}@a.mrcs" for i in range(1, 5)]


def table(**changes: list[float]) -> pd.DataFrame:
    columns = {"rlnImageName": NAMES, "rlnDefocusU": [1e4] * 4, "rlnAngleRot": [0.0] * 4}
    return pd.DataFrame({**columns, **changes})


OPTICS = pd.DataFrame({"rlnOpticsGroup": [1], "rlnCtfDataAreCtfPremultiplied": [0]})


def test_good_particles_pass() -> None:
    check_values("p.star", table(), OPTICS, True)
    check_values("p.star", table(rlnDefocusU=[np.nan] * 4), OPTICS, False)


@pytest.mark.parametrize(("particles", "optics", "words"), [
    (table(rlnDefocusU=[1e4, np.nan, 1e4, 1e4]), OPTICS, "rlnDefocusU is not a number for 1 particle.*000002@a.mrcs"),
    (table(rlnAngleRot=[0, 0, np.inf, 0]), OPTICS, "rlnAngleRot is not a number.*000003@a.mrcs"),
    (table(rlnImageName=[*NAMES[:3], NAMES[0]]), OPTICS, "appear twice, the first is 000001@a.mrcs"),
    (table(), OPTICS.assign(rlnCtfDataAreCtfPremultiplied=1), "rlnCtfDataAreCtfPremultiplied is set"),
])
def test_what_would_spoil_a_refinement_is_refused(particles, optics, words) -> None:
    with pytest.raises(CryosnakeError, match=words):
        check_values("p.star", particles, optics, True)


@pytest.mark.parametrize(("value", "words"), [(np.nan, "contain NaN"), (0.0, "are blank")])
def test_images_without_content_are_named(value, words) -> None:
    images = np.random.default_rng(1).normal(size=(4, 8, 8)).astype(np.float32)
    refuse_blank("p.star", NAMES, images)
    images[2] = value
    with pytest.raises(CryosnakeError, match=f"p.star: 1 image.*{words}.*000003@a.mrcs"):
        refuse_blank("p.star", NAMES, images)
