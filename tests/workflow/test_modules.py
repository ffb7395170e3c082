"""Parsing that writes nothing, the workflow as a module of another one, and jobs that are asked for again."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import textwrap
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from called_here import calls, tree
from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from cryosnake.processes import process
from cryosnake.project import snakemake_internals
from cryosnake.project.run import session
from small_project import ROOT, simulate

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CONFIG = """
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 3.54, dose_per_frame: 6.0,
             gain: gain.mrc}
batch_size: 2
pictures: false
jobs:
  movies:    {type: import, movies: "Movies/*.tiff", settling_time: 0}
  motion:    {type: motioncorr, movies: movies, patches: [1, 1]}
  ctf:       {type: ctffind, micrographs: motion, resmax: 8, box: 256, max_resolution: 30, min_figure_of_merit: -1}
  mask:      {type: maskcreate, map: reference.mrc}
  thicker:   {type: maskcreate, map: reference.mrc, extend: 6}
"""
SNAKEFILE = f"""
configfile: "config.yaml"

rule mine:
    input: "em/CtfFind/job003/micrographs_ctf.star", "em/MaskCreate/job004/mask.mrc"
    output: "mine.txt"
    shell: "ls {{input}} > {{output}}"

module cryosnake:
    snakefile: "{ROOT}/Snakefile"
    config: config["cryosnake"]
    prefix: "em"

use rule * from cryosnake as cs_*

onstart: shell("touch begun.txt")
"""
SECOND_MODULE = f"""
module second:
    snakefile: "{ROOT}/Snakefile"
    config: {{**config["cryosnake"], "title": "another"}}
    prefix: "em"
use rule * from second as second_*
"""
PLAIN = f"""
configfile: "config.yaml"
module cryosnake:
    snakefile: "{ROOT}/Snakefile"
    config: config
use rule * from cryosnake
"""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, 3)
    return folder


@pytest.fixture(scope="module")
def finished(simulated, tmp_path_factory) -> Path:
    """A workflow of somebody else, with ours as a module in the folder `em`, after one run."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(simulated, folder / "em")
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "config.yaml").write_text("theirs: 1\ncryosnake:\n" + textwrap.indent(CONFIG, "  "))
    run, again = calls(folder, "mine.txt cs_all", "mine.txt cs_all")
    assert run["code"] == 0, run["said"]
    assert "Nothing to be done" in again["said"] and not again["changed"]
    return folder


@pytest.fixture
def user(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path / "user", symlinks=True)
    return tmp_path / "user"


def test_a_module_makes_real_results_in_its_folder(finished) -> None:
    assert (finished / "begun.txt").exists() and "CtfFind/job003" in (finished / "mine.txt").read_text()
    assert {path.name for path in finished.iterdir()} == {".snakemake", "Snakefile", "config.yaml", "begun.txt",
                                                          "mine.txt", "em"}
    pipeline = read_pipeline(finished / "em/default_pipeline.star")
    assert {p.short_alias: p.status for p in pipeline.processes.values()} == dict.fromkeys(
        ("movies", "motion", "ctf", "mask", "thicker"), Status.SUCCEEDED)
    assert len(read_star(finished / "em/CtfFind/job003/micrographs_ctf.star")["micrographs"]) == 3
    assert not (finished / "em/.cryosnake/run.json").exists(), "the claim is still there"


def test_a_module_without_prefix_uses_the_working_directory(simulated, tmp_path) -> None:
    shutil.copytree(simulated, tmp_path, dirs_exist_ok=True)
    (tmp_path / "Snakefile").write_text(PLAIN)
    (tmp_path / "config.yaml").write_text(CONFIG)
    dry, run, bare = calls(tmp_path, "-n", "mask", "-n")
    assert "motion (MotionCorr/job002), batch 0001" in dry["said"]
    assert all(path.startswith(".snakemake") for path in dry["changed"])
    assert run["code"] == 0 and (tmp_path / "MaskCreate/mask/mask.mrc").exists()
    assert bare["said"].count("(MaskCreate/") == 1


@pytest.mark.parametrize(("change", "said"), [
    (("config: config[\"cryosnake\"]", "config: {}"), "the module has no config: write `configfile: \"config.yaml\"`"),
    (("cryosnake\"]", "cryosnake\"] | {\"batch_sise\": 1}"), "batch_sise: unknown key in config.yaml"),
    (("cryosnake\"]", "cryosnake\"] | {\"lane\": \"micrographs\"}"), "lane: only `cryosnake watch` sets this"),
    (("prefix: \"em\"", "prefix: \"other\""), "other: there is no such folder; it is the module's prefix"),
    (("prefix: \"em\"", "replace_prefix: {\"MotionCorr\": \"m\"}"), "use `prefix:` with one folder"),
    (("onstart:", f"{SECOND_MODULE}onstart:"), "two modules with different configs share the folder em"),
])
def test_mistakes_of_a_modules_user_are_one_message(user, change, said) -> None:
    (user / "Snakefile").write_text(SNAKEFILE.replace(*change))
    result, = calls(user, "-n mine.txt cs_all")
    assert result["code"] == 1 and said in result["said"], result["said"]
    assert "Traceback" not in result["said"] and not result["changed"]


def dead_process() -> int:
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    return child.pid


def delete_in_part(job: str, monkeypatch) -> None:
    """Delete a job, and die before its directory is moved."""
    def die(source: str, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.chdir("em")
        patched.setattr("cryosnake.project.cleaning.delete.move_tree", die)
        main(["delete", job, "--yes"])


TARGETS = "mine.txt cs_all"
QUERIES = ("--lint", "--list-rules", *(f"{query} -- {TARGETS}" for query in (
    "-n", "-n -F", "-n -R cs_motion", "--summary", "--rulegraph", "--dag", "--list-input-changes",
    "--report ../report.html", "--touch")))


def test_no_query_changes_anything_in_a_project_that_a_kill_left(user, monkeypatch) -> None:
    locks, claim = user / ".snakemake/locks", user / "em/.cryosnake/run.json"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("em/CtfFind/job003/micrographs_ctf.star\n")
    monkeypatch.chdir(user)
    assert snakemake_internals.mark("em/CtfFind/job003/micrographs_ctf.star")
    claim.write_text(json.dumps(asdict(process(os.getpid())) | {"pid": dead_process(), "start": "1"}))
    half = user / "em/MaskCreate/job004/..cryosnake_cleaned.tsv.0f0f.tmp"
    half.write_text("half a table")
    delete_in_part("thicker", monkeypatch)
    *queries, run, after = calls(user, *QUERIES[:-1], TARGETS, QUERIES[-1])
    for query, result in zip(QUERIES, queries, strict=False):
        assert not result["changed"], (query, result["changed"])
    assert made(run["said"]) == {"thicker (MaskCreate/job006)"}
    assert "removed the lock of an earlier run" in run["said"]
    assert "MaskCreate/job005: moved to the Trash" in run["said"] and (user / "em/Trash/MaskCreate/job005").exists()
    assert not half.exists() and not claim.exists() and not list(locks.glob("*"))
    assert all(path.startswith(("mine.txt", "em/")) for path in after["changed"]), "--touch is Snakemake's own affair"


def made(said: str) -> set[str]:
    """Return the jobs of ours that a (dry) run made."""
    return set(re.findall(r"^Job \d+: (.+)$", said, re.MULTILINE))


def of(name: str, *keys: str) -> set[str]:
    """Return what is said of a job per micrograph: batches, and all of them joined."""
    return {f"{name}, batch {key}" for key in keys} | {f"{name}, all batches"}


MOVIES, MOTION, CTF = "movies (Import/job001)", "motion (MotionCorr/job002)", "ctf (CtfFind/job003)"
SECOND = ("0001.r2", "0002.r2")


def test_jobs_that_are_asked_for_again_are_made_beside_the_finished_ones(user, monkeypatch) -> None:
    """The table in docs/jobs-and-history.md."""
    monkeypatch.chdir(user / "em")
    before, mark = tree(user / "em"), "MaskCreate/job004"
    everything, motion, mask, file = calls(user, "-n -F -- cs_all", "-n -R cs_motion -- cs_all", "-n -f cs_mask",
                                           f"-n -f em/{mark}/mask.mrc")
    assert made(everything["said"]) == {*of(MOVIES, *SECOND), *of(MOTION, *SECOND), *of(CTF, *SECOND),
                                        "mask (MaskCreate/job006)", "thicker (MaskCreate/job007)"}
    assert "motion is made again: the next revision of each batch" in everything["said"]
    assert "mask is made again: as MaskCreate/job006, beside what is finished" in everything["said"]
    assert made(motion["said"]) == {*of(MOTION, *SECOND), *of(CTF, *SECOND)}
    assert made(mask["said"]) == {"mask (MaskCreate/job006)"}
    assert file["code"] == 1 and f"name the rule of {mark} instead" in file["said"]
    assert main(["mark", "thicker", "final"]) == 0
    final, = calls(user, "-n -F -- cs_all")
    assert final["code"] == 1 and "`cryosnake mark thicker not-final`" in final["said"]

    run, = calls(user, "-R cs_ctf cs_mask -- cs_all")
    assert run["code"] == 0, run["said"]
    assert made(run["said"]) == {*of(CTF, *SECOND), "mask (MaskCreate/job006)"}
    assert sorted(re.findall(r"batch (\S+): (\d) done", run["said"])) == [("0001.r2", "2"), ("0002.r2", "1")]
    after = tree(user / "em")
    kept = [name for name, what in before.items() if isinstance(what, tuple) and re.search(
        r"Import/.*/movies.star$|MotionCorr/.*(/batches/.*|s)\.star$|\.mrc$|CtfFind/.*/000[12]\.star$", name)]
    assert len(kept) > 10 and all(after[name] == before[name] for name in kept)
    pipeline = read_pipeline("default_pipeline.star")
    assert {p.name: p.status for p in pipeline.processes.values()}["MaskCreate/job006/"] == Status.SUCCEEDED
    assert pipeline.processes["MaskCreate/job006/"].short_alias == "mask"
    again, = calls(user, "-n -- cs_all")
    assert "Nothing to be done" in again["said"] and not again["changed"]


def test_a_snakemake_that_was_not_tested_is_refused(monkeypatch) -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert any(re.fullmatch(rf"snakemake>=\d+,<{snakemake_internals.UNTESTED}", name) for name in wanted)
    monkeypatch.setattr(snakemake_internals, "version", lambda: f"{snakemake_internals.UNTESTED}.0.1")
    with pytest.raises(CryosnakeError, match=f"pip install 'snakemake<{snakemake_internals.UNTESTED}'"):
        session._check_version()


def test_a_clone_without_data_lints_and_lists(tmp_path) -> None:
    shutil.copy(ROOT / "config.yaml", tmp_path)
    lint, rules, dry = calls(tmp_path, *(f"-s {ROOT}/Snakefile {query}" for query in ("--lint", "--list-rules", "-n")))
    assert lint["code"] == 0 and "good condition" in lint["said"]
    assert rules["code"] == 0 and "sharpened" in rules["said"]
    assert dry["code"] == 1 and "no complete file matches 'Movies/*.tiff'" in dry["said"]
    assert [path.name for path in tmp_path.iterdir() if path.name != ".snakemake"] == ["config.yaml"]
