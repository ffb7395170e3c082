"""Inverted micrographs are said while particles are picked, healthy ones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_autopick import DIAMETER, PIXEL, Simulated, pick, simulated, write_project

from cryosnake.numerics.picking.background import working_image
from cryosnake.numerics.picking.contrast import darkness

__all__ = ["simulated"]  # the fixture


def said(capsys: pytest.CaptureFixture[str], folder: Path, images: list[np.ndarray], invert: bool = True) -> list[str]:
    rows = write_project(folder, {f"m{number}": image for number, image in enumerate(images, 1)})
    capsys.readouterr()
    pick(folder, rows, invert=invert)
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("WARNING")]


@pytest.mark.parametrize(("sign", "scale", "invert", "seen"), [
    (-1, 1.0, True, "bright"), (-1, 0.01, True, "bright"), (1, 1.0, False, "dark"), (1, 50.0, False, "dark")])
def test_the_wrong_contrast_is_said_once(simulated: list[Simulated], tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                         sign: int, scale: float, invert: bool, seen: str) -> None:
    (line,) = said(capsys, tmp_path, [sign * scale * case.image for case in simulated], invert)
    assert f"particles is {seen}" in line and f"set invert: {str(not invert).lower()}, here and in Extract" in line
    assert "Movies/m3.mrc" in line


def with_holes(image: np.ndarray) -> np.ndarray:
    """Return a micrograph whose ice has broken."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    holes = [(y - cy) ** 2 + (x - cx) ** 2 < r * r for cy, cx, r in ((200, 200, 60), (500, 300, 30), (300, 600, 20))]
    return image * np.where(np.any(holes, axis=0), 1.4, 1.0)


@pytest.mark.parametrize("kind", ["healthy", "holes", "inverted, of which one is not", "noise", "two inverted"])
def test_nothing_is_said_where_it_is_not_clear(simulated: list[Simulated], tmp_path: Path, kind: str,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    images = [case.image for case in simulated]
    noise = list(np.random.default_rng(2).normal(0.0, 1.0, (4, 400, 400)))
    other = {"healthy": images, "holes": [with_holes(image) for image in images], "noise": noise,
             "inverted, of which one is not": [images[0], *(-image for image in images)],
             "two inverted": [-images[0], -images[2], *noise[:2]]}
    assert not said(capsys, tmp_path, other[kind])


def test_either_sign_is_as_sure_as_the_other(simulated: list[Simulated]) -> None:
    size = float(np.mean(DIAMETER))
    for case in simulated:
        one, other = (darkness(working_image(sign * case.image, PIXEL, 10.0), size) for sign in (1, -1))
        assert one == pytest.approx(-other, abs=0.6)
        assert (one > 4.0) == (case.name != "sparse")
