"""The command line of one call of Snakemake by the watcher: the user's arguments, and what the watcher adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.installation import snakemake_command

_NOT_HERE = {"-n": "it changes nothing", "--dry-run": "it changes nothing", "--dryrun": "it changes nothing",
             "-d": "run `cryosnake watch` in the project's folder", "--unlock": "call snakemake itself",
             "--directory": "run `cryosnake watch` in the project's folder", "--touch": "call snakemake itself",
             **dict.fromkeys(("-f", "--force", "-F", "--forceall", "-R", "--forcerun"), "call snakemake itself, once")}


@dataclass(frozen=True)
class SnakemakeArguments:
    """What the user wants Snakemake to be called with, the config apart, which the watcher must know itself."""

    config_files: tuple[str, ...]
    config: Mapping[str, Any]
    others: tuple[str, ...]


def read_arguments(words: Sequence[str]) -> SnakemakeArguments:
    """Return Snakemake's arguments, its config files and `--config` pairs taken out.

    Raises
    ------
    CryosnakeError
        for an option that makes no sense in a session
    """
    files: list[str] = []
    pairs: dict[str, Any] = {}
    others: list[str] = []
    taking = ""
    for word in words:
        option, equals, value = word.partition("=")
        if option in _NOT_HERE:
            raise CryosnakeError(f"watch: {option} is no option for a session: {_NOT_HERE[option]}")
        if word.startswith("-"):
            taking = option if option in ("--configfile", "--configfiles", "--config", "-C") else ""
            if not taking:
                others.append(word)
                continue
            word = value if equals else ""
        if not taking:
            others.append(word)
        elif word and taking.startswith("--configfile"):
            files.append(word)
        elif word:
            pairs.update(_pair(word))
    return SnakemakeArguments(tuple(files), pairs, tuple(others))


def _pair(text: str) -> dict[str, Any]:
    import yaml

    name, equals, value = text.partition("=")
    if not equals:
        raise CryosnakeError(f"watch: --config takes KEY=VALUE, not {text!r}")
    return {name: yaml.safe_load(value)}


def command(arguments: SnakemakeArguments, config: Mapping[str, Any], *, cores: int | None = None,
            in_lane: bool = False) -> list[str]:
    """Return the command line of a round.

    Parameters
    ----------
    arguments
        The user's.
    config
        The watcher's own values of config.yaml, which win.
    cores
        Cores for this call alone; None leaves what the user said.
    in_lane
        Whether another call may work beside it: then the project's claims take the place of Snakemake's lock.
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
