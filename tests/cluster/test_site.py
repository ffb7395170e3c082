"""What sinfo says of a cluster, and the profile that is written from it."""

from __future__ import annotations

import pytest
import yaml

from cryosnake.cli import main
from cryosnake.cluster import site as site_module
from cryosnake.cluster.site import Site, gpus_of, minutes_of, parse_partitions
from cryosnake.cluster.slurm_profile import Choices, default_choices, profile_files
from cryosnake.errors import CryosnakeError

SINFO = """\
short*|up|4:00:00|20|32|192000|(null)
short*|up|4:00:00|4|64+|515000+|(null)
long|up|14-00:00:00|20|32|192000|(null)
gpu|up|2-00:00:00|8|48|386000|gpu:a100:4(S:0-1)
old|down|infinite|2|16|64000|gpu:2
"""
SITE = Site("alpha", parse_partitions(SINFO), ("em", "other"), accounting=True)


def test_partitions_hold_the_most_that_a_node_has() -> None:
    short, long, gpu, old = SITE.partitions
    assert (short.name, short.default, short.nodes, short.cpus, short.memory) == ("short", True, 24, 64, 515000)
    assert (short.minutes, long.minutes, gpu.minutes, old.minutes) == (240, 20160, 2880, 0)
    assert (short.gpus, gpu.gpus, old.gpus, old.up) == (0, 4, 2, False)


@pytest.mark.parametrize(("limit", "minutes"), [("30:00", 30), ("90", 90), ("1:30:00", 90), ("1-12", 2160),
                                                ("1-12:30", 2190), ("infinite", 0), ("n/a", 0)])
def test_slurms_times_in_minutes(limit: str, minutes: int) -> None:
    assert minutes_of(limit) == minutes


def test_gpus_of_several_kinds_add_up() -> None:
    assert gpus_of("gpu:a100:4(S:0-1),gpu:h100:2(IDX:0-1),lustre:1") == 6
    assert gpus_of("(null)") == 0


def test_jobs_without_gpu_avoid_partitions_that_have_some() -> None:
    choices = default_choices(SITE)
    assert (choices.cpu, choices.gpu, choices.account, choices.gpus) == (("short", "long"), ("gpu",), "em", 32)


def test_the_written_profile_is_what_the_plugin_reads() -> None:
    files = profile_files(SITE, default_choices(SITE))
    profile = yaml.safe_load(files["profile.yaml"])
    assert profile["executor"] == "slurm" and profile["slurm-status-command"] == "sacct"
    assert profile["default-resources"] == {"slurm_account": "em"} and profile["resources"] == {"gpu": 32}
    assert profile["retries"] == 2
    partitions = yaml.safe_load(files["partitions.yaml"])["partitions"]
    assert partitions["gpu"] == {"max_runtime": 2880, "max_mem_mb": 386000, "max_cpus_per_task": 48, "max_gpu": 4}
    assert "max_gpu" not in partitions["short"] and "old" not in partitions
    module = pytest.importorskip("snakemake_executor_plugin_slurm.partitions", reason="the extra `slurm` is absent")
    for limits in partitions.values():
        module.PartitionLimits(**limits)  # an unknown key raises


def test_a_cluster_without_accounts_and_gpus() -> None:
    site = Site("beta", parse_partitions("all*|up|infinite|3|8|32000|(null)\n"))
    profile = yaml.safe_load(profile_files(site, default_choices(site))["profile.yaml"])
    assert profile["slurm-no-account"] is True and profile["slurm-status-command"] == "squeue"
    assert profile["resources"] == {"gpu": 0}


def test_wrong_partitions_are_named() -> None:
    with pytest.raises(CryosnakeError, match=r"no partition 'gpus' on alpha; it has short, long, gpu, old"):
        profile_files(SITE, Choices(("short",), ("gpus",)))
    with pytest.raises(CryosnakeError, match=r"'long' of alpha has no GPU; partitions with GPUs: gpu, old"):
        profile_files(SITE, Choices(("short",), ("long",)))


def test_a_computer_without_slurm_is_told_so(monkeypatch) -> None:
    monkeypatch.setattr(site_module.shutil, "which", lambda name: None)
    with pytest.raises(CryosnakeError, match=r"sinfo is not on the PATH.*login node.*profile import"):
        site_module.detect_site()


@pytest.fixture
def alpha(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cryosnake.cli.profile.detect_site", lambda: SITE)
    return tmp_path


def test_init_writes_below_profiles_and_never_over_other_files(alpha, capsys) -> None:
    assert main(["profile", "init", "--yes"]) == 0
    profile = alpha / "profiles/alpha/profile.yaml"
    assert "snakemake --profile profiles/alpha" in capsys.readouterr().out
    assert main(["profile", "init", "--yes"]) == 0  # the same content: nothing is lost
    profile.write_text("mine")
    assert main(["profile", "init", "--yes"]) == 1
    assert "profiles/alpha/profile.yaml exists already" in capsys.readouterr().err and profile.read_text() == "mine"
    assert main(["profile", "init", "--yes", "--force"]) == 0 and profile.read_text() != "mine"


def test_init_asks_on_a_terminal(alpha, monkeypatch) -> None:
    answers = iter(["short", "none", "other"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert main(["profile", "init", "here"]) == 0
    profile = yaml.safe_load((alpha / "here/profile.yaml").read_text())
    assert profile["default-resources"]["slurm_account"] == "other" and profile["resources"]["gpu"] == 0
    assert list(yaml.safe_load((alpha / "here/partitions.yaml").read_text())["partitions"]) == ["short"]
