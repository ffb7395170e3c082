"""What can be refused, or doubted, before anything runs: files that the config names, and sizes that do not fit.

The definitions of parameters and slots say what is looked at (`jobs/model.py`), so that types of other packages are
checked as ours are. Jobs that have nothing to do are not looked at: their raw data may have been archived.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from cryosnake.jobs.kinds.files import FileKind, Format
from cryosnake.jobs.model import Parameter, Slot
from cryosnake.project.config.config import ConfigError
from cryosnake.project.planning.image_sizes import images_of
from cryosnake.project.planning.named_files import file_problem, look_at
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.planning.recorded_values import contradictions


def refuse_unusable(plan: Plan, elsewhere: bool = False) -> None:
    """Refuse the plan if a job that has something to do can't succeed.

    With `elsewhere`, jobs run on other computers, where other programs may be on the PATH.

    Raises
    ------
    ConfigError
        for the first file that is missing or of another kind, and the first length that does not fit
    """
    for job in _to_do(plan):
        for parameter in job.config.type.parameters:
            value = job.config.stated.get(parameter.name)
            if value is None or (value == "" and not parameter.required):
                continue  # programs take an empty text for none
            problem = (_of_file(plan, job, parameter, str(value), elsewhere) if parameter.file else
                       _of_length(plan, job, parameter) if parameter.at_most in job.inputs else "")
            if problem:
                raise ConfigError(job.config.places.get(parameter.name, f"jobs.{job.name}"), problem)
        for slot in job.config.type.inputs:
            source = job.inputs.get(slot.name)
            problem = "" if source is None or source.job else file_problem(source.path, _kind_of(slot))
            if source and problem:
                raise ConfigError(f"jobs.{job.name}.{slot.name}", f"{source.path} {problem}")


def doubts(plan: Plan) -> list[str]:
    """Return a line for each value of the config that headers or records of the first movies contradict."""
    return [line for job in _to_do(plan) for line in contradictions(plan, job)]


def _to_do(plan: Plan) -> Iterator[PlannedJob]:
    for job in plan.own:
        cleared = job.disposition in (Disposition.CLEARED, Disposition.INPUTS_CLEARED)
        if job.new or job.forced or not (cleared or all(map(os.path.exists, _results(job)))):
            yield job


def _results(job: PlannedJob) -> Iterator[str]:
    yield from job.files()
    yield from job.batch_stars()


def _kind_of(slot: Slot) -> FileKind:
    formats = dict.fromkeys(form for node in slot.types for form in node.formats)
    return FileKind(slot.name, tuple(formats))


def _of_file(plan: Plan, job: PlannedJob, parameter: Parameter, path: str, elsewhere: bool) -> str:
    kind = parameter.file
    assert kind is not None
    if elsewhere and Format.PROGRAM in kind.formats and "/" not in path:
        return ""
    problem = file_problem(path, kind)
    if problem:
        return (f"{job.name}: the {kind.name} {path} {problem}. Correct {parameter.name}; paths are relative to the "
                "project")
    size, movies = look_at(path).size if kind.as_movies else None, images_of(plan, job, "movies")
    if size and movies.sizes and not movies.eer and not any({*size} == {*of_movie} for of_movie in movies.sizes):
        of_movie = " x ".join(f"{side:g}" for side in movies.sizes[0])
        return (f"{job.name}: the {kind.name} {path} has {size[0]} x {size[1]} pixels, and the movies have {of_movie}. "
                "Give that of this camera mode (counting and super-resolution differ by 2)")
    return ""


def _of_length(plan: Plan, job: PlannedJob, parameter: Parameter) -> str:
    """Return why a length does not fit in the images of a slot: a diameter must be smaller, a box may be as large."""
    value = job.config.stated[parameter.name]
    value, images = max(value) if isinstance(value, list) else value, images_of(plan, job, parameter.at_most)
    in_pixels = not parameter.unit.startswith("Å")
    limit = images.side * (1 if in_pixels else images.pixel_size)
    if not limit or value < limit or (in_pixels and value == limit):
        return ""
    scale = "" if in_pixels else f" of {images.pixel_size:g} Å, {limit:g} Å"
    return (f"{job.name}: {parameter.name} is {value:g} {'px' if in_pixels else 'Å'}, and the {parameter.at_most} are "
            f"{images.side:g} px{scale} wide; it must fit in them. Correct it, or pixel size, binning or box before it")
