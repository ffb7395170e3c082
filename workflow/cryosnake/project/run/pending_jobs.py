"""Jobs in SLURM's queue that can never start: reported while the run continues.

SLURM accepts a job that no partition can run and lets it wait indefinitely; Snakemake waits with it.
"""

from __future__ import annotations

import re
import sys
import threading
import time

from cryosnake.project.run.scheduler_reasons import output_of
from cryosnake.project.snakemake_internals import rule_of_comment

PERIOD = 300.0  # seconds between queries
QUEUE = ("squeue", "--me", "-h", "-t", "PD", "-o", "%i|%r|%k")
# Reasons of squeue (%r) that only a change of the job or of the cluster removes; limits of users pass by themselves
HOPELESS = {
    "PartitionConfig": "its partition has no node that is large enough",
    "PartitionNodeLimit": "it asks for more nodes than its partition gives one job",
    "PartitionTimeLimit": "it asks for more time than its partition gives one job",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is switched off",
    "BadConstraints": "no node has what it asks for",
    "AccountNotAllowed": "its account may not use the partition",
    "InvalidAccount": "its account is not known",
    "InvalidQOS": "its quality of service is not known",
    "QOSMaxMemoryPerJob": "it asks for more memory than its quality of service gives one job",
    "QOSMaxWallDurationPerJobLimit": "it asks for more time than its quality of service gives one job",
    "JobHeldAdmin": "an administrator holds it",
    "JobHeldUser": "it is held (scontrol release)",
    "ReqNodeNotAvail": "the nodes it needs are down or reserved",
}


def watch() -> None:
    """Query the queue from time to time, in a thread that ends with the process."""
    def query() -> None:
        said: set[str] = set()
        while True:
            time.sleep(PERIOD)
            for line in hopeless_jobs(output_of(*QUEUE)):
                if line not in said:
                    said.add(line)
                    print(line, file=sys.stderr)

    threading.Thread(target=query, name="queue", daemon=True).start()


def hopeless_jobs(queue: str) -> list[str]:
    """Return a sentence about each job that can't start, from the lines `job|reason|comment` of squeue.

    The comment is what Snakemake's executor gave the job: `rule_motion_wildcards_0001`.
    """
    found = []
    for line in queue.splitlines():
        number, reason, comment = (*line.split("|"), "", "")[:3]
        why = HOPELESS.get(re.split(r"[,\s(]", reason.strip("()"))[0])
        rule = rule_of_comment(comment)
        if why and rule:
            found.append(f"{rule}: cluster job {number} waits and can't start: {why} ({reason}). `scontrol show job "
                         f"{number}` says what it asks for; scancel {number} and ask for less (docs/cluster.md)")
    return found
