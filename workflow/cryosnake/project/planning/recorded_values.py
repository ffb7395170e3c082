"""What headers of movies, and records that the microscope's software left beside them, say against the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cryosnake.io.acquisition.beside import read_acquisition
from cryosnake.io.acquisition.record import Acquisition
from cryosnake.io.completeness import EER_NAMES
from cryosnake.io.recorded_pixel_size import recorded_pixel_size
from cryosnake.project.planning.image_sizes import some_movies
from cryosnake.project.planning.named_files import look_at
from cryosnake.project.planning.planned import Plan, PlannedJob

_TOLERATED = 0.05  # relative difference; calibrated pixel sizes differ from nominal ones by less
_FAR_OFF = 3.0  # times, of doses: of the beam and of what passes the specimen
_UNITS = {"voltage": "kV", "spherical_aberration": "mm"}
_EER_FACTORS = (1, 2, 4)  # of the detector's pixel and the stated one, which is that of upsampled pixels


def contradictions(plan: Plan, job: PlannedJob) -> Iterator[str]:
    """Yield a line for each value of an import or a motion correction that the first movies contradict.

    Voltage, Cs and pixel size are compared to 5 %, doses to a factor of 3.
    """
    values, source = job.config.parameters(), job.inputs.get("movies")
    if not job.config.type.inputs and values.get("pixel_size"):
        yield from _of_optics(job, values)
    elif source and source.job and values.get("dose_per_frame"):
        yield from _of_dose(job, some_movies(plan.at(source.job)), values)


def _of_optics(job: PlannedJob, values: Mapping[str, Any]) -> Iterator[str]:
    movies = some_movies(job)
    record = _record(movies)
    for name, unit in _UNITS.items():
        stated, recorded = values.get(name), getattr(record, name, None)
        if record and stated is not None and recorded and not _near(stated, recorded):
            yield (f"{job.name}: {name} is {stated:g} {unit}, and {record.path} says {recorded:.4g} {unit}; the CTF "
                   "depends on it: correct the config if the file is right")
    of_movies = record if values.get("movies") else None  # micrographs may have been binned
    if movies and (line := _pixel_size_line(movies[0], of_movies, values["pixel_size"])):
        yield f"{job.name}: {line}"


def _pixel_size_line(movie: str, record: Acquisition | None, stated: float) -> str:
    """Return what the header of a movie, or else its record, has against the stated pixel size in Å; "" for nothing."""
    factors = _EER_FACTORS if movie.lower().endswith(EER_NAMES) else (1,)
    sources = {f"the header of {movie}": _pixel_size_in(movie)}
    if record:
        sources[record.path] = _pixel_size_of(record, movie)
    for where, recorded in sources.items():
        if recorded and not any(_near(factor * stated, recorded) for factor in factors):
            twice = _near(stated, 2 * recorded) or _near(2 * stated, recorded)
            why = ("a factor of 2, as between super-resolution and the camera's pixels: that of the movies as they are "
                   "stored is right" if twice else "one of them is wrong")
            return (f"pixel_size is {stated:g} Å, and {where} says {recorded:.4g} Å; {why}. Defocus, dose and "
                    "resolution depend on it; correct the config if it is not right")
    return ""


def _of_dose(job: PlannedJob, movies: list[str], values: Mapping[str, Any]) -> Iterator[str]:
    record, stated = _record(movies), values["dose_per_frame"]
    recorded = record and record.dose_per_frame
    if record is None or not recorded:
        return
    grouped = values.get("eer_grouping", 1) if movies[0].lower().endswith(EER_NAMES) else 1
    if not any(1 / _FAR_OFF < stated / (recorded * frames) < _FAR_OFF for frames in (1, grouped)):
        yield (f"{job.name}: dose_per_frame is {stated:g} e/Å², and {record.path} says {recorded * grouped:.3g} e/Å² "
               f"({record.dose:.3g} in {record.frames} frames); the weights of the frames depend on it: correct the "
               "config if the file is right")


def _record(movies: list[str]) -> Acquisition | None:
    """Return the record of the first of some movies that has one."""
    return next((record for movie in movies if (record := read_acquisition(movie))), None)


def _pixel_size_of(record: Acquisition, movie: str) -> float | None:
    """Return the pixel size of a movie's pixels, in Å, where its record has it for an image of half or twice the width.

    Movies of super-resolution have twice the width of the camera.
    """
    size = look_at(movie).size
    scale = record.width / size[0] if record.width and size and record.pixel_size else 1.0
    return record.pixel_size and record.pixel_size * (scale if scale in (0.5, 2.0) else 1.0)


def _pixel_size_in(movie: str) -> float | None:
    try:
        return recorded_pixel_size(movie)
    except Exception:  # a header that can't be read is the import's affair
        return None


def _near(stated: float, recorded: float) -> bool:
    return round(abs(stated / recorded - 1.0), 3) <= _TOLERATED
