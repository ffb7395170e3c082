"""The processes that work in a project, by what they are there for, and `kill -9` for some of them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

VICTIMS = ("driver", "group", "worker", "shell", "watcher")


@dataclass(frozen=True)
class Running:
    """A process that works in the project."""

    pid: int
    parent: int
    words: tuple[str, ...]

    @property
    def script(self) -> str:
        """The program of a job ("motioncorr", "motioncorr join", "motioncorr draw"), "" for anything else."""
        names = [Path(word).stem for word in self.words if "/scripts/run_" in word and word.endswith(".py")]
        if not names or "-c" in self.words or Path(self.words[0]).name in ("mpirun", "prterun", "orterun"):
            return ""
        what = [word for word in ("--join", "--draw") if word in self.words]
        return " ".join([names[0].removeprefix("run_"), *what]).replace("--", "")

    @property
    def role(self) -> str:
        """driver (Snakemake), watcher, shell (what Snakemake starts for a job), worker (the job's program), or ""."""
        if self.script:
            return "worker"
        if "-c" in self.words[:2] and any("/scripts/run_" in word for word in self.words):
            return "shell"
        if "watch" in self.words and "cryosnake.cli" in self.words:
            return "watcher"
        called = self.words[1:4]
        return "driver" if any(Path(word).name == "snakemake" for word in called) else ""


def running_in(project: Path) -> list[Running]:
    """Return the processes whose working directory is the project."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "cwd") != str(project):
                continue
            words = (folder / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        found.append(Running(int(folder.name), parent, tuple(words)))
    return found


def kill_in(project: Path, victim: str, choice: float) -> tuple[str, ...] | None:
    """Kill one victim (of several the one that `choice`, 0 to 1, points at), or for "group" all that is in the project.

    Return what worked in the project at that moment; None when there is no such victim, and nothing was killed.
    """
    processes = running_in(project)
    fitting = [process for process in processes if victim in ("group", process.role)]
    if not fitting:
        return None
    fitting.sort(key=lambda process: process.pid)
    if victim != "group":
        fitting = [fitting[int(choice * len(fitting))]]
    struck = False
    for process in fitting:
        try:
            os.kill(process.pid, signal.SIGKILL)
            struck = True
        except ProcessLookupError:
            continue
    if victim == "group":  # what one of them started before it was hit
        end_all(project)
    return tuple(sorted({process.script for process in processes if process.script})) if struck else None


def end_all(project: Path) -> None:
    """Kill what works in the project, and wait until nothing does."""
    for _ in range(200):
        left = running_in(project)
        if not left:
            return
        for process in left:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
