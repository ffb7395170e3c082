"""Files of other programs: axes in any order, byte orders, 4-bit pixels, stacks of one directory, TIFF images."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import check_movie_complete
from cryosnake.io.gain import read_gain
from cryosnake.io.movies import header_pixel_size, movie_info, read_frames, read_image
from cryosnake.io.mrc import check_complete, open_stack, read_images, read_mrc, within_one, write_mrc

SIDES = {1: 5, 2: 4, 3: 3}  # x, y, z


def put(path: Path, offset: int, code: str, *values: int | bytes) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into(code, data, offset, *values)
    path.write_bytes(data)


@pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
@pytest.mark.parametrize("order", ["<", ">"])
def test_axes_in_any_order(tmp_path: Path, axes: tuple[int, int, int], order: str) -> None:
    path, plain = tmp_path / "a.mrc", np.random.default_rng(0).normal(size=(3, 4, 5)).astype("f4")
    stored = plain.transpose([3 - axis for axis in axes[::-1]])
    with mrcfile.new(path) as file:
        file.set_data(stored.astype(f"{order}f4"))
    put(path, 64, f"{order}3i", *axes)
    assert check_complete(path).axes == axes
    np.testing.assert_array_equal(read_mrc(path)[0], plain)
    np.testing.assert_array_equal(read_images([f"{number}@{path}" for number in (3, 1)]), plain[[2, 0]])
    np.testing.assert_array_equal(read_frames(path, 2, 3), plain[1:])
    assert movie_info(path).frames == 3 and (movie_info(path).height, movie_info(path).width) == (4, 5)


def test_the_pixel_size_is_that_of_x_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    write_mrc(path, np.zeros((4, 4, 4), "f4"), 2.5)
    put(path, 64, "<3i", 3, 2, 1)
    assert read_mrc(path)[1] == 2.5


@pytest.mark.parametrize("axes", [(0, 0, 0), (1, 1, 1), (7, 2, 3), (-1, 2, 3)])
def test_axes_that_are_none_are_the_usual_ones(tmp_path: Path, axes: tuple[int, int, int]) -> None:
    path, data = tmp_path / "a.mrc", np.arange(60, dtype="f4").reshape(3, 4, 5)
    write_mrc(path, data, 1.0)
    put(path, 64, "<3i", *axes)
    np.testing.assert_array_equal(read_mrc(path)[0], data)


def test_a_gain_is_turned_into_order_too(tmp_path: Path) -> None:
    path, gain = tmp_path / "gain.mrc", np.random.default_rng(0).normal(1, 0.1, (4, 5)).astype("f4")
    write_mrc(path, gain.T.copy(), 1.0)
    put(path, 64, "<3i", 2, 1, 3)
    np.testing.assert_array_equal(read_gain(path, (4, 5)), gain)


def header(order: str, shape: tuple[int, int, int], mode: int, *, stamp: bytes, axes: tuple[int, ...]) -> bytes:
    head = bytearray(1024)
    nz, ny, nx = shape
    struct.pack_into(f"{order}10i", head, 0, nx, ny, nz, mode, 0, 0, 0, nx, ny, nz)
    struct.pack_into(f"{order}6f", head, 40, nx, ny, nz, 90, 90, 90)
    struct.pack_into(f"{order}3i", head, 64, *axes)
    head[208:216] = b"MAP " + stamp
    return bytes(head)


@pytest.mark.parametrize("side", [256, 512, 2048, 3])
@pytest.mark.parametrize(("stamp", "axes"), [(b"\x11\x11\0\0", (1, 2, 3)), (b"\x11\x11\0\0", (0, 0, 0)),
                                             (b"\0\0\0\0", (1, 2, 3)), (b"DD\0\0", (1, 2, 3))])
def test_big_endian_of_any_size(tmp_path: Path, side: int, stamp: bytes, axes: tuple[int, ...]) -> None:
    """The last stamp says the wrong order: programs that copy a header leave it."""
    data = np.random.default_rng(0).poisson(3, (2, side, side)).astype("i1")
    for order, said in ((">", stamp), ("<", stamp if axes == (1, 2, 3) else b"DD\0\0")):
        path = tmp_path / "a.mrc"
        path.write_bytes(header(order, data.shape, 0, stamp=said, axes=axes) + data.tobytes())
        np.testing.assert_array_equal(read_frames(path), data)


@pytest.mark.parametrize("stamp", [b"DA\0\0", b"DD\0\0", b"DDDD", b"\0\0\0\0"])
def test_stamps_of_little_endian(tmp_path: Path, stamp: bytes) -> None:
    data, path = np.arange(512 * 2, dtype="i1").reshape(1, 2, 512), tmp_path / "a.mrc"
    path.write_bytes(header("<", data.shape, 0, stamp=stamp, axes=(0, 0, 0)) + data.tobytes())
    np.testing.assert_array_equal(open_stack(path), data)


@pytest.mark.parametrize("width", [8, 7, 1])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pixels_of_four_bits(tmp_path: Path, width: int, order: str) -> None:
    data = np.random.default_rng(1).integers(0, 16, (3, 4, width)).astype("u1")
    whole = np.pad(data, [(0, 0), (0, 0), (0, width % 2)])
    path = tmp_path / "a.mrc"
    stamp = b"DD\0\0" if order == "<" else b"\x11\x11\0\0"
    path.write_bytes(header(order, data.shape, 101, stamp=stamp, axes=(1, 2, 3))
                     + (whole[..., ::2] | whole[..., 1::2] << 4).tobytes())
    np.testing.assert_array_equal(read_frames(path), data)
    np.testing.assert_array_equal(read_frames(path, 2, 2), data[1:2])
    np.testing.assert_array_equal(read_mrc(path)[0], data)
    np.testing.assert_array_equal(read_images([f"2@{path}"])[0], data[1])
    assert movie_info(path).width == width and check_movie_complete(path) is None
    path.write_bytes(path.read_bytes()[:-1])
    assert "implies" in str(check_movie_complete(path))


@pytest.mark.parametrize("mode", [5, 7, 16, 99])
def test_other_modes_say_how_to_convert(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.mrc"
    write_mrc(path, np.zeros((2, 4, 4), "f4"), 1.0)
    put(path, 12, "<i", mode)
    with pytest.raises(CryosnakeError, match=rf"a\.mrc.*mode {mode}; modes 0, 1, 2, 6, 12 and 101.*newstack"):
        read_mrc(path)


@pytest.mark.parametrize(("offset", "value"), [(0, 2**31 - 1), (8, 2**31 - 1), (4, 2**30), (92, 2**31 - 1)])
def test_sizes_that_no_file_has_take_no_memory(tmp_path: Path, offset: int, value: int) -> None:
    path = tmp_path / "a.mrc"
    write_mrc(path, np.zeros((2, 4, 4), "f4"), 1.0)
    put(path, offset, "<i", value)
    for read in (read_mrc, read_frames, open_stack, movie_info):
        with pytest.raises(CryosnakeError, match=r"a\.mrc"):
            read(path)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("how", ["imagej", "shaped", "big-endian"])
def test_stacks_of_one_directory(tmp_path: Path, dtype: str, how: str) -> None:
    frames = np.random.default_rng(0).poisson(3, (6, 16, 24)).astype(dtype)
    path = tmp_path / "a.tif"
    given = {"imagej": {"imagej": True}, "shaped": {"photometric": "minisblack"},
             "big-endian": {"imagej": True, "byteorder": ">"}}[how]
    tifffile.imwrite(path, frames, truncate=True, **given)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    assert check_movie_complete(path) is None and movie_info(path).frames == 6
    np.testing.assert_array_equal(read_frames(path), frames[:, ::-1])
    np.testing.assert_array_equal(read_frames(path, 3, 5), frames[2:5, ::-1])
    path.write_bytes(path.read_bytes()[:-frames[0].nbytes])
    assert "states 6 frames" in str(check_movie_complete(path)) or "ends at" in str(check_movie_complete(path))


def test_a_stack_of_one_directory_without_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((6, 16, 24), "u1"), truncate=True, metadata=None, photometric="minisblack")
    tifffile.imwrite(path, np.zeros((16, 24), "u1"), metadata=None, photometric="minisblack")
    path.write_bytes(path.read_bytes() + bytes(5 * 16 * 24))
    with pytest.raises(CryosnakeError, match=r"a\.tif.*may be more frames.*mrc2tif"):
        movie_info(path)


@pytest.mark.parametrize("dtype", ["f4", "u2", "i2", "u1"])
def test_micrographs_in_tiff_have_the_rows_of_relion(tmp_path: Path, dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, 99, (16, 24)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="minisblack", resolution=(1e8 / 1.25, 1e8 / 1.25),
                     resolutionunit="CENTIMETER")
    found, pixel_size = read_image(path)
    assert found.dtype == np.float32 and pixel_size == header_pixel_size(path) == 1.25
    np.testing.assert_array_equal(found, image[::-1])


def test_what_is_no_micrograph_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), "u1"), photometric="minisblack")
    write_mrc(tmp_path / "a.mrc", np.zeros((3, 8, 8), "f4"), 1.0)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:100])
    for name, said in (("a.tif", "stack of 3 images"), ("a.mrc", "not one image"), ("cut.tif", "cut off"),
                       ("none.tif", "there is no such file")):
        with pytest.raises(CryosnakeError, match=rf"{name}.*{said}"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(("low", "high", "said"), [(0, 1, ""), (-0.0005, 1, ""), (-0.02, 1, "cut to 0 to 1"),
                                                   (0, 1.015, "cut to 0 to 1"), (-0.01, 1.02, "cut to 0 to 1")])
def test_a_mask_that_overshoots_a_little_is_cut(capsys, low: float, high: float, said: str) -> None:
    mask = within_one(np.array([low, 0.5, high], "f4") * np.float32(0.9999), "m.mrc")
    assert mask.min() >= 0 and mask.max() <= 1 and said in capsys.readouterr().out


@pytest.mark.parametrize("values", [(-0.03, 1), (0, 1.03), (0, 255), (0, np.nan)])
def test_what_is_no_mask_is_refused(values: tuple[float, float]) -> None:
    with pytest.raises(CryosnakeError, match=r"m\.mrc is not a mask"):
        within_one(np.array(values, "f4"), "m.mrc")
