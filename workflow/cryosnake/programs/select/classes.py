"""Selection of classes of a classification, and of their averages as references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_header, read_images, write_mrc
from cryosnake.io.star import read_star, read_table, write_star
from cryosnake.jobs.options import SelectOptions
from cryosnake.numerics.image_geometry import recentred
from cryosnake.programs.select.rows import column_of


def chosen_classes(options: SelectOptions, rows: pd.DataFrame, path: str, model: str | None = None) -> list[int] | None:
    """Return the numbers of the classes to keep, or None when the options do not select classes.

    Raises
    ------
    CryosnakeError
        when a requested class has no particles, none is large enough, or none scores high enough
    """
    if options.classes is None and options.minimal_class_size is None and options.minimum_score is None:
        return None
    numbers, counts = np.unique(column_of(rows, "rlnClassNumber", path).astype(int), return_counts=True)
    sizes = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    wanted = list(sizes) if options.classes is None else list(options.classes)
    empty = [number for number in wanted if number not in sizes]
    if empty:
        raise CryosnakeError(f"{path} has no particles in class {empty[0]}; its classes are "
                             f"{', '.join(str(number) for number in sizes)}")
    chosen = [number for number in wanted if sizes[number] >= (options.minimal_class_size or 0)]
    if not chosen:
        raise CryosnakeError(f"{path}: no class has {options.minimal_class_size} particles, the largest has "
                             f"{max(sizes[number] for number in wanted)}; lower minimal_class_size")
    if options.minimum_score is not None:
        chosen = _scoring(chosen, options.minimum_score, model)
    print("classes: " + ", ".join(f"{number} ({sizes[number]})" for number in chosen))
    return chosen


def _scoring(numbers: list[int], minimum: float, model: str | None) -> list[int]:
    scores = class_scores(model)["rlnClassScore"].to_numpy(float)
    if max(numbers) > len(scores):
        raise CryosnakeError(f"{model} has {len(scores)} classes; class {max(numbers)} is not among them. It is not "
                             "the model of these particles' classification")
    chosen = [number for number in numbers if scores[number - 1] >= minimum]
    if not chosen:
        raise CryosnakeError(f"{model}: no class scores {minimum:g}; the best of {len(numbers)} has "
                             f"{max(scores[number - 1] for number in numbers):.2f}. Check the class averages: lower "
                             "minimum_score, choose classes by hand, or pick again")
    return chosen


def class_scores(model: str | None) -> pd.DataFrame:
    """Return model_classes of a model.star with scores.

    Raises
    ------
    CryosnakeError
        when there is no model or it has no scores
    """
    if model is None:
        raise CryosnakeError("minimum_score needs the classification's model.star: connect model, such as "
                             "model: classes.model")
    table = read_table(model, "model_classes", ["rlnReferenceImage"])
    if "rlnClassScore" not in table.columns:
        raise CryosnakeError(f"{model} has no rlnClassScore. cryosnake's Class2D writes it in its last iteration; for "
                             "classes of RELION choose by hand (classes: …)")
    return table


def write_class_selection(model: str, rows: pd.DataFrame, path: str, kept: list[int] | None, folder: Path,
                          left: pd.DataFrame) -> None:
    """Write class_selection.star: size, score, resolution of every class, whether it was kept, and why not.

    `left` are the rows that passed all criteria: fewer than the members of the classes kept where particles are chosen
    by other values, too.
    """
    table, block = class_scores(model), read_star(model).get("class_ranking")
    members, passed = (np.bincount(column_of(found, "rlnClassNumber", path).astype(int), minlength=len(table) + 1)[1:]
                       for found in (rows, left))
    numbers = np.arange(1, len(table) + 1)
    chosen = np.isin(numbers, numbers if kept is None else kept)
    reasons = np.full(len(table), "None", object) if block is None else block["cryosnakeReason"].to_numpy(object)
    write_star(folder / "class_selection.star", {"class_selection": pd.DataFrame({
        "rlnReferenceImage": table["rlnReferenceImage"], "rlnClassNumber": numbers, "cryosnakeParticles": members,
        "cryosnakeParticlesKept": passed,
        "rlnClassDistribution": members / max(members.sum(), 1), "rlnClassScore": table["rlnClassScore"],
        "rlnEstimatedResolution": table["rlnEstimatedResolution"], "rlnSelected": chosen.astype(int),
        "cryosnakeReason": np.where(members == 0, "empty", reasons)})})
    print(f"class_selection.star: {passed.sum()} of {members.sum()} particles kept, in {chosen.sum()} classes")


def write_class_averages(model: str, classes: list[int] | None, folder: Path, *, recenter: bool = False) -> None:
    """Write class_averages.star with the chosen classes (None: all) of a model.star, in 2D class_averages.mrcs too.

    With `recenter`, 2D averages are moved onto their centres; the particles' origins stay, as with RELION.
    """
    table = read_table(model, "model_classes", ["rlnReferenceImage"])
    numbers = list(range(1, len(table) + 1)) if classes is None else sorted(classes)
    if max(numbers) > len(table):
        raise CryosnakeError(f"{model} has {len(table)} classes; class {max(numbers)} is not among them. It is not the "
                             "model of these particles' classification")
    chosen = table.iloc[[number - 1 for number in numbers]].reset_index(drop=True)
    names = chosen["rlnReferenceImage"].tolist()
    if "@" in names[0]:  # the maps of a 3D classification stay where they are
        pixel_size = read_header(names[0].partition("@")[2]).pixel_size
        stack = folder / "class_averages.mrcs"
        averages = read_images(names)
        write_mrc(stack, recentred(averages) if recenter else averages, pixel_size, stack=True)
        chosen["rlnReferenceImage"] = [f"{index:06d}@{stack.as_posix()}" for index in range(1, len(chosen) + 1)]
    elif recenter:
        print("recenter is for 2D class averages: the maps of 3D classes stay as they are")
    chosen["rlnClassNumber"] = numbers
    write_star(folder / "class_averages.star", {"": chosen})


def write_backup_selection(model: str, classes: list[int], folder: Path) -> None:
    """Write backup_selection.star, from which RELION's display takes the choice when it opens the job again.

    One that is there stays: it says the same, or somebody chose in RELION meanwhile.
    """
    path = folder / "backup_selection.star"
    if path.exists():
        print(f"{path} is there already, and stays as it is")
        return
    numbers = np.arange(1, len(read_table(model, "model_classes", ["rlnReferenceImage"])) + 1)
    write_star(path, {"": pd.DataFrame({"rlnSelected": np.isin(numbers, classes).astype(int)})})
