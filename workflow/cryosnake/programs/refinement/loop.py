"""The loop of all refinements and classifications: start or continuation, iterations, files, pictures, ranks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cryosnake.errors import CryosnakeError
from cryosnake.io.star_writer import is_whole
from cryosnake.jobs.forms import IterationProgress, Progress
from cryosnake.programs.refinement.execution import execution_of
from cryosnake.programs.refinement.image_doubts import doubt_contrast, doubt_defocus
from cryosnake.programs.refinement.iteration_pictures import Pictures
from cryosnake.programs.refinement.memory import planned
from cryosnake.programs.refinement.particle_checks import not_applied
from cryosnake.programs.refinement.ranks import expect_on_ranks
from cryosnake.programs.refinement.recipe import Model, Recipe
from cryosnake.programs.refinement.same_particles import doubled
from cryosnake.programs.refinement.step import Report

M = TypeVar("M", bound=Model)
S = TypeVar("S")


def run_recipe(kind: Callable[..., Recipe[Any, Any, Any]], options: Any, inputs: Mapping[str, Path], out: Path,
               progress: IterationProgress) -> None:
    """Run a job of one kind of recipe on `inputs["particles"]`.

    Raises
    ------
    CryosnakeError
        when an input cannot be used, or the job may take less memory than it needs
    """
    with execution_of(inputs["particles"], options, out) as work:
        recipe = kind(work, options, inputs, Path(out) / getattr(progress, "root_name", "run"))
        with planned(recipe):
            run(recipe, progress)


def run(recipe: Recipe[Any, M, S], progress: IterationProgress) -> M:
    """Run a recipe from its start, or the iteration that it continues from, to its end; return its last model."""
    model, pictures = _begin(recipe, progress), Pictures(recipe.options.pictures)
    while not recipe.finished(model):
        begin, report = time.monotonic(), reporter(progress, *recipe.progress(model))
        report(0)
        model = iterate(recipe, model, report)
        recipe.say(recipe.line(model, time.monotonic() - begin))
        model = recipe.measure(model)
        _write(recipe, model, pictures, progress)
        model = recipe.proceed(model)
    recipe.close(model, progress)
    return model


def iterate(recipe: Recipe[Any, M, S], model: M, report: Report = lambda done: None) -> M:
    """Return the model after one more iteration; the given one is unchanged. All ranks call this together."""
    model = update(recipe, recipe.prepare(model), report)
    while not recipe.complete(model):
        model = update(recipe, recipe.prepare(model), report)
    return model


def update(recipe: Recipe[Any, M, S], model: M, report: Report) -> M:
    """Return the model after expectation steps over its sets of particles, and what is learnt from them."""
    sampling, sets = recipe.sampling(model), recipe.sets(model)
    found = expect_on_ranks(recipe.work, sets, partial(recipe.expect, model, sampling), report)

    def learn() -> M:
        assigned = [accumulated.assigned for accumulated in found]
        return recipe.learn(model, sampling, found, model.assignments.updated(zip(sets, assigned, strict=True)))

    return recipe.lead(learn)


def _begin(recipe: Recipe[Any, M, S], progress: Progress) -> M:
    """Return the model with which the first iteration starts."""
    path: str = getattr(recipe.options, "continue_from", None) or ""
    if path:
        path, model = recipe.lead(partial(_read, recipe, path, getattr(progress, "may_step_back", False)))
        recipe.say(f"Continuing after iteration {model.iteration} of {path}" if path else "Starting again")
    else:
        model = recipe.lead(recipe.start)
    if not path:
        recipe.say(recipe.headline())
    recipe.say(not_applied(recipe.particles.table))
    recipe.say(recipe.particles.describe_applied())
    recipe.say(recipe.particles.describe_resampled())
    recipe.say(doubled(recipe.particles.table["rlnImageName"], recipe.particles.first_at_place()))
    doubts = [doubt_contrast, *([doubt_defocus] if getattr(recipe.options, "ctf", False) else [])]
    for doubt in [] if path else doubts:
        recipe.say(recipe.lead(partial(doubt, recipe.particles, recipe.work.images)))
    if recipe.work.ranks.rank == 0:
        recipe.say_plan(model)
        if recipe.start_has_files and not path:
            recipe.write(model)
    return model if path else recipe.begin(model, progress)


def _read(recipe: Recipe[Any, M, S], path: str, may_step_back: bool) -> tuple[str, M]:
    """Return an optimiser file and the model that it describes; of damaged ones the one before, or "" and the start."""
    if not may_step_back:
        return path, recipe.read(path)
    stem, folder = Path(path).name.rpartition("_it")[0], Path(path).parent
    for file in sorted(folder.glob(f"{stem}_it[0-9][0-9][0-9]_optimiser.star"), reverse=True):
        if str(file) <= path:
            try:
                _require_whole(folder.glob(file.name.replace("_optimiser.star", "_*.star")))
                return str(file), recipe.read(str(file))
            except (CryosnakeError, LookupError, ValueError, EOFError) as error:
                recipe.say(f"{file}: this iteration can't be read, and the one before is taken: {error}")
    return "", recipe.start()


def _require_whole(files: Iterable[Path]) -> None:
    for file in files:
        if not is_whole(file):
            raise CryosnakeError(f"{file} is cut off")


def _write(recipe: Recipe[Any, M, S], model: M, pictures: Pictures, progress: IterationProgress) -> None:
    """Write the outputs of an iteration, on rank 0: its files, then its picture."""
    if recipe.work.ranks.rank != 0 or not recipe.write(model):
        return
    if recipe.is_numbered(model):
        report_written(progress, model.iteration)
    pictures.draw(f"{recipe.root}_it{model.iteration:03d}.png", partial(recipe.picture, model), recipe.finished(model))


def report_written(progress: IterationProgress, number: int) -> None:
    """Report that all files of an iteration have been written, where `progress` takes that."""
    if hasattr(progress, "iteration_written"):
        progress.iteration_written(number)


def reporter(progress: Progress, before: int, total: int, message: str) -> Report:
    """Return a function that reports particles as done, in addition to those `before`, of `total`."""
    return lambda done: progress(before + done, total, message)
