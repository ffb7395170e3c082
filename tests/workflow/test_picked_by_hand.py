"""Picks taken from a file, the job of them, and extraction and training from it, with Snakemake itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.cli import main
from cryosnake.io.mrc import read_mrc
from cryosnake.io.mrc_writer import write_mrc
from cryosnake.io.star import read_star
from cryosnake.project.actions.picking import picking_offer, picks_on, save_picks
from small_project import snakemake

pytestmark = pytest.mark.workflow

CONFIG = """
title: picked by hand
pictures: false
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 5.0}
jobs:
  mics:   {type: import, micrographs: "Micrographs/*.mrc", settling_time: 0}
  manual: {type: manualpick, micrographs: mics, diameter: 100}
  cut:    {type: extract, micrographs: mics, coordinates: manual, box_size: 32, invert: true}
  few:    {type: extract, micrographs: manual.micrographs, coordinates: manual, box_size: 32, rescale: 16}
  picker: {type: trainpicker, coordinates: manual, diameter: [90, 110]}
"""
SIDE, WIDTH = 256, 5.0  # px, of a micrograph; s.d. of a particle


def test_picks_are_waited_for_taken_extracted_and_learned_from(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(CONFIG)
    truth = {f"m{number}": micrograph(f"m{number}", number) for number in (1, 2, 3)}
    said = snakemake(tmp_path)
    assert "waits for you: manual: pick particles: cryosnake web --edit, job manual" in said
    for name, places in list(truth.items())[:2]:
        Path(f"{name}.box").write_text("".join(f"{x - 10} {y - 10} 20 20\n" for x, y in places))
    assert main(["pick", "manual", "--from", "m1.box", "m2.box"]) == 0
    snakemake(tmp_path)
    rows = read_star("Extract/cut/particles.star")["particles"]
    assert sorted(places_of(rows)) == sorted((*truth["m1"], *truth["m2"]))
    images = read_mrc("Extract/cut/Micrographs/m1.mrcs")[0]
    assert np.all(images[:, 14:19, 14:19].mean((1, 2)) > 2), "a bright particle in the middle of each box"
    assert len(read_star("Extract/few/particles.star")["particles"]) == len(rows)
    assert Path("TrainPicker/picker/picker.npz").exists()
    offer = picking_offer("manual")
    name = offer.micrographs[0].name
    save_picks("manual", name, truth["m1"][:9], picks_on(offer, name).stamp)
    dry = snakemake(tmp_path, "-n")
    assert "manual (ManualPick/job006)" in dry and "picker (TrainPicker/job009)" in dry, "with what uses it"
    assert main(["status"]) == 0 and "waits for you" not in capsys.readouterr().out


def places_of(rows: pd.DataFrame) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in rows[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()]


def micrograph(name: str, seed: int) -> list[tuple[int, int]]:
    """Write noise with dark particles; return their places, x and y in px."""
    rng = np.random.default_rng(seed)
    places = [(30 + 60 * column + int(rng.integers(-8, 9)), 40 + 60 * row + int(rng.integers(-8, 9)))
              for column in range(4) for row in range(3)]
    image = rng.normal(size=(SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    for place in places:
        image -= 4 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * WIDTH**2))
    Path("Micrographs").mkdir(exist_ok=True)
    write_mrc(f"Micrographs/{name}.mrc", image.astype(np.float32), 5.0)
    return places
