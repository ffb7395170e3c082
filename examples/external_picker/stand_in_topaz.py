#!/usr/bin/env python3
"""A stand-in for `topaz` with the options that topaz_picker.py uses: bright blobs in small micrographs. For tests.

It knows 32-bit MRC images only, and finds local maxima of block averages: a picker for no real data.
"""

from __future__ import annotations

import argparse
import array
import os
import statistics
import struct
import time
from pathlib import Path

Image = tuple[int, int, "array.array[float]"]


def main() -> None:
    """Run `preprocess` or `extract`."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preprocess = commands.add_parser("preprocess")
    preprocess.add_argument("-s", "--scale", type=int, default=4)
    preprocess.add_argument("-d", "--device", type=int, default=0)
    preprocess.add_argument("-o", "--destdir", type=Path, required=True)
    preprocess.add_argument("files", nargs="+", type=Path)
    extract = commands.add_parser("extract")
    extract.add_argument("-m", "--model")
    extract.add_argument("-r", "--radius", type=int, required=True)
    extract.add_argument("-t", "--threshold", type=float, default=-6)
    extract.add_argument("-x", "--up-scale", type=float, default=1)
    extract.add_argument("-d", "--device", type=int, default=0)
    extract.add_argument("-j", "--num-threads", type=int, default=0)
    extract.add_argument("-o", "--output", type=Path, required=True)
    extract.add_argument("paths", nargs="+", type=Path)
    arguments = parser.parse_args()
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
    if arguments.command == "preprocess":
        for path in arguments.files:
            write_mrc(arguments.destdir / f"{path.stem}.mrc", shrink(read_mrc(path), arguments.scale))
        return
    rows = ["image_name\tx_coord\ty_coord\tscore"]
    for path in arguments.paths:
        rows += [f"{path.stem}\t{x * arguments.up_scale:.0f}\t{y * arguments.up_scale:.0f}\t{score:.4f}"
                 for x, y, score in peaks(read_mrc(path), arguments.radius, arguments.threshold)]
    arguments.output.write_text("\n".join(rows) + "\n")


def read_mrc(path: Path) -> Image:
    """Return width, height and pixels of a 32-bit MRC image."""
    data = path.read_bytes()
    width, height, depth, mode = struct.unpack("<4i", data[:16])
    if mode != 2 or depth != 1:
        raise SystemExit(f"{path}: the stand-in reads single 32-bit images only")
    pixels = array.array("f")
    pixels.frombytes(data[1024 + struct.unpack("<i", data[92:96])[0] :])
    return width, height, pixels


def write_mrc(path: Path, image: Image) -> None:
    """Write a 32-bit MRC image."""
    width, height, pixels = image
    header = struct.pack("<4i", width, height, 1, 2) + bytes(1008)
    path.write_bytes(header[:208] + b"MAP DA\0\0" + header[216:] + pixels.tobytes())


def shrink(image: Image, scale: int) -> Image:
    """Return the image of block averages."""
    width, height, pixels = image
    columns, rows = width // scale, height // scale
    small = array.array("f", bytes(4 * columns * rows))
    for y in range(rows):
        for x in range(columns):
            block = [pixels[(y * scale + j) * width + x * scale + i] for j in range(scale) for i in range(scale)]
            small[y * columns + x] = sum(block) / len(block)
    return columns, rows, small


def peaks(image: Image, radius: int, threshold: float) -> list[tuple[float, float, float]]:
    """Return x, y and height (in standard deviations) of the local maxima above a threshold, a radius apart."""
    width, _, pixels = image
    mean, spread = statistics.fmean(pixels), statistics.pstdev(pixels)
    found: list[tuple[float, float, float]] = []
    for index in sorted(range(len(pixels)), key=lambda i: -pixels[i]):
        score = (pixels[index] - mean) / spread
        if score < threshold:
            break
        x, y = index % width + 0.5, index // width + 0.5
        if all((x - a) ** 2 + (y - b) ** 2 > radius**2 for a, b, _ in found):
            found.append((x, y, score))
    return found


if __name__ == "__main__":
    main()
