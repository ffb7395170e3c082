"""Files of a job that a clean-up takes: by the patterns of its definition, never files to which jobs are connected.

intermediate   iterations other than the last
gentle         also other files that are no longer needed, such as logs
harsh          also files that can only be computed again: micrographs, particle stacks
clear          all results; its parameters, its tables per micrograph, its logs and its pictures stay
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryosnake.jobs.model import JobType
from cryosnake.jobs.registry import by_folder
from cryosnake.pipeline.model import Pipeline
from cryosnake.project.cleaning.guards import CLEAR, GENTLE, HARSH
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.patterns import matches

ITERATED = ("Class2D", "Class3D", "Refine3D", "InitialModel", "MultiBody")
_ITERATION = re.compile(r"(run_(?:ct\d+_)?it(\d{3,}))(?=[_.])")
_BOOKKEEPING = re.compile(
    r"(job|job_pipeline|default_pipeline|deleted_pipeline|continue_job|RELION_OUTPUT_NODES|failed_micrographs)\.star$"
    r"|backup_selection\.star$"  # a choice of classes, which somebody made
    r"|(note\.txt|manifest\.tsv|not_imported\.tsv|benchmark\.tsv|cryosnake\.json|run\.out|run\.err|run\.job|run_submit\.script|NO_HARSH_CLEAN)$"
    r"|\.cryosnake|RELION_JOB_(?!EXIT)|[^/]*\.(log|lock|png|svg|pdf|html|json)$|" + BATCHES + "/")


def clean_set(pipeline: Pipeline, name: str, level: str, files: Iterable[str]) -> list[str]:
    """Return those of the files below a job directory that a level takes; the pipeline has the nodes that must stay."""
    present = list(files)
    free = [file for file in present if not _BOOKKEEPING.match(file)]
    if level == CLEAR:
        return _results(name, free)
    taken = set(_intermediate_files(pipeline, name, free))
    for pattern in _patterns(name, level):
        taken.update(file for file in free if matches(file, pattern))
    taken -= {node.removeprefix(name) for node in pipeline.outputs.get(name, ())}
    return [file for file in present if file in taken]


def _intermediate_files(pipeline: Pipeline, name: str, files: Iterable[str]) -> list[str]:
    """Return the files of iterations, except of the last and of those with a node in the pipeline."""
    roots = iterations_of(name, files)
    last = max((number for _, number in roots.values()), default=0)
    connected = connected_iterations(pipeline, name)
    return [file for file, (root, number) in roots.items() if number != last and root not in connected]


def iterations_of(name: str, files: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Return the files of a job that belong to an iteration, each with the prefix of its name and the number.

    `run_ct10_it012_data.star` belongs to ("run_ct10_it012", 12).
    """
    if not name.startswith(tuple(f"{folder}/" for folder in ITERATED)):
        return {}
    job_type = type_of(name)
    patterns = job_type.clean.intermediate if job_type else ("run_*it*_*",)
    roots: dict[str, tuple[str, int]] = {}
    for file in files:
        found = _ITERATION.match(file)
        if found and any(matches(file, pattern) for pattern in patterns):
            roots[file] = (found[1], int(found[2]))
    return roots


def connected_iterations(pipeline: Pipeline, name: str) -> set[str]:
    """Return the name prefixes of those iterations of a job that have a node in the pipeline."""
    return {match[1] for node in pipeline.nodes if node.startswith(name)
            for match in [_ITERATION.match(node.removeprefix(name))] if match}


def data_files(name: str, files: Iterable[str]) -> list[str]:
    """Return those files below a job directory that later jobs open."""
    job_type = type_of(name)
    patterns = job_type.clean.data if job_type else ("*/",)
    return [file for file in files if any(matches(file, pattern) for pattern in patterns)]


def type_of(name: str) -> JobType | None:
    """Return the job type of a process name, None for one that only RELION knows."""
    return by_folder(name.partition("/")[0])


def _patterns(name: str, level: str) -> tuple[str, ...]:
    job_type = type_of(name)
    if job_type is None or level not in (GENTLE, HARSH):
        return ()
    return job_type.clean.gentle + (job_type.clean.harsh if level == HARSH else ())


def _results(name: str, free: Iterable[str]) -> list[str]:
    job_type = type_of(name)
    if job_type is not None and job_type.per_micrograph:  # its tables stay, because later jobs have read them
        return [file for file in free if "/" in file or file.startswith("RELION_JOB_EXIT")]
    return list(free)
