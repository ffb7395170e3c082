"""One call of Snakemake by the watcher: its command line, its log, and how it is told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.project.snakemake_lock import is_alive, process_claim, running_claim

LOG = Path(".cryosnake", "watch.log")
LOG_BYTES = 50_000_000  # a longer one is put aside, and the one put aside before it goes
ROUND = Path(".cryosnake", "round.json")  # the Snakemake of the present round, which outlives a watcher that is killed
_NOT_HERE = {"-n": "it changes nothing", "--dry-run": "it changes nothing", "--dryrun": "it changes nothing",
             "-d": "run `cryosnake watch` in the project's folder", "--unlock": "call snakemake itself",
             "--directory": "run `cryosnake watch` in the project's folder", "--touch": "call snakemake itself"}
_CORES = ("-c", "--cores", "-j", "--jobs", "--profile", "--workflow-profile")


@dataclass
class StopRequest:
    """How often the watcher was asked to stop: once, finish what runs; twice, interrupt it; three times, kill it."""

    times: int = 0


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


def command(arguments: SnakemakeArguments, config: Mapping[str, Any]) -> list[str]:
    """Return the command line of a round; `config` are the watcher's own values, which win."""
    words = [sys.executable, "-m", "snakemake", *_snakefile(arguments.others), *arguments.others, "--keep-going",
             "--rerun-incomplete"]
    if not any(word.partition("=")[0] in _CORES or word.startswith(("-c", "-j")) for word in arguments.others):
        words += ["--cores", "all"]
    if arguments.config_files:
        words += ["--configfile", *arguments.config_files]
    pairs = {**arguments.config, **config}
    return [*words, "--config", *(f"{name}={value}" for name, value in pairs.items())]


def _snakefile(words: Sequence[str]) -> list[str]:
    if any(word.partition("=")[0] in ("-s", "--snakefile") for word in words) or os.path.exists("Snakefile"):
        return []
    ours = Path(__file__).resolve().parents[3] / "Snakefile"
    if not ours.exists():
        raise CryosnakeError("watch: the Snakefile of cryosnake is not beside the package; say where it is: "
                             "cryosnake watch --snakefile /path/to/cryosnake/Snakefile")
    return ["--snakefile", str(ours)]


def other_run() -> dict[str, Any] | None:
    """Return host and pid of a Snakemake that works in this project: a user's, or that of a watcher that was killed."""
    try:
        orphan = json.loads(ROUND.read_text())
    except (OSError, ValueError):
        orphan = {}
    return orphan if {"host", "pid", "start"} <= orphan.keys() and is_alive(orphan) else running_claim()


def call(words: Sequence[str], stop: StopRequest, tick: Callable[[], None]) -> int:
    """Run Snakemake to its end and return its exit code; `tick` is called about twice a second meanwhile.

    It runs in a session of its own: Ctrl-C reaches the watcher alone, which then asks Snakemake to finish what runs
    and to begin nothing more (SIGTERM), and only at a second request to interrupt its jobs (SIGINT).
    """
    LOG.parent.mkdir(exist_ok=True)
    if LOG.exists() and LOG.stat().st_size > LOG_BYTES:
        os.replace(LOG, LOG.with_suffix(".log.1"))
    with open(LOG, "ab") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   start_new_session=True)
    with contextlib.suppress(OSError):
        ROUND.write_text(json.dumps(process_claim(process.pid)))
    told = 0
    while True:
        try:
            return process.wait(0.5)
        except subprocess.TimeoutExpired:
            pass
        if stop.times > told:
            told += 1
            _tell(process, told)
        tick()


def _tell(process: subprocess.Popen[bytes], times: int) -> None:
    if times == 1:
        process.send_signal(signal.SIGTERM)
    else:
        os.killpg(process.pid, signal.SIGINT if times == 2 else signal.SIGKILL)
