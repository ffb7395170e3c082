"""InitialModel on small simulated sets, on noise, on bad input, and on the real beta-galactosidase particles."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images, read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.initialmodel import JOB
from cryosnake.numerics.alignment import align_maps
from cryosnake.numerics.map_resample import resample_map
from cryosnake.numerics.refine.sums.maximisation import low_pass
from cryosnake.programs.initialmodel import recipe as initialmodel
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

SHORT = {"iterations": 40, "initial_batch": 60, "final_batch": 120, "final_resolution": 18.0, "starts": 2}


def run(folder, particles="particles.star", progress=lambda done, total, message: None, **changed):
    folder.mkdir(exist_ok=True)
    options = JOB.options(**{"particle_diameter": 160.0} | changed)
    initialmodel.run(options, {"particles": particles}, folder, progress)


def correlation(found, truth, length, resolution=20.0, box=32):
    """Correlation of two maps to a resolution in Å, after alignment of either hand."""
    maps = [low_pass(resample_map(volume, box), length / box, resolution) for volume in (found, truth)]
    aligned, _ = align_maps(*maps, mirror_test=True, search_radius=7, refine_radius=int(length / resolution) + 1,
                            angular_step=20.0)
    return np.corrcoef(aligned.ravel(), maps[1].ravel())[0, 1]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("initial")
    simulate_particles(folder, StackSettings(count=300, box=32, pixel_size=7.0, snr=0.3, symmetry="D2", residues=240,
                                             seed=3, per_micrograph=50))
    return folder


@pytest.fixture
def project(simulated, tmp_path, monkeypatch):
    for name in ("particles.star", "particles.mrcs", "truth"):
        (tmp_path / name).symlink_to(simulated / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_d2_map_comes_out_of_particles_alone_and_on_its_axes(project, capsys):
    run(project / "out", symmetry="D2", **SHORT)
    found, pixel = read_mrc("out/initial_model.mrc")
    truth = read_mrc("truth/map.mrc")[0]
    assert found.shape == truth.shape and pixel == pytest.approx(7.0)
    assert correlation(found, truth, 224.0) > 0.85
    for flip in (np.s_[:, ::-1, ::-1], np.s_[::-1, :, ::-1]):  # two-fold axes on x and y
        turned = np.roll(found[flip], 1, tuple(i for i, part in enumerate(flip) if part.step == -1))
        assert np.corrcoef(turned.ravel(), found.ravel())[0, 1] > 0.98
    verdict = json.loads((project / "out/convergence.json").read_text())
    assert verdict["converged"] and not verdict["doubts"] and verdict["views"]["evenness"] > 0.9
    assert "Converged" in capsys.readouterr().out
    data = read_star("out/run_it040_data.star")["particles"]
    assert data["rlnImageName"].tolist() == read_star("particles.star")["particles"]["rlnImageName"].tolist()
    offsets = data[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()
    true = read_star("truth/particles.star")["particles"][["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()
    assert np.median(np.linalg.norm(offsets - true, axis=1)) < 8.0  # pixels of 7 Å
    names = {path.name for path in (project / "out").iterdir()}
    assert {"run_it040_model.star", "run_it040_optimiser.star", "run_it040_sampling.star", "run_it040_class001.mrc",
            "run_it020_class001.mrc"} <= names


def test_noise_is_not_called_a_map(project, capsys):
    rng = np.random.default_rng(7)
    write_mrc("noise.mrcs", rng.normal(size=(200, 32, 32)).astype(np.float32), 7.0, stack=True)
    tables = read_star("particles.star")
    tables["particles"] = tables["particles"].iloc[:200].assign(
        rlnImageName=[f"{i:06d}@noise.mrcs" for i in range(1, 201)])
    write_star("noise.star", tables)
    run(project / "out", "noise.star", **SHORT | {"iterations": 24, "final_resolution": 25.0})
    verdict = json.loads((project / "out/convergence.json").read_text())
    assert not verdict["converged"] and verdict["doubts"]
    assert "NOT CONVERGED" in capsys.readouterr().out
    assert read_star("out/run_it024_optimiser.star")["optimiser_general"]["rlnHasConverged"].iloc[0] == 0


def test_several_classes_and_the_same_seed(project):
    few = {"iterations": 20, "initial_batch": 40, "final_batch": 60, "final_resolution": 30.0, "starts": 1}
    for name in ("first", "second"):
        run(project / name, classes=2, **few)
    maps = [read_mrc(f"{name}/run_it020_class002.mrc")[0] for name in ("first", "second")]
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.9999
    model = read_star("first/run_it020_model.star")
    assert len(model["model_classes"]) == 2 and model["model_classes"]["rlnClassDistribution"].sum() == pytest.approx(1)
    members = read_star("first/run_it020_data.star")["particles"]["rlnClassNumber"].to_numpy()
    largest = np.bincount(members).argmax()
    np.testing.assert_array_equal(read_mrc("first/initial_model.mrc")[0],
                                  read_mrc(f"first/run_it020_class{largest:03d}.mrc")[0])


def test_bad_input_is_refused_with_a_remedy(project):
    def spoiled(rows=slice(None), **columns):
        tables = read_star("particles.star")
        tables["particles"] = tables["particles"].iloc[rows].assign(**columns)
        write_star("bad.star", tables)
        return "bad.star"

    images = read_images([f"{i:06d}@particles.mrcs" for i in range(1, 301)])
    images[7, 3, 3] = np.nan
    images.tofile("nan.raw")
    write_mrc("nan.mrcs", np.nan_to_num(images), 7.0, stack=True)
    with open("nan.mrcs", "r+b") as file:
        file.seek(1024 + 7 * 32 * 32 * 4)
        file.write(np.float32("nan").tobytes())
    with pytest.raises(CryosnakeError, match=r"000008@nan\.mrcs"):
        run(project / "out", spoiled(rlnImageName=[f"{i:06d}@nan.mrcs" for i in range(1, 301)]))
    with pytest.raises(CryosnakeError, match=r"1 particle\(s\).*from all sides.*Pick more"):
        run(project / "out", spoiled(slice(1)))
    with pytest.raises(CryosnakeError, match="fewer classes"):
        run(project / "out", spoiled(slice(3)), classes=4)
    odd = read_star("particles.star")
    odd["optics"]["rlnImageSize"] = 31
    write_star("odd.star", odd)
    with pytest.raises(CryosnakeError, match="must be even"):
        run(project / "out", "odd.star")
    with pytest.raises(CryosnakeError, match=r"smaller than the box.*224 Å"):
        run(project / "out", particle_diameter=300.0)
    with pytest.raises(CryosnakeError, match="Cn, Dn, T, O"):
        run(project / "out", symmetry="Q4")
    with pytest.raises(CryosnakeError, match="swap them"):
        run(project / "out", initial_resolution=10.0)


def test_it_stops_when_asked(project):
    def stop(done, total, message):
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(project / "out", progress=stop, **SHORT)
    assert not (project / "out/initial_model.mrc").exists()


@pytest.mark.relion
def test_relion_goes_on_from_our_files(project, relion):
    few = {"iterations": 20, "initial_batch": 40, "final_batch": 60, "final_resolution": 30.0, "starts": 1}
    run(project / "out", **few)
    done = subprocess.run(
        [relion / "relion_refine", "--i", "out/run_it020_data.star", "--o", "out/theirs", "--ref",
         "out/initial_model.mrc", "--iter", "1", "--K", "1", "--ini_high", "40", "--ctf", "--ctf_corrected_ref",
         "--healpix_order", "0", "--offset_range", "2", "--offset_step", "2", "--sym", "C1", "--particle_diameter",
         "160", "--zero_mask", "--flatten_solvent", "--norm", "--scale", "--pad", "1", "--oversampling", "0"],
        capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(read_star("out/theirs_it001_data.star")["particles"]) == 300


@pytest.mark.data
@pytest.mark.slow
def test_beta_galactosidase_from_its_particles_alone(real_data, tmp_path, monkeypatch):
    monkeypatch.chdir(real_data / "bgal_k2_particles")
    tables = read_star("known_poses.star")
    hidden = [f"rln{name}" for name in ("AngleRot", "AngleTilt", "AnglePsi", "OriginXAngst", "OriginYAngst",
                                        "RandomSubset")]
    tables["particles"] = tables["particles"].drop(columns=hidden)
    write_star(tmp_path / "particles.star", tables)
    run(tmp_path / "out", tmp_path / "particles.star", symmetry="D2", particle_diameter=200.0, starts=1, seed=3)
    found = read_mrc(tmp_path / "out/initial_model.mrc")[0]
    assert correlation(found, read_mrc(real_data / "models/5a1a_box64_3.54A.mrc")[0], 64 * 3.54) > 0.95
    verdict = json.loads((tmp_path / "out/convergence.json").read_text())
    assert verdict["converged"] and verdict["reproduced"] > 0.9
