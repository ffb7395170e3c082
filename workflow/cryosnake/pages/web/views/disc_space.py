"""What takes the disc: each job, and what else lies in the project's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryosnake.pages.facts.project import ProjectFacts
from cryosnake.project.records.file_sizes import folder_size


@dataclass(frozen=True)
class Space:
    """Bytes by job, largest first, and by other folders and files; links count as themselves."""

    jobs: list[tuple[str, str, int]]  # path, alias, bytes
    others: list[tuple[str, int]]

    @property
    def of_jobs(self) -> int:
        """The bytes of all jobs."""
        return sum(size for _, _, size in self.jobs)

    @property
    def of_others(self) -> int:
        """The bytes of all else."""
        return sum(size for _, size in self.others)


def disc_space(project: ProjectFacts) -> Space:
    """Return what takes the disc in the working directory."""
    jobs = [(job.path, job.process.short_alias, job.size) for job in project.jobs]
    of_jobs = {job.path.partition("/")[0]: 0 for job in project.jobs}
    for path, _, size in jobs:
        of_jobs[path.partition("/")[0]] += size
    others = []
    with os.scandir() as entries:
        for entry in entries:
            folder = entry.is_dir(follow_symlinks=False)
            size = folder_size(entry.path) if folder else entry.stat(follow_symlinks=False).st_size
            others.append((entry.name + "/" * folder, max(0, size - of_jobs.get(entry.name, 0))))
    return Space(sorted(jobs, key=lambda job: -job[2]), sorted(((name, size) for name, size in others if size),
                                                                key=lambda other: -other[1]))
