"""CtfRefine on simulated particles whose lens is known, and on input that cannot be right."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_reconstruct import reconstruct

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images, read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import CtfRefineOptions, PostProcessOptions
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.ctfrefine import fits
from cryosnake.programs.ctfrefine.ctfrefine import run
from cryosnake.programs.maps import postprocess
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.report.job_pictures import draw_pictures
from cryosnake.simulation.aberrations import Aberrations

LENS = Aberrations(beam_tilt=(0.5, -0.4), odd=(0.0, 0.0, 80.0, 0.0, 0.0, -60.0),
                   even=(0.0, 0.0, 0.0, 0.0, 250.0, 0.0, 0.0, 0.0, -200.0), magnification=((1.006, 0.0), (0.0, 0.996)))
BOX, PIXEL, COUNT = 64, 2.0, 200


def nothing(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Particles without what their lens does in the optics table, each 150 Å (RMS) off its defocus, and PostProcess."""
    folder = tmp_path_factory.mktemp("ctfrefine")
    simulate_particles(folder, StackSettings(count=COUNT, box=BOX, pixel_size=PIXEL, snr=0.5, symmetry="C1",
                                             residues=300, aberrations=LENS, per_micrograph=20, shift=2.0, seed=3))
    rng, truth = np.random.default_rng(5), read_star(folder / "truth/particles.star")
    particles, off = truth["particles"].copy(), rng.normal(0.0, 150.0, COUNT)
    particles["rlnRandomSubset"] = 1 + np.arange(COUNT) % 2
    particles[["rlnDefocusU", "rlnDefocusV"]] += off[:, None]
    particles["rlnImageName"] = [name.replace("@", f"@{folder}/") for name in particles["rlnImageName"]]
    known = [label for label in truth["optics"] if label not in LENS.columns()]
    write_star(folder / "particles.star", {"optics": truth["optics"][known], "particles": particles})
    density, _ = read_mrc(folder / "truth/map.mrc")
    for half in (1, 2):
        noisy = density + rng.normal(0.0, 0.5 * density.std(), density.shape)
        write_mrc(folder / f"run_half{half}_class001_unfil.mrc", noisy.astype(np.float32), PIXEL)
    write_mrc(folder / "mask.mrc", soft_disc(BOX, 24.0, 4.0, dimensions=3), PIXEL)
    postprocess.run(PostProcessOptions(auto_b_factor=False), {
        "half_maps": folder / "run_half1_class001_unfil.mrc", "mask": folder / "mask.mrc"}, folder, nothing)
    return folder


def refine(project: Path, out: Path, particles: str = "particles.star", post: str = "postprocess.star",
           **options: object) -> None:
    out.mkdir(parents=True, exist_ok=True)
    run(CtfRefineOptions(**options), {"particles": project / particles, "postprocess": project / post}, out, nothing)


@pytest.fixture(scope="module")
def refined(project: Path) -> Path:
    refine(project, project / "CtfRefine/job001")
    return project / "CtfRefine/job001"


def test_all_fits_in_one_job_find_the_lens(project: Path, refined: Path) -> None:
    found = read_particles(str(refined / "particles_ctf_refine.star"))
    group, true = found.groups[0], read_particles(str(project / "truth/particles.star"))
    axis = np.fft.fftfreq(BOX, PIXEL)
    kx, ky = (values.ravel() for values in np.meshgrid(axis, axis))
    inside = np.hypot(kx, ky) < 1.0 / 5.0
    kx, ky = kx[inside], ky[inside]

    def wrong(kind: str, *shapes: np.ndarray) -> float:
        basis = np.stack(shapes, 1)
        both = [getattr(each, kind)(kx, ky) for each in (group, true.groups[0])]
        free = [phase - basis @ np.linalg.lstsq(basis, phase, rcond=None)[0] for phase in both]
        return float((free[0] - free[1]).std() / free[1].std())

    assert wrong("odd_phase", kx, ky) < 0.1
    assert wrong("even_phase", np.ones_like(kx), kx**2 + ky**2, kx**2 - ky**2, kx * ky) < 0.25
    assert np.abs(group.magnification - true.groups[0].magnification).max() < 0.002
    off = [0.5 * sum(each.column(f"rlnDefocus{axis}") for axis in "UV") for each in (found, true)]
    assert (off[0] - off[1]).std() < 60.0  # 150 before


def test_columns_are_relions_and_no_row_or_column_is_lost(project: Path, refined: Path) -> None:
    before, after = (read_star(path) for path in (project / "particles.star", refined / "particles_ctf_refine.star"))
    assert list(before["particles"]) == list(after["particles"])
    assert before["particles"]["rlnImageName"].tolist() == after["particles"]["rlnImageName"].tolist()
    assert set(after["optics"]) - set(before["optics"]) == {
        "rlnBeamTiltX", "rlnBeamTiltY", "rlnOddZernike", "rlnEvenZernike",
        *(f"rlnMagMat{place}" for place in ("00", "01", "10", "11"))}
    terms = str(after["optics"]["rlnOddZernike"].iloc[0])
    assert terms.count(",") == 5 and " " not in terms and terms.strip("[]").split(",")[3:5] == ["0.000000"] * 2
    assert str(after["optics"]["rlnEvenZernike"].iloc[0]).count(",") == 8


def test_a_later_job_computes_what_no_other_has_computed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With new micrographs, these alone, in all fits; what is damaged, again; files with other times are the same."""
    computed: list[str] = []

    def counted(name: str) -> None:
        real = getattr(fits, name)
        monkeypatch.setattr(fits, name, lambda unit, *more: (computed.append(name), real(unit, *more))[1])

    stages = ("sum_phases", "sum_magnification", "refined_lens")
    for name in stages:
        counted(name)
    tables, found = read_star(project / "particles.star"), []
    for number, rows in ((1, 180), (2, COUNT), (3, COUNT), (4, COUNT)):
        write_star(project / "some.star", {**tables, "particles": tables["particles"].iloc[:rows]})
        computed.clear()
        refine(project, project / f"Other/job00{number}", "some.star", rounds=1)
        found.append([computed.count(name) for name in stages])
        for path in (*project.glob("*.mrc*"), project / "postprocess.star"):
            os.utime(path, (number, number))
        if number == 3:
            damaged = next(project.glob("Other/job001/**/micrograph_*_phases_1.npz"))
            damaged.write_bytes(damaged.read_bytes()[:100])
    assert found == [[9] * 3, [1] * 3, [0] * 3, [1, 0, 0]]
    again = [(project / f"Other/job00{number}/particles_ctf_refine.star").read_text() for number in (2, 3, 4)]
    assert again[0] == again[1] == again[2]


def test_the_picture_is_drawn(refined: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_pictures(["aberrations"], refined, {})
    assert (refined / "aberrations.png").stat().st_size > 10_000 and not capsys.readouterr().err


def changed(project: Path, name: str, block: str, **columns: object) -> str:
    tables = read_star(project / ("postprocess.star" if block in ("general", "fsc") else "particles.star"))
    table: pd.DataFrame = tables[block]
    for label, value in columns.items():
        if value is None:
            tables[block] = table = table.drop(columns=label)
        else:
            table[label] = value
    as_list = {"general"} & set(tables)
    write_star(project / name, {key: value.iloc[0].to_dict() if key in as_list else value
                                for key, value in tables.items()})
    return name


@pytest.mark.parametrize(("block", "columns", "said"), [
    ("general", {"rlnMaskName": None}, "names no mask"),
    ("general", {"rlnMaskName": "gone.mrc"}, "does not exist"),
    ("general", {"rlnUnfilteredMapHalf2": "mask.mrc"}, "its own half map"),
    ("fsc", {"rlnFourierShellCorrelationCorrected": 0.01}, "agree in 0 shell"),
    ("particles", {"rlnRandomSubset": None}, "lacks rlnRandomSubset"),
    ("particles", {"rlnRandomSubset": 3}, "half set, 1 or 2"),
    ("optics", {"rlnCtfDataAreCtfPremultiplied": 1}, "multiplied by their CTF"),
])
def test_what_cannot_be_refined_is_refused(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str,
                                           columns: dict[str, object], said: str) -> None:
    monkeypatch.chdir(project)
    name = changed(project, "bad.star", block, **columns)
    particles, post = ("particles.star", name) if block in ("general", "fsc") else (name, "postprocess.star")
    with pytest.raises(CryosnakeError, match=said):
        refine(project, tmp_path, particles, post)
    assert not list(tmp_path.iterdir())


def test_nothing_chosen_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match="nothing is to be fitted"):
        refine(project, tmp_path, defocus="no", astigmatism="no", beam_tilt=False, trefoil=False, fourth_order=False,
               magnification=False)


def test_groups_of_other_boxes_are_fitted_by_themselves(project: Path, tmp_path: Path) -> None:
    tables = read_star(project / "particles.star")
    rows, images = np.arange(100, COUNT), read_images(tables["particles"]["rlnImageName"].tolist()[100:])
    write_mrc(tmp_path / "small.mrcs", images[:, 4:-4, 4:-4], PIXEL, stack=True)
    tables["particles"].loc[rows, "rlnImageName"] = [f"{n + 1:06d}@{tmp_path}/small.mrcs" for n in range(len(rows))]
    tables["particles"].loc[rows, "rlnOpticsGroup"] = 2
    small = tables["optics"].assign(rlnOpticsGroup=2, rlnOpticsGroupName="small", rlnImageSize=BOX - 8)
    write_star(project / "mixed.star", {"optics": pd.concat([tables["optics"], small]),
                                        "particles": tables["particles"]})
    refine(project, tmp_path / "CtfRefine/job001", "mixed.star")
    optics = read_star(tmp_path / "CtfRefine/job001/particles_ctf_refine.star")["optics"]
    assert optics["rlnImageSize"].tolist() == [BOX, BOX - 8]
    for label, true in (("rlnBeamTiltX", 0.5), ("rlnBeamTiltY", -0.4)):
        assert optics[label].to_numpy(float) == pytest.approx([true] * 2, abs=0.2)
    assert optics["rlnMagMat00"].to_numpy(float) == pytest.approx([1.006] * 2, abs=0.002)


def test_exchanged_half_maps_are_refused(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps made from the particles: either way round they look alike, but for the particles' own noise."""
    monkeypatch.chdir(tmp_path)
    reconstruct(project / "particles.star", tmp_path / "run")
    (tmp_path / "mask.mrc").symlink_to(project / "mask.mrc")
    first, second = (tmp_path / f"run_half{half}_class001_unfil.mrc" for half in (1, 2))
    options = {"defocus": "no", "astigmatism": "no", "magnification": False, "fourth_order": False}
    postprocess.run(PostProcessOptions(auto_b_factor=False), {"half_maps": first, "mask": tmp_path / "mask.mrc"},
                    tmp_path, nothing)
    post = str(tmp_path / "postprocess.star")
    refine(project, tmp_path / "right", post=post, **options)
    first.rename("other.mrc"), second.rename(first), Path("other.mrc").rename(second)
    with pytest.raises(CryosnakeError, match="should not contain them"):
        refine(project, tmp_path / "wrong", post=post, **options)


def test_one_particle_of_a_micrograph_and_an_empty_optics_group_stay(project: Path, tmp_path: Path) -> None:
    tables = read_star(project / "particles.star")
    tables["particles"].loc[0, "rlnMicrographName"] = "alone.mrc"
    other = tables["optics"].assign(rlnOpticsGroup=2, rlnOpticsGroupName="empty")
    write_star(project / "odd.star", {"optics": pd.concat([tables["optics"], other]),
                                      "particles": tables["particles"].iloc[:40]})
    refine(project, tmp_path, "odd.star", rounds=1)
    after = read_star(tmp_path / "particles_ctf_refine.star")
    assert len(after["particles"]) == 40 and len(after["optics"]) == 2
    assert after["optics"]["rlnBeamTiltX"].iloc[1] == 0.0 and after["optics"]["rlnMagMat00"].iloc[1] == 1.0
    shutil.rmtree(tmp_path)
