"""Names by which jobs can be called: those of config.yaml, directories, aliases. It must cost next to nothing."""

from __future__ import annotations

import os

from cryosnake.names import TRASH, is_job_name, job_of_link

_CONFIG = "config.yaml"


def job_names(prefix: str = "") -> list[str]:
    """Return the names of jobs of the project in the working directory that begin so, in order.

    Names that a shell would take for something else are left out.
    """
    return sorted(name for name in {*_of_config(), *_directories()} if name.startswith(prefix) and _is_plain(name))


def _is_plain(name: str) -> bool:
    return all(letter.isalnum() or letter in "_-./+" for letter in name)


def _of_config() -> list[str]:
    import yaml

    try:
        with open(_CONFIG, encoding="utf-8") as file:
            jobs = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["jobs"]
        return [str(name) for name in jobs]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):  # a config with mistakes offers nothing
        return []


def _directories() -> list[str]:
    """Return job directories and aliases: in folders with at least one job directory."""
    found = []
    for folder in os.scandir():
        if folder.name[0] == "." or folder.name == TRASH or not folder.is_dir():
            continue
        names = os.listdir(folder)
        jobs = [name for name in names if is_job_name(f"{folder.name}/{name}/")]
        found += [f"{folder.name}/{name}" for name in jobs]
        found += [f"{folder.name}/{name}" for name in names if jobs and job_of_link(f"{folder.name}/{name}",
                                                                                     folder.name)]
    return found
