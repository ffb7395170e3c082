"""The files of real projects can be read, and give back what is known of them."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import starfile

from cryosnake.io.mrc import check_complete, read_images, read_mrc
from cryosnake.io.star import read_star, read_table, write_star

pytestmark = pytest.mark.data


def test_every_star_file_of_the_real_projects(real_data: Path, tmp_path: Path) -> None:
    # The markers below .Nodes are empty, and 3.1's coords_suffix files hold a path, no table.
    paths = [path for path in sorted(real_data.rglob("*.star"))
             if path.stat().st_size and "coords_suffix" not in path.name]
    assert len(paths) > 150
    for path in paths:
        tables = read_star(path)
        rows = {name: len(table) for name, table in tables.items()}
        write_star(tmp_path / "copy.star", tables)
        again = read_star(tmp_path / "copy.star")
        assert {name: len(table) for name, table in again.items()} == rows, path
        for name, table in tables.items():
            assert list(again[name].columns) == list(table.columns), path
            for label in table.columns:
                if table[label].dtype.kind == "f":
                    # six decimals, or seven digits
                    np.testing.assert_allclose(again[name][label], table[label], 6e-7, 6e-7, err_msg=str(path))
                else:
                    assert again[name][label].tolist() == table[label].tolist(), f"{path} {label}"


def test_the_archived_project(real_data: Path, tmp_path: Path) -> None:
    """All STAR files of a complete RELION 3.1 project, jobs from Import to LocalRes."""
    count = 0
    with tarfile.open(real_data / "relion31_project_bgal" / "relion_tutorial_files.tar.xz") as archive:
        for member in archive:
            name = member.name
            # 3.1's coords_suffix files hold a path, no table; the iterations of one job repeat one another.
            repeated = "_it0" in name and "_it025_" not in name
            file = archive.extractfile(member) if name.endswith(".star") and member.size and not repeated else None
            if file is None or "coords_suffix" in name:
                continue
            (tmp_path / "a.star").write_bytes(file.read())
            assert read_star(tmp_path / "a.star"), name
            count += 1
    assert count > 100


@pytest.mark.parametrize(("name", "block", "rows"), [
    ("bgal_k2_particles/known_poses.star", "particles", 707),
    ("bgal_k2_particles/particles_all_goodctf.star", "particles", 1408),
    ("bgal_k2_particles/known_ctf.star", "micrographs", 12),
])
def test_known_counts(real_data: Path, name: str, block: str, rows: int) -> None:
    assert len(read_table(real_data / name, block)) == rows


def test_values_agree_with_starfile(real_data: Path) -> None:
    path = real_data / "bgal_k2_particles" / "known_poses.star"
    oracle = starfile.read(path, always_dict=True)
    for name, table in read_star(path).items():
        for label in table.columns:
            if table[label].dtype.kind == "f":
                np.testing.assert_array_equal(table[label], oracle[name][label].astype(float))
            else:
                assert table[label].astype(str).tolist() == oracle[name][label].astype(str).tolist()


def test_every_mrc_file_of_the_real_projects(real_data: Path) -> None:
    paths = [path for pattern in ("*.mrc", "*.mrcs") for path in sorted(real_data.rglob(pattern))]
    assert len(paths) > 30
    for path in paths:
        header = check_complete(path)
        array, pixel_size = read_mrc(path)
        assert array.dtype == np.float32 and array.size == header.nx * header.ny * header.nz
        assert pixel_size == header.pixel_size and np.isfinite(array).all()


def test_particles_of_the_main_set(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = real_data / "bgal_k2_particles"
    monkeypatch.chdir(folder)
    table = read_table(folder / "particles_all_goodctf.star", "particles", ["rlnImageName"])
    images = read_images(table["rlnImageName"].tolist())
    assert images.shape == (1408, 64, 64)
    # Normalised by RELION: mean 0 and deviation 1 outside of the particle, so nearly so over the box.
    assert abs(images.mean()) < 0.1 and abs(images.std() - 1) < 0.15
