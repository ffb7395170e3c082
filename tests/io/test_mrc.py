"""MRC files: what is written is read, mrcfile agrees, and what is broken is refused."""

import struct
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import (
    check_complete,
    check_finite,
    open_stack,
    read_header,
    read_images,
    read_mrc,
    write_mrc,
)

CODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def pattern(mode: int, shape: tuple[int, ...] = (3, 4, 5)) -> np.ndarray:
    values = np.arange(np.prod(shape)).reshape(shape)
    return (values * 700 + 20000 if mode == 6 else values - 30).astype(CODES[mode])


@pytest.mark.parametrize("extended", [0, 80, 1024])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", list(CODES))
def test_modes_byte_orders_extended_headers(tmp_path: Path, mode: int, order: str, extended: int) -> None:
    """mrcfile is the oracle: it writes, we read."""
    path, data = tmp_path / "a.mrcs", pattern(mode)
    with mrcfile.new(path) as file:
        file.set_data(data.astype(order + CODES[mode]))
        file.set_extended_header(np.frombuffer(bytes(extended), "V1"))
        file.voxel_size = 1.25
    if mode == 0 and order == ">":  # mrcfile takes the order from the pixels, and bytes have none
        content = path.read_bytes()
        path.write_bytes(np.frombuffer(content[:1024], "<i4").astype(">i4").tobytes() + content[1024:])
    header = check_complete(path)
    assert (header.nx, header.ny, header.nz, header.mode) == (5, 4, 3, mode)
    assert (header.extended, header.byte_order, header.pixel_size) == (extended, order, 1.25)
    assert header.implied_size == path.stat().st_size
    array, pixel_size = read_mrc(path)
    assert array.dtype == np.float32 and pixel_size == 1.25
    np.testing.assert_array_equal(array, data.astype(np.float32))
    np.testing.assert_array_equal(open_stack(path), data)


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 9)] * 3), mode=st.sampled_from([0, 1, 2, 6, 12]), stack=st.booleans())
def test_what_was_written_is_read(shape: tuple[int, int, int], mode: int, stack: bool,
                                  tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("mrc") / ("a.mrcs" if stack else "a.mrc")
    data = pattern(mode, shape)
    write_mrc(path, data, 0.885, stack=stack, float16=mode == 12)
    np.testing.assert_array_equal(read_mrc(path)[0].reshape(shape), data.astype(np.float32))
    with warnings.catch_warnings(), mrcfile.open(path) as file:
        np.testing.assert_array_equal(file.data.reshape(shape), data)
        assert file.header.mode == mode
        assert abs(float(file.voxel_size.x) - 0.885) < 1e-6
        assert shape[0] == 1 or bool(file.is_image_stack()) == stack
        for field, value in (("dmin", data.min()), ("dmax", data.max()), ("dmean", data.mean(dtype=float)),
                             ("rms", data.std(dtype=float))):
            np.testing.assert_allclose(file.header[field], value, rtol=1e-6, atol=1e-4)
    assert mode == 12 or mrcfile.validate(path)  # it computes the statistics of float16 in float16: see below


def test_float16_is_valid(tmp_path: Path) -> None:
    write_mrc(tmp_path / "a.mrcs", np.array([[[0.0, 1.0], [1.0, 0.0]]] * 3), 1.0, stack=True, float16=True)
    assert read_header(tmp_path / "a.mrcs").mode == 12
    assert mrcfile.validate(tmp_path / "a.mrcs")


def test_one_section_is_an_image_or_a_stack_of_one(tmp_path: Path) -> None:
    image = np.eye(4, dtype=np.float32)
    for name, shape in (("a.mrc", (4, 4)), ("a.mrcs", (1, 4, 4))):
        write_mrc(tmp_path / name, image, 1.0)
        assert read_mrc(tmp_path / name)[0].shape == shape


@pytest.mark.parametrize("dtype", ["f8", "i4", "i8", "u1", "?", ">f4", "f2"])
def test_other_types_become_float32(tmp_path: Path, dtype: str) -> None:
    write_mrc(tmp_path / "a.mrc", np.arange(12).reshape(3, 4).astype(dtype), 1.0)
    assert read_header(tmp_path / "a.mrc").mode == 2


def test_images_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(4).normal(size=(8, 5, 5)).astype(np.float32)
    write_mrc("a.mrcs", images[:5], 1.0, stack=True)
    write_mrc("b.mrcs", images[5:], 1.0, stack=True)
    write_mrc("c.mrc", images[0], 1.0)
    names = ["000002@b.mrcs", "5@a.mrcs", "00000001@a.mrcs", "3@b.mrcs", "5@a.mrcs", "c.mrc"]
    got = read_images(names)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, images[[6, 4, 0, 7, 4, 0]])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["6@a.mrcs"], "has 5 images; image 6 was requested"),
        (["0@a.mrcs"], "number from 1"),
        (["x@a.mrcs"], "number from 1"),
        (["1@a.mrcs", "1@b.mrcs"], "b.mrcs has images of 6 x 6 pixels, a.mrcs of 5 x 5"),
        (["1@none.mrcs"], "none.mrcs cannot be read"),
    ],
)
def test_wrong_image_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_mrc("a.mrcs", np.zeros((5, 5, 5)), 1.0, stack=True)
    write_mrc("b.mrcs", np.zeros((1, 6, 6)), 1.0, stack=True)
    with pytest.raises(CryosnakeError, match=message):
        read_images(names)


def written(path: Path) -> bytearray:
    write_mrc(path, pattern(2), 1.0)
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("size", [0, 3, 1023, 1024, 1263])
def test_cut_off_files(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.mrc"
    path.write_bytes(written(path)[:size])
    with pytest.raises(CryosnakeError, match=r"cut\.mrc is (not a complete MRC file|cut off).*make it again"):
        read_mrc(path)


def test_file_that_is_longer_than_implied(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(written(path) + b"tail")
    np.testing.assert_array_equal(read_mrc(path)[0], pattern(2))


@pytest.mark.parametrize(("offset", "value", "message"), [
    (0, 0, "header is invalid"), (8, -1, "header is invalid"), (12, 77, "mode 77"), (92, -4, "extended header"),
    (12, 4, "mode 4, a Fourier transform"), (12, 3, "mode 3, a Fourier"), (12, 16, "mode 16; modes 0, 1.*newstack"),
])
def test_headers_that_make_no_sense(tmp_path: Path, offset: int, value: int, message: str) -> None:
    path = tmp_path / "bad.mrc"
    data = written(path) + bytes(1000)
    struct.pack_into("<i", data, offset, value)
    path.write_bytes(data)
    with pytest.raises(CryosnakeError, match=r"bad\.mrc.*" + message):
        read_mrc(path)


def test_unknown_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    for cell in (0.0, np.nan, -3.0, np.inf):
        data = written(path)
        struct.pack_into("<f", data, 40, cell)
        path.write_bytes(data)
        assert read_header(path).pixel_size == 0.0


@pytest.mark.parametrize(("flags", "expected"), [(0, 200.0), (1, -56.0)])
def test_sign_of_mode_0_as_imod_marks_it(tmp_path: Path, flags: int, expected: float) -> None:
    path = tmp_path / "a.mrc"
    write_mrc(path, np.full((2, 2), -56, np.int8), 1.0)
    data = bytearray(path.read_bytes())
    struct.pack_into("<2i", data, 152, 1146047817, flags)
    path.write_bytes(data)
    assert read_mrc(path)[0][0, 0] == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_not_finite_is_written(tmp_path: Path, bad: float) -> None:
    array = np.ones((4, 4), np.float32)
    check_finite(array, "a.mrc")
    check_finite(array.astype(int), "a.mrc")
    array[1, 2] = bad
    with pytest.raises(CryosnakeError, match=r"x\.mrc: 1 of 16 values are NaN or infinite"):
        check_finite(array, "x.mrc")
    with pytest.raises(CryosnakeError, match="NaN or infinite"):
        write_mrc(tmp_path / "a.mrc", array, 1.0)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match="NaN or infinite"):
        write_mrc(tmp_path / "a.mrc", np.full((2, 2), 1e6), 1.0, float16=True)
    with pytest.raises(CryosnakeError, match="would have no images"):
        write_mrc(tmp_path / "a.mrcs", np.zeros((0, 4, 4)), 1.0, stack=True)
    with pytest.raises(CryosnakeError, match="cannot be written"):
        write_mrc(tmp_path / "none" / "a.mrc", np.zeros((4, 4)), 1.0)
    assert not list(tmp_path.iterdir())
