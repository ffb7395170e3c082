"""RELION 3.1.3 says how movies, gain references and defect lists lie on each other: run it and compare."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from test_movies import eer_code, write_eer

from cryosnake.io.defects import read_defects
from cryosnake.io.gain import read_gain
from cryosnake.io.movies import read_frames, write_movie_tiff
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import write_star

pytestmark = pytest.mark.relion
HEIGHT, WIDTH = 192, 256


def relion_sum(folder: Path, movie: str, *options: str) -> np.ndarray:
    """Align a movie with RELION and return the sum of its frames."""
    optics = pd.DataFrame({"rlnOpticsGroupName": ["a"], "rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [1.0],
                           "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1]})
    movies = pd.DataFrame({"rlnMicrographMovieName": [movie], "rlnOpticsGroup": [1]})
    write_star(folder / "movies.star", {"optics": optics, "movies": movies})
    (folder / "out").mkdir()
    command = ["relion_run_motioncorr", "--use_own", "--i", "movies.star", "--o", "out/", "--j", "1",
               "--dose_per_frame", "1", *options]
    log = subprocess.run(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, timeout=100,
                         capture_output=True, check=True)
    result = (folder / "out" / movie).with_suffix(".mrc")
    assert result.exists(), log.stderr
    return read_mrc(result)[0]


def blocks(image: np.ndarray, size: int = 8) -> np.ndarray:
    """Average over blocks: RELION shifts frames by parts of a pixel, which moves noise."""
    height, width = image.shape
    return image.reshape(height // size, size, width // size, size).mean((1, 3), dtype=float)


def agree(ours: np.ndarray, relions: np.ndarray) -> float:
    return float(np.corrcoef(blocks(ours).ravel(), blocks(relions).ravel())[0, 1])


def spots(height: int, width: int) -> np.ndarray:
    """A picture that no rotation or reflection turns into itself."""
    y, x = np.mgrid[:height, :width]
    image = np.ones((height, width))
    for row, column, size in ((0.2, 0.15, 1.0), (0.3, 0.8, 2.0), (0.85, 0.6, 1.5)):
        image += size * np.exp(-((y - row * height) ** 2 + (x - column * width) ** 2) / (2 * 15.0**2))
    return image.astype(np.float32)


def noise(picture: np.ndarray | float, frames: int = 3) -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.poisson(np.broadcast_to(picture, (frames, HEIGHT, WIDTH))).astype(np.int16)


def save_gain(path: Path, gain: np.ndarray) -> str:
    if path.suffix == ".mrc":
        write_mrc(path, gain, 1.0)
    else:
        tifffile.imwrite(path, gain, photometric="minisblack")
    return path.name


@pytest.mark.parametrize("name", ["a.tif", "a.mrcs"])
def test_rows_of_movies(relion: Path, tmp_path: Path, name: str) -> None:
    frames = noise(40 * spots(HEIGHT, WIDTH))
    if name == "a.tif":
        tifffile.imwrite(tmp_path / name, frames.astype(np.uint8), compression="lzw", photometric="minisblack")
    else:
        write_mrc(tmp_path / name, frames, 1.0, stack=True)
    ours = read_frames(tmp_path / name).sum(0)
    relions = relion_sum(tmp_path, name)
    assert agree(ours, relions) > 0.99  # spots of 40 to 80 counts, noise below 1 % after averaging
    assert agree(ours[::-1], relions) < 0.5


@pytest.mark.parametrize("movie", ["a.tif", "a.mrcs"])
@pytest.mark.parametrize(("suffix", "rotate", "flip"), [
    *((".mrc", rotate, 0) for rotate in range(4)), (".mrc", 1, 1), (".mrc", 1, 2), (".tif", 0, 0), (".tif", 3, 2),
])
def test_gain(relion: Path, tmp_path: Path, movie: str, suffix: str, rotate: int, flip: int) -> None:
    """A flat movie times the gain is the gain: turned as RELION turns it."""
    if movie == "a.tif":
        write_movie_tiff(tmp_path / movie, noise(100.0).astype(np.uint8))
    else:
        write_mrc(tmp_path / movie, noise(100.0), 1.0, stack=True)
    shape = (HEIGHT, WIDTH) if rotate % 2 == 0 else (WIDTH, HEIGHT)
    name = save_gain(tmp_path / f"gain{suffix}", spots(*shape))
    ours = read_frames(tmp_path / movie).sum(0) * read_gain(tmp_path / name, (HEIGHT, WIDTH), rotate, flip, movie=movie)
    relions = relion_sum(tmp_path, movie, "--skip_defect", "--gainref", name, "--gain_rot", str(rotate), "--gain_flip",
                         str(flip))
    assert agree(ours, relions) > 0.99
    np.testing.assert_allclose(relions.mean(), ours.mean(), rtol=1e-3)  # multiplied as it is, not normalised
    for other in (ours[::-1], ours[:, ::-1], ours[::-1, ::-1]):
        assert agree(other, relions) < 0.9


@pytest.mark.parametrize("name", ["defects.txt", "defects.mrc", "defects.tif"])
def test_defects(relion: Path, tmp_path: Path, name: str) -> None:
    """Pixels that count 12 % too much, listed as defective: RELION fills in what is listed, nothing else."""
    rows, columns = slice(24, 40), slice(160, 184)
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[rows, columns] = 1
    if name.endswith("txt"):
        (tmp_path / name).write_text("160 24 24 16\n")
    else:
        save_gain(tmp_path / name, mask if name.endswith("mrc") else mask[::-1])
    frames = noise(100.0)
    for y in (rows, slice(HEIGHT - 40, HEIGHT - 24)):  # and its mirror image, which is not listed
        frames[:, y, columns] = 112
    write_movie_tiff(tmp_path / "a.tif", frames.astype(np.uint8))
    ours = read_defects(tmp_path / name, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(ours, mask > 0)
    relions = relion_sum(tmp_path, "a.tif", "--defect_file", name)
    assert abs(relions[ours].mean() - 300) < 3  # 384 pixels of 300 +- 17: a standard error of 0.9
    assert relions[::-1][ours].mean() > 325


@pytest.fixture(scope="module")
def eer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EER movie of 4096 x 4096 pixels, the one size that RELION takes, with a bright quarter."""
    rng = np.random.default_rng(6)
    codes = []
    for _ in range(6):
        corner = rng.choice(1024 * 2048, 20000, replace=False)
        everywhere = rng.choice(4096 * 4096, 60000, replace=False)
        pixels = np.union1d(corner // 2048 * 4096 + corner % 2048, everywhere)
        codes.append(eer_code(pixels, np.zeros((len(pixels), 2), int), 4096 * 4096))
    folder = tmp_path_factory.mktemp("eer")
    write_eer(folder / "a.eer", codes, 4096, 4096)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "gain.mrc", "gain.tif", "gain.gain"])
def test_eer_and_its_gain(relion: Path, eer: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.eer").symlink_to(eer / "a.eer")
    ours = read_frames(tmp_path / "a.eer", eer_grouping=2).sum(0, dtype=np.float32)
    options = []
    if name:
        gain = np.ones((4096, 4096), np.float32)
        gain[2600:3600, 1000:3000], gain[100:300, 3000:4000] = 2.0, 4.0
        tifffile.imwrite(tmp_path / "gain.tif", gain, photometric="minisblack")
        if name == "gain.gain":
            (tmp_path / "gain.tif").rename(tmp_path / name)
        elif name == "gain.mrc":
            write_mrc(tmp_path / name, gain, 1.0)
        ours = ours * read_gain(tmp_path / name, (4096, 4096), movie="a.eer")
        options = ["--gainref", name]
    relions = relion_sum(tmp_path, "a.eer", "--skip_defect", "--eer_grouping", "2", *options)
    ours, relions = blocks(ours, 64), blocks(relions, 64)
    # The same electrons: what differs is how many of them a shift carries over the edge of a block.
    assert np.corrcoef(ours.ravel(), relions.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(relions.mean(), ours.mean(), rtol=1e-2)
