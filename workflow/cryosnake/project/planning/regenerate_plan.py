"""Regeneration of cleaned data: exactly what a job that will run needs, and nothing else.

A cleaned job stays finished. When an unfinished job opens images of a cleaned one (its own input, or further up: a
refinement opens the stacks of the extraction), the batches concerned become its inputs under separate keys
(`batches/0007.again1.star`); their program makes what is missing, if necessary from data that are also regenerated. The
inputs of finished jobs do not change. A cleared job of another type is a rule whose outputs are missing:
Snakemake runs it when a job that is to run needs them. Jobs that were made from it before are INPUTS_CLEARED meanwhile.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cryosnake.jobs.model import COORDINATES, MICROGRAPHS, PARTICLES
from cryosnake.project.planning.planned import Disposition, PlannedJob
from cryosnake.project.records.batches import batch_star, product_files, read_done
from cryosnake.project.records.cleaned_files import RECORD, is_wanted, missing_files, read_cleaned
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.freshness import is_stale
from cryosnake.project.records.patterns import matches
from cryosnake.project.records.regenerated_inputs import NEEDED, read_needed

_CARRY = (MICROGRAPHS, COORDINATES, PARTICLES)  # inputs whose rows name images of earlier jobs

Jobs = Mapping[str, PlannedJob]


def with_regeneration(jobs: Jobs) -> dict[str, PlannedJob]:
    """Return planned jobs with what has to be regenerated, and for which jobs; nothing is written."""
    if not any(os.path.exists(f"{job.path}/{name}") for job in jobs.values() for name in (RECORD, NEEDED)):
        return dict(jobs)
    found = {name: replace(job, again=_again(job)) for name, job in jobs.items()}
    cleared = {name for name, job in found.items() if _is_cleared(job)}
    pending = _pending(found, cleared)
    for name, job in found.items():
        needs = _needs(found, job, pending[name])
        disposition = job.disposition
        if not pending[name] and disposition is not Disposition.HELD:
            if name not in cleared and any(up.name in cleared for up in _sources(found, job)):
                disposition = Disposition.INPUTS_CLEARED
            elif name in cleared and disposition is Disposition.ALL:
                disposition = Disposition.CLEARED
        found[name] = replace(job, needs=needs, disposition=disposition)
    return found


def _again(job: PlannedJob) -> dict[int, str]:
    """Return the keys of the batches of a per-micrograph job some of whose data were cleaned."""
    missing = {f"{job.path}/{path}" for path in missing_files(job.path)} if job.config.type.per_micrograph else set()
    if not is_wanted(job.path):
        missing = {file for file in missing if any(matches(file, end) for end in job.config.type.clean.data)}
    if not missing:
        return {}
    numbers = [number for number in job.batches if any(
        file in missing for item in read_done(job.path, number).values() if item.state == "ok"
        for file in product_files(job.path, job.config.type.products, item.name))]
    earlier = Counter(name.partition(".again")[0] for name in os.listdir(f"{job.path}/{BATCHES}")
                      if ".again" in name and name.endswith(".star"))
    return {number: f"{number:04d}.again{1 + earlier[f'{number:04d}']}" for number in numbers}


def _is_cleared(job: PlannedJob) -> bool:
    return not job.config.type.per_micrograph and read_cleaned(job.path).status is not None


def _sources(jobs: Jobs, job: PlannedJob) -> Iterator[PlannedJob]:
    paths = {source.job for source in job.inputs.values()}
    return (other for other in jobs.values() if other.path in paths)


def _pending(jobs: Jobs, cleared: set[str]) -> dict[str, frozenset[int]]:
    """Return the batches of each job that are to run, {0} for a job that takes its input whole."""
    pending: dict[str, frozenset[int]] = {}
    for name, job in jobs.items():
        if name in cleared:
            pending[name] = frozenset({0} if is_wanted(job.path) else ())
        elif job.config.type.per_micrograph:
            pending[name] = _pending_batches(jobs, job, pending)
        elif job.disposition is Disposition.BELOW_GROWTH:
            pending[name] = frozenset()
        else:
            late = any(pending[up.name] for up in _sources(jobs, job) if up.name not in cleared)
            pending[name] = frozenset({0} if late or _is_outdated(job) else ())
    for name, job in reversed(list(jobs.items())):  # cleared jobs whose outputs a pending one needs
        if pending[name]:
            for up in _sources(jobs, job):
                if up.name in cleared:
                    pending[up.name] = frozenset({0})
    return pending


def _pending_batches(jobs: Jobs, job: PlannedJob, pending: Mapping[str, frozenset[int]]) -> frozenset[int]:
    numbers = {number for number, key in job.batches.items() if not os.path.exists(batch_star(job.path, key))}
    for up in _sources(jobs, job):
        if pending[up.name]:
            numbers |= pending[up.name] if up.stream and up.stream == job.stream else job.batches.keys()
    return frozenset(numbers)


def _is_outdated(job: PlannedJob) -> bool:
    """Whether an output of a whole job is missing, or older than an input, as Snakemake sees it."""
    sources = [source.path for source in job.inputs.values() if not source.pinned]
    return any(is_stale(path, sources) for path in job.files())


def _needs(jobs: Jobs, job: PlannedJob, pending: frozenset[int]) -> dict[str, tuple[str, ...]]:
    """Return the data that must be regenerated first, by batch key; what was needed once stays listed."""
    needs = dict(read_needed(job.path))
    providers = list(dict.fromkeys(up.name for up in _providers(jobs, job)))
    keys = [(number, job.batches.get(number, "")) for number in sorted(pending)]
    for number, key in (*keys, *job.again.items()):  # what is regenerated may need the same
        files = [file for name in providers for file in _files(jobs[name], job, number)]
        if files:
            needs[key] = tuple(dict.fromkeys((*needs.get(key, ()), *files)))
    return needs


def _files(provider: PlannedJob, job: PlannedJob, number: int) -> list[str]:
    """Return the files of a provider for one batch of a job: of the same batch if both are streamed."""
    streamed = job.stream and provider.stream == job.stream
    return [batch_star(provider.path, key) for n, key in provider.again.items() if not streamed or n == number]


def _providers(jobs: Jobs, job: PlannedJob, *, through: bool = False) -> Iterator[PlannedJob]:
    """Yield the jobs whose images a job opens; `through` follows a job that only passes rows on."""
    for name, source in job.inputs.items():
        slot = job.config.type.slot(name)
        if not any(node in _CARRY for node in slot.types) or not (slot.images or through):
            continue
        for up in jobs.values():
            if up.path in (source.job, source.pinned):
                if up.config.type.clean.data:
                    yield up
                else:
                    yield from _providers(jobs, up, through=True)
