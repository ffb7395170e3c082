"""Options and state of a session; the state may be lost with a killed watcher."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from cryosnake.watching.calls import Call
from cryosnake.watching.lane_state import Lane
from cryosnake.watching.lanes import ALL, MICROGRAPHS, PARTICLES
from cryosnake.watching.snakemake_call import SnakemakeArguments
from cryosnake.watching.survey import FirstSeen, Survey


@dataclass(frozen=True)
class WatchOptions:
    """Options of a session: times in minutes, but `every` in seconds; 0 for "never" or "no limit"; `keep_free` in GB.

    `seal_after` overrides the config's; `grow` is the factor by which particles must have grown before a job that
    takes them starts again; `micrograph_cores` are the cores kept for micrographs while long jobs run (None: a
    quarter, 0: micrographs wait for long jobs).
    """

    snakemake: SnakemakeArguments
    _: KW_ONLY
    rounds: int = 0
    minutes: float = 0.0
    wait: float = 0.0
    idle_stop: float = 0.0
    stop_file: Path = Path("STOP_WATCH")
    every: float = 10.0
    seal_after: float | None = None
    grow: float = 2.0
    keep_free: float = 1.0
    micrograph_cores: int | None = None


@dataclass
class StopRequest:
    """How often the watcher was asked to stop: once, finish what runs; twice, interrupt it; three times, kill it."""

    times: int = 0


@dataclass
class Session:
    """State of a session; `cores` are this computer's cores for all jobs, None where a cluster computes."""

    options: WatchOptions
    watcher: str
    since: float
    stop: StopRequest
    _: KW_ONLY
    cores: int | None = None
    seen: FirstSeen = field(default_factory=FirstSeen)
    found: Survey = field(default_factory=Survey)
    lanes: dict[str, Lane] = field(default_factory=lambda: {name: Lane(name) for name in (ALL, MICROGRAPHS, PARTICLES)})
    rounds: int = 0
    last: Lane | None = None  # the lane whose call ended last
    arrivals: tuple[Any, ...] = ()
    active: float = field(default_factory=time.monotonic)  # time of the last arrival or activity
    said: str = ""
    trouble: str = ""  # why it pauses
    superseded: Mapping[str, int] = field(default_factory=dict)  # their number and bytes, when a long job last ended
    settled: bool = False  # whether that was looked at since then
    failed: bool = False  # the last call failed, or what is left at the end can't be processed

    def calls(self) -> Iterator[Call]:
        """Yield the running calls."""
        return (lane.call for lane in self.lanes.values() if lane.call)
