"""Choosing classes of a classification, and their averages as references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_header, read_images, write_mrc
from cryosnake.io.star import read_table, write_star
from cryosnake.programs.select_rows import column_of


def chosen_classes(options: Any, rows: pd.DataFrame, path: str) -> list[int] | None:
    """Return the numbers of the classes to keep, or None when nothing is said about classes.

    Raises
    ------
    CryosnakeError
        when a class that is asked for has no particle, or none is large enough
    """
    if options.classes is None and options.minimal_class_size is None:
        return None
    numbers, counts = np.unique(column_of(rows, "rlnClassNumber", path).astype(int), return_counts=True)
    sizes = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    wanted = list(sizes) if options.classes is None else list(options.classes)
    empty = [number for number in wanted if number not in sizes]
    if empty:
        raise CryosnakeError(f"{path} has no particle in class {empty[0]}; its classes are "
                             f"{', '.join(str(number) for number in sizes)}")
    chosen = [number for number in wanted if sizes[number] >= (options.minimal_class_size or 0)]
    if not chosen:
        raise CryosnakeError(f"{path}: no class has {options.minimal_class_size} particles, the largest has "
                             f"{max(sizes[number] for number in wanted)}; lower minimal_class_size")
    print("classes: " + ", ".join(f"{number} ({sizes[number]})" for number in chosen))
    return chosen


def write_class_averages(model: str, classes: list[int] | None, folder: Path) -> None:
    """Write class_averages.star with the chosen classes (None: all) of a model.star, in 2D class_averages.mrcs too."""
    table = read_table(model, "model_classes", ["rlnReferenceImage"])
    numbers = list(range(1, len(table) + 1)) if classes is None else classes
    if max(numbers) > len(table):
        raise CryosnakeError(f"{model} has {len(table)} classes; class {max(numbers)} is not among them. It is not the "
                             "model of these particles' classification")
    chosen = table.iloc[[number - 1 for number in numbers]].reset_index(drop=True)
    names = chosen["rlnReferenceImage"].tolist()
    if "@" in names[0]:  # the maps of a 3D classification stay where they are
        pixel_size = read_header(names[0].partition("@")[2]).pixel_size
        stack = folder / "class_averages.mrcs"
        write_mrc(stack, read_images(names), pixel_size, stack=True)
        chosen["rlnReferenceImage"] = [f"{index:06d}@{stack.as_posix()}" for index in range(1, len(chosen) + 1)]
    chosen["rlnClassNumber"] = numbers
    write_star(folder / "class_averages.star", {"": chosen})
