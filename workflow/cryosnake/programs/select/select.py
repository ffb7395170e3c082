"""Select: particles or micrographs by class, value, statistics, without duplicates, in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star, write_star
from cryosnake.io.star_optics import with_optics
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import SelectOptions
from cryosnake.programs.select.classes import (
    chosen_classes,
    write_backup_selection,
    write_class_averages,
    write_class_selection,
)
from cryosnake.programs.select.curated import keep_by_limits, with_reasons, write_rejected
from cryosnake.programs.select.expansion import expanded, keep_first_copies
from cryosnake.programs.select.groups import regrouped
from cryosnake.programs.select.images import keep_by_statistics
from cryosnake.programs.select.rows import (
    keep_by_class,
    keep_by_shift,
    keep_by_value,
    keep_without_duplicates,
    parts_of,
)

if TYPE_CHECKING:
    import pandas as pd


def run(options: SelectOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write particles.star or micrographs.star, their parts, class_averages.star and backup_selection.star.

    Raises
    ------
    CryosnakeError
        when the input lacks a column that a criterion needs, or no row is left
    """
    kind = _kind(inputs)
    path = str(inputs[kind])
    tables = with_optics(path, read_star(path), images=False)
    if kind not in tables:
        raise CryosnakeError(f"{path} has no block data_{kind}, only {', '.join(tables)}; connect a job that makes "
                             f"{kind}")
    rows = tables[kind]
    model = str(inputs["model"]) if "model" in inputs else None
    if options.recenter and model is None:
        raise CryosnakeError("recenter needs the class averages: connect model, such as model: classes.model")
    classes = chosen_classes(options, rows, path, model) if kind == "particles" else None
    if options.curate and kind != "particles":
        raise CryosnakeError("curate accepts and rejects particles; for micrographs add a job of type curate")
    chosen, left_out = select(rows, tables.get("optics"), options, classes, path, kind, progress)
    if options.curate:
        write_rejected(Path(out) / "particles_rejected.star", tables, left_out)
    if kind == "particles" and options.regroup is not None:
        chosen = regrouped(chosen, options.regroup, model, path)
    if options.expand_symmetry is not None:
        _check_expansion(options, kind)
        chosen = expanded(chosen, options.expand_symmetry, path)
    folder = Path(out)
    _write(folder / f"{kind}.star", tables, kind, chosen)
    for number, part in enumerate(_parts(chosen, options, kind, path), 1):
        _write(folder / f"{kind}_split{number}.star", tables, kind, part)
        print(f"{kind}_split{number}.star: {len(part)} rows")
    if model is not None:
        write_class_averages(model, classes, folder, recenter=options.recenter)
    if model is not None and options.minimum_score is not None:
        write_class_selection(model, rows, path, classes, folder, chosen)
    if model is not None and classes is not None:
        write_backup_selection(model, classes, folder)
    progress(1, 1, "done")


def select(rows: pd.DataFrame, optics: pd.DataFrame | None, options: SelectOptions, classes: list[int] | None,
           path: str, kind: str, progress: Progress) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Return the rows that pass all criteria of `options`, in their order; prints how many pass each one.

    With `curate` also those that each step leaves out, with the reason.

    Raises
    ------
    CryosnakeError
        when none is left
    """
    steps: list[tuple[str, Callable[[pd.DataFrame], Any]]] = []
    if classes is not None:
        steps.append(("class", partial(keep_by_class, classes=classes, path=path)))
    if kind == "particles" and options.minimum_score is not None and options.particle_scores:
        if "cryosnakeParticleScore" in rows.columns:
            steps.append(("particle score", partial(keep_by_value, label="cryosnakeParticleScore",
                                                    minimum=options.minimum_score, maximum=None, path=path)))
        else:
            print(f"{path} has no cryosnakeParticleScore (an earlier Class2D wrote it): by classes alone")
    if options.maximum_shift is not None:
        steps.append(("shift", partial(keep_by_shift, maximum=options.maximum_shift, path=path)))
    if options.label is not None:
        steps.append((options.label, partial(keep_by_value, label=options.label, minimum=options.minimum,
                                              maximum=options.maximum, path=path)))
    if options.limits or options.flags:
        steps.append(("limits and flags", partial(keep_by_limits, limits=options.limits or {},
                                                  flags=options.flags or {}, path=path)))
    if options.discard_sigma is not None:
        steps.append(("image statistics", partial(keep_by_statistics, options=options, kind=kind, path=path,
                                                  progress=progress)))
    if options.duplicate_distance is not None:
        steps.append(("duplicates", partial(keep_without_duplicates, optics=optics, distance=options.duplicate_distance,
                                            pixel_size=options.pixel_size, path=path)))
    if options.remove_copies:
        steps.append(("first copy", partial(keep_first_copies, path=path)))
    left_out: list[pd.DataFrame] = []
    for name, keep in steps:
        before = len(rows)
        kept = keep(rows)
        if options.curate:
            left_out.append(with_reasons(rows[~kept], name, options, path))
        rows = rows[kept].reset_index(drop=True)
        print(f"by {name}: {len(rows)} of {before} kept")
        if len(rows) == 0:
            raise CryosnakeError(f"{path}: the selection by {name} keeps none of {before} {kind}; widen it")
    return rows, left_out


def _check_expansion(options: SelectOptions, kind: str) -> None:
    if kind != "particles":
        raise CryosnakeError("expand_symmetry makes copies of particles; give particles, not micrographs")
    if options.split_count is not None or options.split_size is not None:
        raise CryosnakeError("expand_symmetry and a split would spread copies of one particle over the parts; split "
                             "first, and expand the parts")


def _kind(inputs: Mapping[str, str | Path]) -> str:
    given = [name for name in ("particles", "micrographs") if name in inputs]
    if len(given) != 1:
        raise CryosnakeError("Select takes either particles or micrographs; "
                             f"{'both are' if given else 'neither is'} given")
    return given[0]


def _parts(rows: pd.DataFrame, options: SelectOptions, kind: str, path: str) -> list[pd.DataFrame]:
    if options.split_count is None and options.split_size is None:
        return []
    if kind == "micrographs" and options.split_count is not None:
        raise CryosnakeError("split_count makes parts of particles only; use split_size for micrographs")
    if options.split_count is not None and len(rows) < options.split_count:
        raise CryosnakeError(f"{path}: {len(rows)} rows cannot make {options.split_count} parts; lower split_count")
    seed = options.random_seed if options.random_order else None
    parts = parts_of(rows, options.split_count, options.split_size, seed)
    if options.split_count is not None and len(parts) < min(2, options.split_count):
        raise CryosnakeError(f"{path}: {len(rows)} rows make only {len(parts)} part of {options.split_size}; lower "
                             "split_size")
    return parts


def _write(path: Path, tables: Mapping[str, pd.DataFrame], kind: str, rows: pd.DataFrame) -> None:
    write_star(path, {name: rows if name == kind else table for name, table in tables.items()})
