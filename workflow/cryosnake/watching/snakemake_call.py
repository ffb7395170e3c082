"""Command line of one call of Snakemake by the watcher: the user's arguments, and those the watcher adds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from cryosnake.errors import CryosnakeError
from cryosnake.installation import snakemake_command

_NOT_HERE = {"-n": "it changes nothing", "--dry-run": "it changes nothing", "--dryrun": "it changes nothing",
             "-d": "run `cryosnake watch` in the project's folder", "--unlock": "call snakemake itself",
             "--directory": "run `cryosnake watch` in the project's folder", "--touch": "call snakemake itself",
             **dict.fromkeys(("-f", "--force", "-F", "--forceall", "-R", "--forcerun"), "call snakemake itself, once")}


@dataclass(frozen=True)
class SnakemakeArguments:
    """The user's arguments for Snakemake; the config is kept apart, because the watcher needs it too."""

    config_files: tuple[str, ...]
    config: Mapping[str, Any]
    others: tuple[str, ...]


def read_arguments(words: Sequence[str]) -> SnakemakeArguments:
    """Return Snakemake's arguments, with the config files and `--config` pairs separated.

    Raises
    ------
    CryosnakeError
        for an option that makes no sense in a session
    """
    for option in (word.partition("=")[0] for word in words):
        if option in _NOT_HERE:
            raise CryosnakeError(f"watch: {option} is not an option for a session: {_NOT_HERE[option]}")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="*", action="extend", default=[])
    parser.add_argument("--config", "-C", nargs="*", action="extend", default=[])
    found, others = parser.parse_known_args(words)
    return SnakemakeArguments(tuple(found.configfile), dict(map(_pair, found.config)), tuple(others))


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CryosnakeError(f"watch: --config takes KEY=VALUE, not {text!r}")
    return name, yaml.safe_load(value)


def command(arguments: SnakemakeArguments, config: Mapping[str, Any], *, cores: int | None = None,
            in_lane: bool = False) -> list[str]:
    """Return the command line of a round.

    Parameters
    ----------
    arguments
        The user's.
    config
        The watcher's own values of config.yaml, which override the user's.
    cores
        Cores for this call alone; None keeps the user's setting.
    in_lane
        Whether another call may run beside it: then the project's claims replace Snakemake's lock.
    """
    words = [*snakemake_command(arguments.others), "--keep-going", "--rerun-incomplete"]
    if cores is not None:  # the last one counts
        words += ["--cores", str(cores)]
    if in_lane:
        words.append("--nolock")
    if arguments.config_files:
        words += ["--configfile", *arguments.config_files]
    pairs = {**arguments.config, **config}
    return [*words, "--config", *(f"{name}={value}" for name, value in pairs.items())]
