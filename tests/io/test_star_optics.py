"""Files of RELION 3.0 and older, and optics tables without sizes, in the form of RELION 3.1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star
from cryosnake.io.star_optics import with_optics
from cryosnake.io.star_rows import count_rows
from cryosnake.jobs.options import ExtractOptions
from cryosnake.programs.micrographs.extract_again import read_refined, refined_optics
from cryosnake.programs.refinement.particles import read_particles


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_mrc("a.mrcs", np.zeros((3, 16, 16), np.float32), 3.54, stack=True)


def star(block: str, columns: str, *rows: str) -> str:
    text = f"\ndata_{block}\n\nloop_\n" + "".join(f"_rln{label} #{i}\n" for i, label in enumerate(columns.split(), 1))
    Path("a.star").write_text(text + "\n".join(rows) + "\n\n")
    return "a.star"


OLD = "ImageName MicrographName CoordinateX CoordinateY DefocusU DefocusV DefocusAngle Voltage SphericalAberration " \
      "AmplitudeContrast Magnification DetectorPixelSize OriginX OriginY"


@pytest.mark.parametrize("block", ["", "images", "particles"])
def test_particles_of_relion_3_0(block: str) -> None:
    path = star(block, OLD, "000001@a.mrcs m/a.mrc 10 20 9000 8900 30 300 2.7 0.1 39548 14 2 -1",
                "000002@a.mrcs m/a.mrc 30 20 9000 8900 30 300 2.7 0.1 39548 14 0 0",
                "000003@a.mrcs m/b.mrc 10 20 9000 8900 30 200 1.4 0.07 39548 14 0 1")
    assert count_rows(path) == 3
    particles = read_particles(path)
    optics = particles.tables["optics"]
    assert (particles.box, particles.pixel_size) == (16, 3.54)  # 14 µm / 39,548
    assert optics["rlnOpticsGroup"].tolist() == [1, 2] and particles.table["rlnOpticsGroup"].tolist() == [1, 1, 2]
    assert optics[["rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"]].to_numpy().tolist() == [
        [300.0, 2.7, 0.1], [200.0, 1.4, 0.07]]
    np.testing.assert_allclose(particles.offsets(), [[2, -1], [0, 0], [0, 1]])
    np.testing.assert_allclose(particles.table["rlnOriginXAngst"], [7.08, 0, 0], atol=1e-4)
    gone = {"rlnVoltage", "rlnMagnification", "rlnDetectorPixelSize", "rlnOriginX"}
    assert not gone & set(particles.table.columns)
    refined = read_refined(Path(path), ExtractOptions(box_size=32, device="cpu"))
    assert len(refined.optics) == 2 and set(refined.by_micrograph) == {"m/a.mrc", "m/b.mrc"}


@pytest.mark.parametrize(("block", "label", "kind", "pixels"), [
    ("", "MicrographName", "micrographs", ["rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"]),
    ("micrographs", "MicrographName", "micrographs", ["rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"]),
    ("", "MicrographMovieName", "movies", ["rlnMicrographOriginalPixelSize"])])
def test_micrographs_and_movies_of_relion_3_0(block: str, label: str, kind: str, pixels: list[str]) -> None:
    path = star(block, f"{label} Voltage SphericalAberration AmplitudeContrast Magnification DetectorPixelSize",
                "m/a.mrc 300 2.7 0.1 56497 5", "m/b.mrc 300 2.7 0.1 56497 5")
    tables = with_optics(path, read_star(path))
    assert list(tables) == ["optics", kind] and tables[kind].columns.tolist() == [f"rln{label}", "rlnOpticsGroup"]
    (optics,) = tables["optics"].to_dict("records")
    assert [round(optics[name], 4) for name in pixels] == [0.885] * len(pixels) and optics["rlnVoltage"] == 300.0


def test_what_does_not_describe_its_optics_stays_without() -> None:
    for block, columns, row in (("", "MicrographName CoordinateX CoordinateY", "m/a.mrc 1 2"),
                                ("", "MicrographName", "m/a.mrc"), ("", "CoordinateX CoordinateY", "1 2"),
                                ("coordinate_files", "MicrographName MicrographCoordinates", "m/a.mrc c.star"),
                                ("general", "MicrographMovieName Voltage", "m/a.tif 300")):
        path = star(block, columns, row)
        assert "optics" not in with_optics(path, read_star(path))
    path = star("", "MicrographName CoordinateX CoordinateY", "m/a.mrc 1 2")
    assert refined_optics(Path(path), [{"rlnOpticsGroup": 1, "rlnMicrographPixelSize": 2.0}], 32, 16)[0][
        "rlnImagePixelSize"] == 4.0


def test_a_bare_list_of_images_has_the_sizes_of_its_stack() -> None:
    particles = read_particles(star("", "ImageName", "1@a.mrcs", "2@a.mrcs"), need_ctf=False)
    assert (len(particles), particles.box, particles.pixel_size) == (2, 16, 3.54)
    with pytest.raises(CryosnakeError, match=r"a\.star: data_particles lacks rlnDefocusU"):
        read_particles("a.star")


OPTICS = "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnVoltage\n_rlnSphericalAberration\n_rlnAmplitudeContrast\n{more}" \
         "1 300 2.7 0.1{value}\n\n"


@pytest.mark.parametrize(("more", "value", "pixel_size"), [
    ("", "", 3.54), ("_rlnImagePixelSize\n", " 1.77", 1.77), ("_rlnImageSize\n", " 16", 3.54)])
def test_sizes_that_an_optics_table_lacks_are_those_of_the_stack(more: str, value: str, pixel_size: float) -> None:
    path = star("particles", "ImageName OpticsGroup", "1@a.mrcs 1", "2@a.mrcs 1")
    Path(path).write_text(OPTICS.format(more=more, value=value) + Path(path).read_text())
    particles = read_particles(path, need_ctf=False)
    assert (particles.box, particles.pixel_size) == (16, pixel_size)
    write_mrc("a.mrcs", np.zeros((3, 16, 16), np.float32), 1.0, stack=True)
    if "PixelSize" not in more:
        with pytest.raises(CryosnakeError, match=r"rlnImagePixelSize in data_optics.*a\.mrcs says 1 Å.*Add the column"):
            read_particles(path, need_ctf=False)


@pytest.mark.data
@pytest.mark.parametrize(("name", "count", "box", "pixel_size"), [
    ("cryosparc_and_misc/relion31.6opticsgroups.star", None, None, None),
    ("bgal_k2_particles/known_poses.star", 707, 64, 3.54)])
def test_real_files(name: str, count: int | None, box: int | None, pixel_size: float | None, real_data: Path) -> None:
    tables = read_star(real_data / name)
    same = with_optics(name, tables)
    assert list(same) == list(tables) and all(same[block].equals(tables[block]) for block in tables)
    if count:
        particles = read_particles(real_data / name)
        assert (len(particles), particles.box, particles.pixel_size) == (count, box, pixel_size)


@pytest.mark.data
def test_real_files_of_older_versions(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(real_data / "cryosparc_and_misc")
    particles = read_particles("empiar_10076_7.star")
    assert (len(particles), particles.box, particles.pixel_size) == (7, 320, 1.31)
    path = real_data / "relion20_bgal_falcon/Select/job015/particles.star"
    tables = with_optics(path, read_star(path), images=False)
    (optics,) = tables["optics"].to_dict("records")
    assert (optics["rlnVoltage"], optics["rlnSphericalAberration"], optics["rlnImagePixelSize"]) == (300.0, 2.0, 3.54)
    np.testing.assert_allclose(tables["particles"]["rlnOriginXAngst"], read_star(path)[""]["rlnOriginX"] * 3.54)
