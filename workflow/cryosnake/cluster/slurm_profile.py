"""A Snakemake profile for one SLURM cluster: partitions for jobs with and without GPUs, account, limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from cryosnake.cluster.site import Partition, Site
from cryosnake.errors import CryosnakeError


@dataclass(frozen=True)
class Choices:
    """The user's choices: partitions for jobs without and with GPUs, account ("" for none), GPUs and jobs at a time."""

    cpu: tuple[str, ...]
    gpu: tuple[str, ...]
    account: str = ""
    gpus: int = 0
    _: KW_ONLY
    jobs: int = 100


def default_choices(site: Site) -> Choices:
    """Return the choices that are made when the user is not asked.

    Jobs without a GPU go to partitions without GPUs, or to the default one if all have GPUs; partitions that are down
    are not used. Partitions share nodes, hence the GPUs are counted in the one with the most.
    """
    up = [p for p in site.partitions if p.up] or list(site.partitions)
    gpu = tuple(p.name for p in up if p.gpus)
    cpu = tuple(p.name for p in up if not p.gpus) or tuple(p.name for p in up if p.default) or (up[0].name,)
    return Choices(cpu, gpu, site.accounts[0] if site.accounts else "", max(p.gpus * p.nodes for p in up))


def profile_files(site: Site, choices: Choices) -> dict[str, str]:
    """Return profile.yaml and partitions.yaml.

    Raises
    ------
    CryosnakeError
        for a partition that the cluster does not have, or one without GPUs chosen for GPU jobs
    """
    known = {p.name: p for p in site.partitions}
    for name in (*choices.cpu, *choices.gpu):
        if name not in known:
            raise CryosnakeError(f"there is no partition {name!r} on {site.name}; it has {', '.join(known)}")
    for name in choices.gpu:
        if not known[name].gpus:
            raise CryosnakeError(f"partition {name!r} of {site.name} has no GPU; partitions with GPUs: "
                                 f"{', '.join(p.name for p in site.partitions if p.gpus) or 'none'}")
    return {"profile.yaml": _profile(site, choices),
            "partitions.yaml": _partitions([known[name] for name in dict.fromkeys((*choices.cpu, *choices.gpu))],
                                           choices)}


def _profile(site: Site, choices: Choices) -> str:
    account = (f"default-resources:\n  slurm_account: {choices.account}\n" if choices.account else
               "slurm-no-account: true           # jobs are submitted without an account\n")
    others = [name for name in site.accounts if name != choices.account]
    if others:
        account += f"  # your other accounts: {', '.join(others)}\n"
    gpus = choices.gpus if choices.gpu else 0
    meaning = "at most this many GPUs at a time, one for each job with `device: auto`" if gpus else (
        "`device: auto` is the CPU")
    status = "sacct" if site.accounting else "squeue"
    why = "" if site.accounting else "   # this cluster keeps no accounts (sacct)"
    return f"""\
# The cluster {site.name}, as `cryosnake profile init` found it. Use: snakemake --profile <this folder> -d my_project
# What the lines mean and how to change them: docs/cluster.md
executor: slurm
jobs: {choices.jobs:<26} # at most this many in the queue at a time
slurm-partition-config: partitions.yaml
slurm-status-command: {status}{why}
{account}resources:
  gpu: {gpus:<24}  # {meaning}
retries: 2                       # a job that ran out of memory or time is tried again with twice, three times as much
keep-going: true                 # jobs that do not depend on a failed job continue
latency-wait: 60                 # seconds to wait until a file written on another computer appears
rerun-triggers: [mtime, input]
rerun-incomplete: true
scheduler: greedy
printshellcmds: false
show-failed-logs: false
"""


def _partitions(partitions: Sequence[Partition], choices: Choices) -> str:
    lines = ["# A job goes to the partition with the tightest fitting limits; jobs without a GPU avoid GPU partitions.",
             "partitions:"]
    for partition in partitions:
        lines.append(f"  {partition.name}:  # {partition.nodes} nodes")
        if partition.minutes:
            lines.append(f"    max_runtime: {partition.minutes}  # minutes")
        if partition.memory:
            lines.append(f"    max_mem_mb: {partition.memory}")
        if partition.cpus:
            lines.append(f"    max_cpus_per_task: {partition.cpus}")
        if partition.name in choices.gpu:
            lines.append(f"    max_gpu: {partition.gpus}")
    return "\n".join(lines) + "\n"
