"""Data of a plan: the jobs with their directories, inputs and batches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from cryosnake import __version__
from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import COORDINATES, MICROGRAPHS, MOVIES, Output, file_of
from cryosnake.pipeline.model import job_number
from cryosnake.project.config.config import JobConfig, is_made
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.record import JobRecord, same_job

if TYPE_CHECKING:
    from cryosnake.project.config.decisions import Choice

WAITING = ".cryosnake/waiting/"  # the directory of a job that has no number yet, which never exists
MARK = ".cryosnake_picked_"
Records = Mapping[str, JobRecord | None]  # of all job directories, by their paths
PER_MICROGRAPH = frozenset((MOVIES, MICROGRAPHS, COORDINATES))


def keeps_number(outputs: Iterable[Output]) -> bool:
    """Whether a job keeps its number when its input grows: one whose results are lists per micrograph alone.

    Such are external pickers, which pick what is new; lists grow, as joined tables do.
    """
    return all(output.node in PER_MICROGRAPH for output in outputs)


@dataclass(frozen=True)
class Source:
    """The file that fills a slot, and the planned job and output that make it (empty for a file from outside).

    `pinned` is the job directory that the config names in place of a job: it is taken as it is, and not followed.
    """

    path: str
    job: str = ""
    output: str = ""
    pinned: str = ""


class Disposition(Enum):
    """What Snakemake is asked to make of a job: the first in this order that applies."""

    OTHER_LANE = auto()  # nothing, without a rule: another call of Snakemake makes it
    HELD = auto()  # nothing yet: it waits
    INPUTS_CLEARED = auto()  # its files as they are, without a rule: it is complete, but its inputs were cleared
    BATCHES_ONLY = auto()  # its batches: another call is reading its table
    BELOW_GROWTH = auto()  # its outputs, which stay valid though its input has grown a little
    CLEARED = auto()  # its existing outputs: the others were cleared, and nothing needs them
    ALL = auto()  # all its outputs


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job of the config with its directory. `batches` maps batch numbers to keys such as "0007.r2".

    A streamed job works batch by batch, with the batches of the import job it descends from; a per-micrograph job
    that is not streamed takes a whole STAR file as its one batch.
    """

    config: JobConfig
    path: str
    inputs: Mapping[str, Source]
    new: bool = False  # it gets its number, and its directory, with this plan
    forced: bool = False  # it was asked for again (`snakemake -F`), or is made from a job that was
    disposition: Disposition = Disposition.ALL
    supersedes: str = ""  # the finished job whose input has grown, where it is new for this
    growth: str = ""  # how: "581 -> 881 particles"
    why_held: str = ""  # why it waits
    choice: Choice | None = None  # what its class numbers are chosen from
    decision: str = ""  # the digest of that, where a decision file gives the numbers
    stream: str = ""  # name of the import job
    batches: Mapping[int, str] = field(default_factory=dict)
    movies: Mapping[int, list[str]] = field(default_factory=dict)  # import jobs only
    waiting: tuple[tuple[str, str], ...] = ()  # import jobs only: movies that can't be imported yet, with the reason
    again: Mapping[int, str] = field(default_factory=dict)  # keys under which cleaned data would be regenerated
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # batch key, or "": data to be regenerated first

    @property
    def numbered(self) -> bool:
        """Whether it has a directory, or gets one with this plan; a job that waits gets its number later."""
        return not self.path.startswith(WAITING)

    @property
    def name(self) -> str:
        """The name in the config, which is the RELION alias."""
        return self.config.name

    def file(self, output: Output) -> str:
        """Return the path of one of the job's outputs."""
        return f"{self.path}/{file_of(output, self.config.parameters())}"

    def files(self) -> list[str]:
        """Return the paths of all outputs that it makes."""
        return [*map(self.file, self.outputs()), *self.picked()]

    def picked(self) -> list[str]:
        """Return the file that says that a job made by hand is made of its picks of now; none for other jobs.

        Changed picks have another, which does not exist yet: so Snakemake makes the job again.
        """
        return [picked_mark(self.path, self.decision)] if self.config.type.by_hand and self.decision else []

    def outputs(self) -> list[Output]:
        """Return the outputs that a job with these parameters makes."""
        return [output for output in self.config.type.all_outputs(self.config.parameters())
                if is_made(self.config, output)]

    def batch_stars(self) -> list[str]:
        """Return the STAR files of its batches, in order; none for a job that takes its input whole."""
        return [batch_star(self.path, key) for _, key in sorted(self.batches.items())]

    def label(self) -> str:
        """Return RELION 5's label of the job."""
        return self.config.type.label_of(self.config.parameters() | dict(self.inputs))

    def batch_source(self, slot: str, number: int, jobs: Iterable[PlannedJob]) -> str:
        """Return the file that fills a slot for one batch: the upstream batch's STAR if the job is streamed."""
        source = self.inputs[slot]
        upstream = next((job for job in jobs if self.stream and job.path == source.job), None)
        if (upstream is None or upstream.stream != self.stream
                or not PER_MICROGRAPH.intersection(self.config.type.slot(slot).types)):
            return source.path
        return batch_star(upstream.path, upstream.batches[number])

    def takes(self) -> set[str]:
        """Return the directories of the jobs that it takes from."""
        return {source.job for source in self.inputs.values()}

    def identity_inputs(self) -> dict[str, str]:
        """Return the inputs as the job's record lists them."""
        return {slot: f"{source.job or source.pinned}:{source.output}" if source.job or source.pinned else source.path
                for slot, source in self.inputs.items()}

    def record(self) -> JobRecord:
        """Return the record of the job, as it is written when the job gets its directory."""
        return JobRecord(type=self.config.type.name, name=self.name, stated=dict(self.config.stated),
                         parameters=self.config.parameters(), inputs=self.identity_inputs(), version=__version__,
                         created=time.time(), decision=self.decision)


@dataclass(frozen=True)
class Plan:
    """The planned jobs by name, and files that are not yet complete (path, reason).

    `cores` are those of this computer that the call may use (0: not known, or jobs run elsewhere), `gpu` says whether
    a job with `device: auto` requests a GPU, `lane` which of the watcher's calls the plan is for, `pictures` whether
    results are drawn. `folder` is the project's place in Snakemake's working directory, "" for the same; all paths of
    a plan are relative to the project. `superseded` is the config's policy, `named` the job directories that its
    workspaces name.
    """

    jobs: Mapping[str, PlannedJob]
    waiting: tuple[tuple[str, str], ...] = ()
    _: KW_ONLY
    cores: int = 0
    gpu: bool = False
    lane: str = ""
    pictures: bool = True
    folder: str = ""
    superseded: str = "clear"
    named: tuple[str, ...] = ()

    @property
    def own(self) -> list[PlannedJob]:
        """The jobs that this call of Snakemake makes, not another one beside it."""
        return [job for job in self.jobs.values() if job.disposition is not Disposition.OTHER_LANE]

    def at(self, path: str) -> PlannedJob:
        """Return the job in a directory such as "MotionCorr/job002".

        Raises
        ------
        CryosnakeError
            when no job of the config has this directory
        """
        for job in self.jobs.values():
            if job.path == path:
                return job
        raise CryosnakeError(f"{path} is not a job of this config.yaml; `cryosnake status` lists the jobs")


def picked_mark(path: str, decision: str) -> str:
    """Return the file in a job directory that says that the job is made of the picks with this digest."""
    return f"{path}/{MARK}{decision}"


def known_directory(job: PlannedJob, records: Records) -> str:
    """Return the directory of the recorded job that is the same job, the newest of several; "" if there is none."""
    job_type, inputs = job.config.type, job.identity_inputs()
    matches = [path for path, record in records.items() if record and path.startswith(f"{job_type.folder}/")
               and same_job(record, job_type, job.config.stated, inputs, job.decision)]
    return max(matches, key=lambda path: job_number(path) or 0, default="")


class NoMoviesYet(CryosnakeError):
    """No movie of an import has arrived; `waiting` are those still being copied, with the reason."""

    def __init__(self, message: str, waiting: tuple[tuple[str, str], ...]) -> None:
        self.waiting = waiting
        super().__init__(message)
