"""Curating micrographs or particles: what there is, by which limits and flags, and changing these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import product_root
from cryosnake.limits import ACCEPT, BY_EYE, REJECT, Limit, limits_of, limits_problem
from cryosnake.pipeline.find_process import find_job
from cryosnake.project.actions.picked_in_relion import SELECTION, ticks_of
from cryosnake.project.config.config import JobConfig, parse_config
from cryosnake.project.config.curation import (
    Curation,
    Flag,
    curation_file,
    is_curated,
    read_curation,
    stamp_of,
    write_curation,
)
from cryosnake.project.config.decisions import now
from cryosnake.project.config.text_edits import read_config
from cryosnake.project.locks.decisions_lock import deciding
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.file_stamps import is_same_file, signed_stamp
from cryosnake.project.records.final_marks import is_final

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_IMAGE = {"micrographs": "rlnMicrographName", "particles": "rlnImageName"}
EARLIER = "made on the earlier motion correction"


@dataclass(frozen=True, kw_only=True)
class Curated:
    """What a job curates: the rows (n) of its input, each with a name for flags, and what was decided.

    `kind` is micrographs or particles, `table` the file that lists them, `in_config` the limits of config.yaml, and
    `stamp` is another one when these limits or flags of the config, or those that were set, are.
    """

    job: str
    path: str
    kind: str
    table: str
    rows: pd.DataFrame
    names: Sequence[str]
    in_config: Mapping[str, str]
    config_flags: Mapping[str, str]
    curation: Curation
    stamp: str

    @property
    def limits(self) -> dict[str, str]:
        """The limits that hold."""
        return self.curation.limits_for(self.in_config)

    @property
    def flags(self) -> dict[str, str]:
        """The flags that hold, by name."""
        return self.curation.flags_for(self.config_flags)

    @property
    def images(self) -> list[str]:
        """The file, or the image in a stack, of each row."""
        return [str(name) for name in self.rows[_IMAGE[self.kind]]]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many rows there are, are accepted, and are left out by each rule; one may be left out by several."""

    total: int
    accepted: int
    by_rule: Mapping[str, int]


def curated(text: str, read: Callable[[Path], Mapping[str, pd.DataFrame]] | None = None) -> Curated:
    """Return what a job of the config curates; `read` reads a STAR file.

    Raises
    ------
    CryosnakeError
        when it is no such job, its input has not been made yet, or its decisions are damaged
    """
    from cryosnake.io.star import read_star  # here: only curating needs pandas

    job, config = _job(text)
    kind = "micrographs" if "micrographs" in job.inputs else "particles"
    source = job.inputs[kind].path
    if not os.path.exists(source):
        raise CryosnakeError(f"{job.name}: there is nothing to curate yet, for {source} has not been made; run "
                             "snakemake first")
    tables = (read or read_star)(Path(source))
    if kind not in tables or _IMAGE[kind] not in tables[kind].columns:
        raise CryosnakeError(f"{source} lists no {kind}; connect {job.name} with a job that makes them")
    rows, parameters = tables[kind], config.parameters()
    return Curated(job=job.name, path=job.path if job.numbered else "", kind=kind, table=source, rows=rows,
                   names=[flag_name(kind, str(name)) for name in rows[_IMAGE[kind]]],
                   in_config=parameters["limits"] or {}, config_flags=parameters["flags"] or {},
                   stamp=_stamp(config), curation=read_curation(job.name))


def flag_name(kind: str, image: str) -> str:
    """Return the name under which a micrograph or an image is flagged."""
    return product_root("", image).lstrip("/") if kind == "micrographs" else image


def numeric_columns(rows: pd.DataFrame) -> list[str]:
    """Return the columns on which there can be a limit: numbers that are not all the same."""
    return [label for label in rows.columns if rows[label].dtype.kind in "if" and rows[label].nunique() > 1]


def counts(found: Curated, limits: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None) -> Counts:
    """Return what limits and flags leave; those that hold where none are given."""
    import numpy as np

    limits, flags = found.limits if limits is None else limits, found.flags if flags is None else flags
    said = np.array([flags.get(name, "") for name in found.names])
    kept = np.ones(len(found.rows), bool)
    by_rule = {}
    for label, limit in limits_of(limits).items():
        inside = _inside(found, label, limit)
        by_rule[f"{label} {limit}"] = int((~inside & (said == "")).sum())
        kept &= inside
    kept = (kept | (said == ACCEPT)) & (said != REJECT)
    if (said == REJECT).any():
        by_rule[BY_EYE] = int((said == REJECT).sum())
    return Counts(total=len(kept), accepted=int(kept.sum()), by_rule=by_rule)


def earlier_flags(found: Curated) -> set[str]:
    """Return the names of flagged micrographs that were made again since somebody looked at them."""
    present = dict(zip(found.names, found.images, strict=True)) if found.kind == "micrographs" else {}
    return {name for name, flag in found.curation.flags.items()
            if flag.signature and name in present and os.path.exists(present[name])
            and not (flag.seen == present[name] and is_same_file(flag.signature, present[name]))}


def names_of(found: Curated, words: Iterable[str]) -> list[str]:
    """Return the names for flags that a user means: as they are, a micrograph's file, or its end such as `a_0012`.

    Raises
    ------
    CryosnakeError
        for one that is not there, or could be several
    """
    known = set(found.names)
    by_end: dict[str, list[str]] = {}
    for name in found.names:
        by_end.setdefault(os.path.basename(name), []).append(name)
    meant = []
    for word in words:
        name = flag_name(found.kind, word) if "/" in word else os.path.splitext(word)[0]
        like = [name] if name in known else by_end.get(name, by_end.get(word, []))
        if not like and name in found.curation.flags:  # of one that is not in the table now
            like = [name]
        if len(like) != 1:
            what = f"is one of several: {', '.join(like[:3])}" if like else f"is none of the {found.kind}"
            raise CryosnakeError(f"{word} {what} in {found.table}")
        meant += like
    return meant


def relion_selections(found: Curated) -> dict[str, list[str]]:
    """Return the micrographs that a person left out while picking by hand, in RELION or here, by the job.

    They have no tick in `local_selection.star`, or, where that is missing, `micrographs_selected.star` does not list
    them. Jobs of other micrographs, those that left out none, and files that can't be read are passed over.
    """
    selections = {}
    for path in sorted(Path().glob("*/job*/micrographs_selected.star")) if found.kind == "micrographs" else ():
        try:
            ticked = {flag_name(found.kind, name) for name in _ticked(path)}
        except CryosnakeError:
            continue
        left_out = [name for name in found.names if name not in ticked]
        if ticked and left_out and ticked <= set(found.names):
            selections[path.parent.as_posix()] = left_out
    return selections


def _ticked(selected: Path) -> list[str]:
    from cryosnake.io.star import read_star

    ticks = ticks_of(str(selected.with_name(SELECTION)))  # of micrographs without picks too
    if ticks:
        return [name for name, ticked in ticks.items() if ticked]
    table = read_star(selected).get("micrographs")
    return [] if table is None else list(table["rlnMicrographName"].map(str))


def with_flags(found: Curated, names: Iterable[str], state: str, flags: Mapping[str, Flag]) -> dict[str, Flag]:
    """Return flags with a new state for some names, "" for none; flags that stay as they are keep their date.

    One that is given the state that it has is new where its micrograph was made again: somebody has looked at it now.
    """
    present, again = dict(zip(found.names, found.images, strict=True)), earlier_flags(found)
    flags = dict(flags)
    for name in names:
        if not state:
            flags.pop(name, None)
        elif name not in flags or flags[name].state != state or name in again:
            image = present.get(name, "")
            signature = signed_stamp(image) if found.kind == "micrographs" else ""
            flags[name] = Flag(state=state, date=now(), seen=image if found.kind == "micrographs" else "",
                               signature=signature)
    return flags


def save(found: Curated, limits: Mapping[str, str] | None, flags: Mapping[str, Flag]) -> Path:
    """Write limits and flags, if the file is still as it was read; return the file.

    Parameters
    ----------
    limits
        Those that hold from now on, None to leave them to config.yaml.

    Raises
    ------
    CryosnakeError
        for a final job, a limit that is none or on no column, or when somebody else has saved, or changed the job's
        limits or flags in config.yaml, meanwhile
    """
    problem = limits_problem(limits or {})
    unknown = next((label for label in limits or {} if label not in found.rows.columns), "")
    if problem or unknown:
        raise CryosnakeError(f"{found.job}: limits {problem}" if problem else
                             f"{found.table} has no column {unknown}; columns with numbers are "
                             f"{', '.join(numeric_columns(found.rows))}")
    if found.path and is_final(found.path):
        raise CryosnakeError(f"{found.path} ({found.job}) is final, and would be made again: remove the mark "
                             f"(`cryosnake mark {found.job} not-final`), or add another job")
    own = None if limits is None or dict(limits) == dict(found.in_config) else dict(limits)
    with deciding(found.job):
        config = parse_config(read_config()).jobs.get(found.job)
        if config is None or _stamp(config) != found.stamp:
            raise CryosnakeError(f"{curation_file(found.job)}, or the limits of {found.job} in config.yaml: somebody "
                                 "else has saved since this was read. Nothing was written; look at what there is now")
        return write_curation(found.job, replace(found.curation, limits=own, flags=flags, in_config=dict(
            found.in_config) if own is not None else {}))


def _stamp(config: JobConfig) -> str:
    from hashlib import blake2b  # here: a plan seldom needs it

    values = config.parameters()
    said = repr([sorted((values[name] or {}).items()) for name in ("limits", "flags")])
    return stamp_of(config.name) + blake2b(said.encode(), digest_size=8).hexdigest()


def _inside(found: Curated, label: str, limit: Limit) -> np.ndarray:
    from cryosnake.io.checked_numbers import numbers_of

    if label not in found.rows.columns:
        raise CryosnakeError(f"{found.table} has no column {label}, on which {found.job} has a limit; columns with "
                             f"numbers are {', '.join(numeric_columns(found.rows))}")
    values = numbers_of(found.rows[label])
    inside: Any = (values >= limit.low) & (values <= limit.high)
    return inside  # type: ignore[no-any-return]


def _job(text: str) -> tuple[PlannedJob, JobConfig]:
    """Return a job that is curated as it is planned, and as config.yaml has it."""
    config = parse_config(read_config())
    plan = make_plan(config)
    jobs = {name: job for name, job in plan.jobs.items() if is_curated(job.config)}
    if text in jobs:
        return jobs[text], config.jobs[text]
    path = "" if text in plan.jobs else find_job(text).name.rstrip("/")
    named = [job for job in jobs.values() if job.path == path]
    if named:
        return named[0], config.jobs[named[0].name]
    raise CryosnakeError(f"{text} is no job of config.yaml that is curated; those are: {', '.join(jobs) or 'none'}. "
                         "Add one, as in curate: {type: curate, micrographs: ctf}, or give a select of particles "
                         "`curate: true`")
