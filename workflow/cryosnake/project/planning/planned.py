"""What a plan is: the jobs with their directories, inputs and batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import COORDINATES, MICROGRAPHS, MOVIES, Output, file_of
from cryosnake.project.config.config import JobConfig, is_made

PER_MICROGRAPH = (MOVIES, MICROGRAPHS, COORDINATES)


@dataclass(frozen=True)
class Source:
    """What fills a slot: a file, and the planned job and output that make it (none for a file from outside)."""

    path: str
    job: str = ""
    output: str = ""


@dataclass(frozen=True)
class PlannedJob:
    """A job of the config with its directory. `batches` maps batch numbers to keys such as "0007.r2".

    A streamed job works batch by batch, with the batches of the import job it descends from; a per-micrograph job
    that is not streamed takes a whole STAR file as its one batch.
    """

    config: JobConfig
    path: str
    new: bool
    inputs: Mapping[str, Source]
    stream: str = ""  # name of the import job
    batches: Mapping[int, str] = field(default_factory=dict)
    movies: Mapping[int, list[str]] = field(default_factory=dict)  # import jobs only
    held: str = ""  # why it waits
    again: Mapping[int, str] = field(default_factory=dict)  # keys under which cleaned data would be made again
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # batch key, or "": data to be made again first
    cleared: bool = False  # its results were cleared, and nothing needs them
    at_rest: bool = False  # nothing to do, and made from what was cleared: Snakemake takes its files as they are
    settled: bool = False  # its results stand, though its input has grown a little
    elsewhere: bool = False  # another call of Snakemake makes it: its files are taken as they are
    unjoined: bool = False  # only its batches are made: another call reads its table meanwhile

    @property
    def name(self) -> str:
        """The name in the config, which is the RELION alias."""
        return self.config.name

    def file(self, output: Output) -> str:
        """Return the path of one of the job's outputs."""
        return f"{self.path}/{file_of(output, self.config.parameters())}"

    def outputs(self) -> list[Output]:
        """Return the outputs that a job with these parameters makes."""
        return [output for output in self.config.type.all_outputs(self.config.parameters())
                if is_made(self.config, output)]

    def identity_inputs(self) -> dict[str, str]:
        """Return the inputs as they stand in the job's record."""
        return {slot: f"{source.job}:{source.output}" if source.job else source.path
                for slot, source in self.inputs.items()}


@dataclass(frozen=True)
class Plan:
    """The planned jobs by name, and files that are not yet complete (path, reason).

    `gpu` says whether a job with `device: auto` asks for a GPU, `lane` which of the watcher's calls it is for.
    """

    jobs: Mapping[str, PlannedJob]
    waiting: tuple[tuple[str, str], ...] = ()
    gpu: bool = False
    lane: str = ""

    @property
    def own(self) -> list[PlannedJob]:
        """The jobs that this call of Snakemake makes, not another one beside it."""
        return [job for job in self.jobs.values() if not job.elsewhere]

    def at(self, path: str) -> PlannedJob:
        """Return the job in a directory such as "MotionCorr/job002".

        Raises
        ------
        CryosnakeError
            when the directory belongs to no job of the config
        """
        for job in self.jobs.values():
            if job.path == path:
                return job
        raise CryosnakeError(f"{path} is not a job of this config.yaml; `cryosnake status` lists the jobs")


class NoMoviesYet(CryosnakeError):
    """No movie of an import has arrived; `waiting` are those still being copied, with the reason."""

    def __init__(self, message: str, waiting: tuple[tuple[str, str], ...]) -> None:
        self.waiting = waiting
        super().__init__(message)
