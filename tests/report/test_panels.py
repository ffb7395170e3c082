from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosnake.numerics.symmetry import operators
from cryosnake.report.panels import class_maps as class_maps_panel
from cryosnake.report.panels import classes as classes_panel
from cryosnake.report.panels import fsc as fsc_panel
from cryosnake.report.panels import local_resolution as local_resolution_panel
from cryosnake.report.panels import map as map_panel
from cryosnake.report.panels import particles as particles_panel
from cryosnake.report.panels.figures import save

matplotlib = pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)


def ball(box: int, radius: float) -> np.ndarray:
    grid = np.mgrid[:box, :box, :box] - box // 2
    return ((grid**2).sum(axis=0) < radius**2).astype(np.float32)


def figures() -> dict[str, object]:
    shells, box_size = np.arange(33), 64 * 1.5
    curve = 1 / (1 + np.exp((shells - 20) / 2.0))
    picks = RNG.uniform(0, 100, (30, 2))
    return {
        "map": map_panel.map_views(ball(64, 12), 1.5, "a ball"),
        "local resolution": local_resolution_panel.local_resolution_views(
            4.0 + 3.0 * RNG.random((64,) * 3), ball(64, 12), ball(64, 14) > 0, 1.5),
        "fsc": fsc_panel.fsc_curves({"corrected": curve, "masked": curve**0.9}, shells / box_size, resolution=4.2),
        "guinier": fsc_panel.guinier_plot(shells / box_size, {"original": -30 * (shells / box_size) ** 2}, (-30.0, 0.0),
                                          -120.0, 4.2),
        "classes": classes_panel.class_montage(RNG.normal(size=(7, 16, 16)), [5, 0, 9, 1, 3, 3, 0],
                                               [10.0, np.inf, 8.0, np.nan, 9.0, 12.0, 1.0]),
        "3D classes": class_maps_panel.class_slices(np.stack([ball(64, 12), 0 * ball(64, 12), ball(64, 9)]), [5, 0, 3],
                                                    [10.0, 999.0, 12.0], 1.5),
        "one class": classes_panel.class_montage(RNG.normal(size=(1, 16, 16)), [5]),
        "angles": particles_panel.angular_distribution(RNG.uniform(-180, 180, 500), RNG.uniform(0, 180, 500)),
        "angles in D2": particles_panel.angular_distribution(np.zeros(5), np.zeros(5), operators("D2")),
        "picks": particles_panel.micrograph_picks(RNG.normal(size=(90, 100)), picks, 10.0, 3.5),
        "no picks": particles_panel.micrograph_picks(RNG.normal(size=(90, 100)), picks[:0], 10.0, 3.5),
        "motion": particles_panel.motion_statistics({"total": RNG.uniform(0, 9, 40), "early": RNG.uniform(0, 9, 40)}),
    }


def test_every_panel_becomes_a_png(tmp_path: Path) -> None:
    for name, figure in figures().items():
        save(figure, tmp_path / f"{name}.png", dpi=60)  # type: ignore[arg-type]
        pixels = matplotlib.image.imread(tmp_path / f"{name}.png")[..., :3]
        assert pixels.std() > 0.02, f"{name} is blank"
    assert not list(tmp_path.glob(".*"))


def test_style_stays_inside_the_panels() -> None:
    before = dict(matplotlib.rcParams)
    figures()
    assert dict(matplotlib.rcParams) == before


def test_class_montage_is_sorted_by_size() -> None:
    figure = classes_panel.class_montage(RNG.normal(size=(4, 16, 16)), [5, 0, 20, 8])
    below = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert below == ["class 3", "class 4", "class 1"]
    assert [axes.get_title() for axes in figure.axes] == ["20  (61%)", "8  (24%)", "5  (15%)"]
    assert figure.get_suptitle() == "2D classes: 33 particles in 3 classes, 1 empty"


def test_map_is_cropped_about_its_centre() -> None:
    cropped = ball(64, 12)[map_panel.content_window(ball(64, 12))]
    assert 24 <= cropped.shape[0] < 40 and len(set(cropped.shape)) == 1
    assert cropped.sum() == ball(64, 12).sum()
    assert map_panel.content_window(np.zeros((64,) * 3)) == (slice(0, 64),) * 3


def test_even_views_have_density_one() -> None:
    rot, tilt = RNG.uniform(-180, 180, 40000), np.degrees(np.arccos(RNG.uniform(-1, 1, 40000)))
    mesh = particles_panel.angular_distribution(rot, tilt).axes[0].collections[0]
    density = np.asarray(mesh.get_array())
    # 40,000 views in at least 400 bins: about 12 in the fullest binning of 3,200, so a spread of a third.
    assert density.mean() == pytest.approx(1.0, abs=0.1) and density.std() < 0.4
