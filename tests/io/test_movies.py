"""Movies of every format give the frames that went in; what is cut off or corrupt is refused."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import check_movie_complete
from cryosnake.io.movies import movie_info, read_frames, write_movie_tiff
from cryosnake.io.mrc import write_mrc

SHAPE = (4, 24, 40)


def frames_of(dtype: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.normal(5, 2, shape).astype(dtype) if dtype == "f4" else rng.poisson(3, shape).astype(dtype)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_tiff_movies(tmp_path: Path, dtype: str, compression: str | None) -> None:
    path, frames = tmp_path / "a.tif", frames_of(dtype)
    write_movie_tiff(path, frames, compression)
    info = movie_info(path)
    assert (info.frames, info.height, info.width, info.dtype, info.kind) == (*SHAPE, np.dtype(dtype), "tiff")
    got = read_frames(path)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, frames)
    np.testing.assert_array_equal(tifffile.imread(path), frames[:, ::-1])  # rows count from the top in TIFF


@pytest.mark.parametrize("options", [
    {"bigtiff": True}, {"byteorder": ">"}, {"rowsperstrip": 1}, {"rowsperstrip": 7, "compression": "lzw"},
    {"tile": (16, 16)}, {"compression": "deflate", "predictor": True},
])
def test_tiff_of_other_writers(tmp_path: Path, options: dict[str, object]) -> None:
    path, frames = tmp_path / "a.tiff", frames_of("u2")
    tifffile.imwrite(path, frames, photometric="minisblack", **options)
    assert check_movie_complete(path) is None
    np.testing.assert_array_equal(read_frames(path, 2, 3), frames[1:3, ::-1])


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4"])
@pytest.mark.parametrize("name", ["a.mrc", "a.mrcs"])
def test_mrc_movies(tmp_path: Path, name: str, dtype: str) -> None:
    frames = frames_of(dtype)
    write_mrc(tmp_path / name, frames, 1.0, stack=True)
    info = movie_info(tmp_path / name)
    assert (info.frames, info.height, info.width, info.dtype, info.kind) == (*SHAPE, np.dtype(dtype), "mrc")
    got = read_frames(tmp_path / name, last=3)
    assert got.dtype == np.dtype(dtype) and got.flags.writeable
    np.testing.assert_array_equal(got, frames[:3])


def test_frames_that_are_not_there(tmp_path: Path) -> None:
    write_movie_tiff(tmp_path / "a.tif", frames_of("u1"))
    for first, last in ((0, 2), (3, 2), (1, 5)):
        with pytest.raises(CryosnakeError, match=r"a\.tif has 4 frames"):
            read_frames(tmp_path / "a.tif", first, last)


# --- EER


def eer_code(pixels: np.ndarray, sub: np.ndarray, size: int, skip_bits: int = 7) -> bytes:
    """Code one frame: `pixels` are sorted indices, `sub` their (row, column) quarters, `size` the number of pixels."""
    bits: list[np.ndarray] = []
    longest = (1 << skip_bits) - 1

    def put(value: int, width: int) -> None:
        bits.append((value >> np.arange(width)) & 1)

    def skip(distance: int) -> None:
        for _ in range(distance // longest):
            put(longest, skip_bits)
        put(distance % longest, skip_bits)

    position = 0
    for pixel, (row, column) in zip(pixels.tolist(), sub.tolist(), strict=True):
        skip(pixel - position)
        put(column, 2)
        put(row, 2)
        position = pixel + 1
    skip(size - position)
    put(0, 4)
    return np.packbits(np.concatenate(bits).astype(np.uint8), bitorder="little").tobytes()


def write_eer(path: Path, codes: list[bytes], height: int, width: int, compression: int = 65001,
              bits: tuple[int, ...] = (), integrated: bool = False) -> None:
    """Write a BigTIFF of EER frames, each in two strips; optionally an integrated image before them."""
    out = bytearray(b"II+\0" + struct.pack("<HHQ", 8, 0, 0))
    link = 8
    blocks = [(code, compression) for code in codes]
    if integrated:
        blocks.insert(0, (bytes(height * width), 1))
    for data, codec in blocks:
        start, half = len(out), len(data) // 2
        out += data
        strips = len(out)
        out += struct.pack("<4Q", start, start + half, half, len(data) - half)
        entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 1), (259, 3, 1, codec), (262, 3, 1, 1),
                   (273, 16, 2, strips), (277, 3, 1, 1), (278, 4, 1, (height + 1) // 2), (279, 16, 2, strips + 16)]
        entries += [(65007 + i, 3, 1, value) for i, value in enumerate(bits)]
        out[link : link + 8] = struct.pack("<Q", len(out))
        out += struct.pack("<Q", len(entries))
        for tag, kind, count, value in entries:
            out += struct.pack("<HHQQ", tag, kind, count, value)
        link = len(out)
        out += struct.pack("<Q", 0)
    path.write_bytes(out)


def eer_movie(path: Path, frames: int = 7, height: int = 32, width: int = 64,
              **options: object) -> tuple[np.ndarray, np.ndarray]:
    """Write an EER movie; return its counts per frame, and per frame and quarter pixel."""
    rng = np.random.default_rng(11)
    coarse = np.zeros((frames, height, width), int)
    fine = np.zeros((frames, 4 * height, 4 * width), int)
    codes = []
    skip_bits = {65000: 8}.get(int(str(options.get("compression", 65001))), 7)
    for frame in range(frames):
        # Sparse frames need skips longer than one code can say.
        pixels = np.flatnonzero(rng.random(height * width) < (0.002 if frame == 3 else 0.05))
        sub = rng.integers(0, 4, (len(pixels), 2))
        codes.append(eer_code(pixels, sub, height * width, skip_bits))
        rows, columns = np.divmod(pixels, width)
        coarse[frame, rows, columns] += 1
        # The sub-pixel is stored with its upper bit inverted.
        fine[frame, 4 * rows + (sub[:, 0] ^ 2), 4 * columns + (sub[:, 1] ^ 2)] += 1
    write_eer(path, codes, height, width, **options)  # type: ignore[arg-type]
    return coarse, fine


@pytest.mark.parametrize("options", [{}, {"compression": 65000}, {"compression": 65002, "bits": (7, 2, 2)},
                                     {"integrated": True}])
def test_eer_groups(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "a.eer"
    coarse, _ = eer_movie(path, **options)
    info = movie_info(path)
    assert (info.frames, info.height, info.width, info.kind) == (7, 32, 64, "eer")
    np.testing.assert_array_equal(read_frames(path, eer_grouping=1), coarse)
    grouped = coarse[:6].reshape(2, 3, 32, 64).sum(1)  # the seventh frame is left over
    np.testing.assert_array_equal(read_frames(path, eer_grouping=3), grouped)
    np.testing.assert_array_equal(read_frames(path, 2, 2, eer_grouping=3), grouped[1:])


@pytest.mark.parametrize("upsampling", [2, 3])
def test_eer_upsampling(tmp_path: Path, upsampling: int) -> None:
    _, fine = eer_movie(tmp_path / "a.eer")
    block = 1 << (3 - upsampling)
    expected = fine.sum(0).reshape(4 * 32 // block, block, 4 * 64 // block, block).sum((1, 3))
    got = read_frames(tmp_path / "a.eer", eer_grouping=7, eer_upsampling=upsampling)
    np.testing.assert_array_equal(got[0], expected)


def test_eer_group_of_many_frames_does_not_overflow(tmp_path: Path) -> None:
    code = eer_code(np.array([5]), np.array([[0, 0]]), 64)
    write_eer(tmp_path / "a.eer", [code] * 300, 8, 8)
    assert read_frames(tmp_path / "a.eer", eer_grouping=300)[0, 0, 5] == 300


@pytest.mark.parametrize(("options", "message"), [
    ({"eer_grouping": 8}, "has 0 frames"), ({"eer_grouping": 0}, "at least 1"),
    ({"eer_upsampling": 4}, "1, 2 or 3"),
])
def test_eer_options_that_do_not_fit(tmp_path: Path, options: dict[str, int], message: str) -> None:
    eer_movie(tmp_path / "a.eer")
    with pytest.raises(CryosnakeError, match=message):
        read_frames(tmp_path / "a.eer", **options)


# --- bad input


def make(kind: str, folder: Path) -> Path:
    small = frames_of("u1", (3, 6, 8))
    path = folder / f"movie.{kind}"
    if kind == "mrc":
        write_mrc(path, small, 1.0, stack=True)
    elif kind == "eer":
        eer_movie(path, 3, 8, 16)
    elif kind == "tiff":  # many strips, BigTIFF
        tifffile.imwrite(path, small, photometric="minisblack", bigtiff=True, rowsperstrip=2, metadata=None)
    else:
        write_movie_tiff(path, small)
    return path


@pytest.mark.parametrize("kind", ["mrc", "tif", "tiff", "eer"])
def test_every_cut_is_seen(tmp_path: Path, kind: str) -> None:
    """A movie that is still being copied is complete only when its last byte is there."""
    path = make(kind, tmp_path)
    whole = path.read_bytes()
    assert check_movie_complete(path) is None
    cut = path.rename(tmp_path / f"cut.{kind}")
    for size in reversed(range(len(whole))):
        os.truncate(cut, size)
        assert check_movie_complete(cut), f"{size} of {len(whole)} bytes"
    with pytest.raises(CryosnakeError, match=r"cut\.\w+ is not a complete movie: .*Copy it again"):
        read_frames(cut)
    with pytest.raises(CryosnakeError, match="not a complete movie"):
        movie_info(cut)


def test_reasons(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"")
    assert check_movie_complete(tmp_path / "a.tif") == "the file is empty"
    (tmp_path / "a.tif").write_bytes(b"not a picture at all")
    assert "does not start like a TIFF" in str(check_movie_complete(tmp_path / "a.tif"))
    (tmp_path / "a.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 0))
    assert check_movie_complete(tmp_path / "a.tif") == "it has no frames"
    assert "cannot be read" in str(check_movie_complete(tmp_path / "none.tif"))
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert "name of a movie" in str(check_movie_complete(tmp_path / "a.jpg"))


def test_directories_in_a_loop(tmp_path: Path) -> None:
    path = make("tif", tmp_path)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        last = file.pages[-1]
        assert isinstance(last, tifffile.TiffPage)
        first, link = file.pages[0].offset, last.offset + 2 + 12 * len(last.tags)
    struct.pack_into("<I", data, link, first)
    path.write_bytes(data)
    assert "loop" in str(check_movie_complete(path))


@pytest.mark.parametrize("compression", ["deflate", "zstd"])
def test_corrupt_pixels(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "bad.tif"
    write_movie_tiff(path, frames_of("u2"), compression)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[1].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 20] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(CryosnakeError, match=r"bad\.tif is corrupt: .*Copy it again"):
        read_frames(path)


def test_corrupt_eer_frame(tmp_path: Path) -> None:
    # A frame that counts on beyond the last pixel.
    write_eer(tmp_path / "bad.eer", [eer_code(np.array([900]), np.array([[0, 0]]), 1024)], 8, 8)
    with pytest.raises(CryosnakeError, match=r"bad\.eer is corrupt"):
        read_frames(tmp_path / "bad.eer", eer_grouping=1)


def test_pictures_that_are_no_movies(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 4, 3), np.uint8), photometric="rgb")
    for call in (movie_info, read_frames):
        with pytest.raises(CryosnakeError, match=r"rgb\.tif has frames of shape \(4, 4, 3\)"):
            call(tmp_path / "rgb.tif")
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(np.zeros((4, 4), np.uint8))
        writer.write(np.zeros((6, 4), np.uint8))
    with pytest.raises(CryosnakeError, match="frames of different size"):
        read_frames(tmp_path / "two.tif")
    write_movie_tiff(tmp_path / "plain.eer", frames_of("u1"))
    with pytest.raises(CryosnakeError, match="no EER frame"):
        read_frames(tmp_path / "plain.eer")


def test_planner_can_ask_without_numpy(root: Path) -> None:
    code = "import sys; import cryosnake.io.completeness, cryosnake.io.paths; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def set_tag(path: Path, tag: int, value: int, frame: int = 0) -> None:
    """Change a number in a directory of a TIFF file, as one wrong bit does."""
    with tifffile.TiffFile(path) as file:
        entry = file.pages[frame].tags[tag]
        place, big, order = entry.offset, file.is_bigtiff, file.byteorder
    data = bytearray(path.read_bytes())
    struct.pack_into(f"{order}HQQ" if big else f"{order}HII", data, place + 2, 16 if big else 4, 1, value)
    path.write_bytes(data)


@pytest.mark.parametrize(("options", "tag", "value"), [
    ({"compression": "lzw"}, 257, 268435480), ({"compression": "lzw"}, 256, 1 << 30),
    ({"compression": "zstd"}, 257, 1 << 31), ({"compression": "deflate", "bigtiff": True}, 257, 1 << 40),
    ({}, 257, 1 << 30), ({}, 256, 41), ({"byteorder": ">"}, 257, 25), ({"tile": (16, 16)}, 256, 1 << 30),
    ({"rowsperstrip": 1, "compression": "lzw"}, 257, 25),
])
def test_a_header_of_more_pixels_than_the_file_can_hold_is_refused(tmp_path: Path, options: dict[str, object],
                                                                  tag: int, value: int) -> None:
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, frames_of("u2"), photometric="minisblack", **options)
    for frame in (0, 2):
        bad = tmp_path / f"bad{frame}.tiff"
        bad.write_bytes(path.read_bytes())
        set_tag(bad, tag, value, frame)
        assert f"frame {frame + 1} has no room for the" in str(check_movie_complete(bad))
        with pytest.raises(CryosnakeError, match="not a complete movie"):
            read_frames(bad)


@pytest.mark.parametrize("kind", ["tif", "eer"])
def test_frames_of_different_sizes_are_refused_before_there_is_room_for_them(tmp_path: Path, kind: str) -> None:
    path = make(kind, tmp_path)
    set_tag(path, 256, 20)
    with pytest.raises(CryosnakeError, match="different sizes"):
        read_frames(path)
    set_tag(path, 257, 1 << 30)
    with pytest.raises(CryosnakeError, match="has no room"):
        read_frames(path)


@pytest.mark.parametrize("shape", [(1, 2048, 4096), (3, 512, 512)])
@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd"])
@pytest.mark.parametrize("value", [0, 255])
def test_blank_movies_are_possible(tmp_path: Path, shape: tuple[int, ...], compression: str | None,
                                   value: int) -> None:
    frames = np.full(shape, value, "u1")
    write_movie_tiff(tmp_path / "a.tif", frames, compression)
    assert check_movie_complete(tmp_path / "a.tif") is None
    np.testing.assert_array_equal(read_frames(tmp_path / "a.tif"), frames)
