"""`cryosnake profile`: Snakemake profiles for clusters."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.cluster import generic_profile, slurm_profile
from cryosnake.cluster.files import write_files
from cryosnake.cluster.importing import read_lane_files
from cryosnake.cluster.site import Site, detect_site
from cryosnake.cluster.slurm_profile import Choices, default_choices
from cryosnake.errors import CryosnakeError


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    profile = commands.add_parser("profile", help="write a Snakemake profile for a cluster")
    actions = profile.add_subparsers(required=True, metavar="ACTION")
    init = add_command(actions, "init", _init, help="for this computer's SLURM: queries it, and asks you")
    init.add_argument("folder", type=Path, nargs="?", help="the profile; profiles/<name of the cluster> if not given")
    init.add_argument("--cpu-partition", nargs="+", metavar="NAME", help="partitions for jobs without GPU")
    init.add_argument("--gpu-partition", nargs="*", metavar="NAME", help="partitions for jobs with GPUs")
    init.add_argument("--account", help="account to which jobs are charged")
    init.add_argument("--gpus", type=int, metavar="N", help="GPUs used at a time")
    init.add_argument("--yes", action="store_true", help="ask nothing: use what was found")
    lane = add_command(actions, "import", _import, help="from a lane of cryoSPARC (cluster_info.json "
                       "cluster_script.sh) or a submission script of RELION")
    lane.add_argument("files", type=Path, nargs="+", metavar="FILE")
    lane.add_argument("--out", type=Path, help="the profile; profiles/<name of the lane> if not given")
    lane.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of your lab")
    for name in ("submit", "status", "cancel"):
        lane.add_argument(f"--{name}", metavar="COMMAND", help="RELION: if it is not the scheduler's usual one")
    for parser in (init, lane):
        parser.add_argument("--force", action="store_true", help="replace existing files")


def _init(arguments: Arguments) -> None:
    site = detect_site()
    print(f"{site.name}:", *(f"  {partition}" for partition in site.partitions), sep="\n")
    choices = _choices(site, arguments, ask=sys.stdin.isatty() and not arguments.yes)
    folder = arguments.folder or Path("profiles", site.name)
    for path in write_files(folder, slurm_profile.profile_files(site, choices), _overwrite_check(arguments)):
        print(path)
    print(f"use: snakemake --profile {folder} -d PROJECT")


def _choices(site: Site, arguments: Arguments, ask: bool) -> Choices:
    found = default_choices(site)
    cpu = tuple(arguments.cpu_partition or found.cpu)
    gpu = found.gpu if arguments.gpu_partition is None else tuple(arguments.gpu_partition)
    account = found.account if arguments.account is None else arguments.account
    gpus = found.gpus if arguments.gpus is None else arguments.gpus
    if ask:
        cpu = tuple(_answer("partitions for jobs without GPU", " ".join(cpu)).split())
        gpu = tuple(_answer("partitions for jobs with GPUs, or none", " ".join(gpu) or "none").split())
        gpu = () if gpu == ("none",) else gpu
        account = _answer(f"account ({', '.join(site.accounts)})", account) if site.accounts else account
        gpus = _number(_answer("GPUs to use at a time", str(gpus))) if gpu else 0
    return Choices(cpu, gpu, account, gpus)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise CryosnakeError(f"{text!r} is not a number of GPUs")
    return int(text)


def _answer(question: str, default: str) -> str:
    return input(f"{question} [{default}]: ").strip() or default


def _import(arguments: Arguments) -> None:
    variables = dict(_pair(text) for text in arguments.set)
    commands = {name: value for name in ("submit", "status", "cancel") if (value := getattr(arguments, name))}
    lane, template = read_lane_files(arguments.files, variables, commands)
    folder = arguments.out or Path("profiles", lane.name)
    files = generic_profile.profile_files(lane, template, folder)
    for path in write_files(folder, files, _overwrite_check(arguments), generic_profile.PROGRAMS):
        print(path)
    if lane.launcher:
        print(f"`{lane.launcher}` was removed from the script: each job starts its own ranks with it")
    print(f"use: snakemake --profile {folder} -d PROJECT")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CryosnakeError(f"--set {text}: must be NAME=VALUE")
    return name, value


def _overwrite_check(arguments: Arguments) -> Callable[[Path], bool]:
    def may_overwrite(path: Path) -> bool:
        if arguments.force:
            return True
        return sys.stdin.isatty() and input(f"{path} exists; replace it? [y/N] ").strip().lower() in ("y", "yes")

    return may_overwrite
