"""The files of the user that a config names: they must be there before anything runs, and are no movies."""

from __future__ import annotations

import os

from cryosnake.project.config.config import Config, ConfigError, JobConfig

_FILES = ("gain", "defects", "mtf")  # parameters that are the path of a file


def named_files(config: Config) -> set[str]:
    """Return the files that a config names, which a pattern of movies may match, too."""
    named = {connection.path for job in config.jobs.values() for connection in job.connections.values()}
    named |= {path for job in config.jobs.values() for path in _files(job).values()}
    return {os.path.normpath(path) for path in named if path}


def refuse_missing(job: JobConfig) -> None:
    """Refuse a job that names a file that does not exist.

    Raises
    ------
    ConfigError
        with the parameter and the path
    """
    for name, path in _files(job).items():
        if not os.path.exists(path):
            raise ConfigError(f"jobs.{job.name}.{name}", f"the file {path} does not exist; paths are relative to the "
                              "project")


def _files(job: JobConfig) -> dict[str, str]:
    return {name: str(value) for name, value in job.stated.items() if name in _FILES and value}
