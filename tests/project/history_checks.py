"""What is looked at in a project between the steps of a random history (`any_history.py`)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cryosnake.digests import digest
from cryosnake.jobs.model import file_of
from cryosnake.jobs.registry import job_types
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status, job_number
from cryosnake.project.cleaning.trash import in_trash
from cryosnake.project.config.decisions import digest_of_files, read_decisions
from cryosnake.project.planning.planned import Plan
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.joined_tables import write_joined
from cryosnake.project.records.made_from import TakenFile
from cryosnake.project.records.record import read_record

BOOKKEEPING = (".nodes", ".lock", ".relion_lock", "run_times.tsv")


def job_paths(folder: str = ".") -> list[str]:
    """Return the job directories of the project that have a record."""
    return sorted(str(path.parent.relative_to(folder)) for path in Path(folder).glob("[A-Z]*/job[0-9]*/cryosnake.json"))


def canary(folder: Path) -> dict[str, bytes]:
    """Return all files of others, with their contents; what is in our own part of a shared Trash is ours."""
    ours = [path.parent for path in folder.rglob(".cryosnake_trash_of")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
            and not any(path.is_relative_to(place) for place in ours)}


def tree(*, content: bool = False) -> dict[str, object]:
    """Return all that is in the project, with size and time of each, or with the contents of results."""
    found: dict[str, object] = {}
    for path in Path().rglob("*"):
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        elif content:
            if path.is_file() and path.suffix in (".star", ".mrc", ".mrcs", ".json") and ".cryosnake" not in path.parts:
                found[str(path)] = path.read_bytes()
        else:
            status = path.lstat()
            found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def summary_of(plan: Plan) -> dict[str, object]:
    """Return what a plan says of each job."""
    return {name: (job.path, job.new, job.disposition, job.growth, job.supersedes, job.why_held, dict(job.batches),
             dict(job.again), dict(job.needs)) for name, job in plan.jobs.items()}


def numbers_used() -> dict[int, str]:
    """Return the jobs of the project and of the Trash by their numbers, with what they are."""
    found: dict[int, str] = {}
    trash = os.path.dirname(os.path.dirname(in_trash("Class2D/job001")))
    for folder in (".", trash):
        for path in job_paths(folder):
            record = read_record(Path(folder, path))
            assert record is not None
            what = f"{path} {sorted(record.stated.items())} {sorted(record.inputs.items())}"
            assert found.setdefault(job_number(path) or 0, what) == what
    return found


def results_of(path: str) -> dict[str, str]:
    """Return the digests of the results of a finished job that takes its input whole; of others nothing."""
    record = read_record(Path(path))
    if record is None or exit_of(path) != Status.SUCCEEDED:
        return {}
    job_type = job_types()[record.type]
    if job_type.per_micrograph:
        return {}
    files = [f"{path}/{file_of(output, record.parameters)}" for output in job_type.all_outputs(record.parameters)
             if not output.when or record.parameters.get(output.when) or output.when in record.inputs]
    return {file: _sha(file) for file in files if os.path.exists(file)}


def _sha(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def changed_results(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the files of finished jobs that have other contents now."""
    return [file for path, files in now.items() for file, found in files.items()
            if before.get(path, {}).get(file, found) != found]


def inputs_that_are_lost(thrown_away: set[str]) -> list[str]:
    """Return the recorded inputs that can't be had any more as they were, files of the user apart."""
    return [f"{path} {slot}: {reason}" for path in job_paths()
            for record in [read_record(Path(path))] if record
            for slot, file in record.made_from.items() for reason in _why_lost(file, thrown_away)]


def _why_lost(file: TakenFile, thrown_away: set[str]) -> Iterator[str]:
    maker = "/".join(file.path.split("/")[:2])
    if job_number(maker) is None or maker in thrown_away:
        return
    if file.batches:
        stars = [_found(batch_star(maker, key)) for key in file.batches]
        if not all(stars):
            yield f"batches of {file.path} are gone"
            return
        path = Path("joined.star")
        write_joined(path, "particles", stars)
        found = digest(str(path))
        path.unlink()
        if found != file.digest:
            yield f"other rows in the batches of {file.path}"
        return
    place = _found(file.path)
    if not place and not os.path.exists(maker):
        yield f"{file.path} is gone, and {maker}"
    if place and digest(place) != file.digest:
        yield f"{file.path} is another"


def _found(file: str) -> str:
    return next((place for place in (file, in_trash(file)) if os.path.exists(place)), "")


def choices_that_are_lost(job: str, moved: Collection[str]) -> list[str]:
    """Return from what classes were chosen and that is not as it was; not what the user has `moved` or thrown away."""
    return [f"{one.made_on}, from which {one.classes} were chosen, is another" for one in read_decisions(job)
            if one.made_on not in moved and digest_of_files(one.files) != one.digest]
