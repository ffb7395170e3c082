"""Curation: limits and flags in the config and in decisions/, which batches they concern, and who may change them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.registry import job_types
from cryosnake.limits import Limit, limit_of, limits_problem, why_out
from cryosnake.project.actions.curating import counts, curated, earlier_flags, names_of, relion_selections, save
from cryosnake.project.config.config import parse_config
from cryosnake.project.config.curation import Curation, Flag, read_curation, rename_curation, write_curation
from cryosnake.project.config.text_edits import read_config
from cryosnake.project.locks.decisions_lock import deciding
from cryosnake.project.planning.judged import judged_otherwise
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.records.final_marks import set_final
from cryosnake.running.run import run_job

CONFIG = """jobs:
  curate: {type: curate, micrographs: ctf.star, limits: {rlnCtfMaxResolution: ..6}}
  beside: {type: autopick, micrographs: curate, method: log, diameter: [100, 120]}
  others: {type: autopick, micrographs: curate.rejected, method: log, diameter: [100, 120]}
"""
ROOTS = [f"MotionCorr/job002/Movies/m{number}" for number in range(4)]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("MotionCorr/job002/Movies").mkdir(parents=True)
    for root in ROOTS:
        Path(f"{root}.mrc").write_text(root)
    write_star("ctf.star", {"optics": pd.DataFrame({"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.0]}),
                            "micrographs": pd.DataFrame({
                                "rlnMicrographName": [f"{root}.mrc" for root in ROOTS], "rlnOpticsGroup": 1,
                                "rlnCtfMaxResolution": [4.0, 5.0, 7.0, 3.0], "rlnDefocusU": [9e3, 2e4, 1e4, 1.5e4]})})
    Path("config.yaml").write_text(CONFIG)
    return tmp_path


def planned():
    return make_plan(parse_config(read_config())).jobs["curate"]


def run(key: str = "0001") -> int:
    """Run the only batch, and the join."""
    Path("Curate/job001").mkdir(parents=True, exist_ok=True)
    from cryosnake.project.records.record import write_record

    write_record(Path("Curate/job001"), planned().record())
    words = ["--out", "Curate/job001", "--micrographs", "ctf.star", "--limits", "rlnCtfMaxResolution=..6"]
    return max(run_job(job_types()["curate"], [*words, *more]) for more in (["--batch", key], ["--join"]))


def accepted(name: str = "micrographs") -> list[str]:
    return [Path(one).stem for one in read_star(f"Curate/job001/{name}.star")["micrographs"]["rlnMicrographName"]]


@pytest.mark.parametrize(("text", "limit"), [("..6", Limit(high=6.0)), ("5000..25000", Limit(5e3, 2.5e4)),
                                             (" 0.1 .. ", Limit(low=0.1)), ("-3..-1", Limit(-3.0, -1.0))])
def test_limits_are_read_and_written(text: str, limit: Limit) -> None:
    assert limit_of(text) == limit == limit_of(str(limit))


@pytest.mark.parametrize("text", ["6", "..", "a..b", "5..3", "nan..3", ""])
def test_what_is_no_limit_is_refused_with_its_column(text: str) -> None:
    assert limits_problem({"rlnDefocusU": text}).startswith("rlnDefocusU: ")


def test_a_wrong_limit_in_the_config_is_named_with_its_place(project, capsys) -> None:
    Path("config.yaml").write_text(CONFIG.replace("..6", "6 A"))
    assert main(["curate", "curate"]) == 1
    assert "jobs.curate.limits: rlnCtfMaxResolution: write smallest..largest" in capsys.readouterr().err


def test_rules_name_values_and_a_flag_decides_alone() -> None:
    limits = {"a": Limit(high=6.0), "b": Limit(low=1.0)}
    assert why_out({"a": 7.0, "b": 0.5}, limits) == ("a is too large (7)", "b is too small (0.5)")
    assert why_out({"a": float("nan"), "b": 2.0}, limits) == ("a is no number",)
    assert why_out({}, limits, "accept") == () and why_out({}, {}, "reject") == ("by eye",)


def test_both_outputs_list_all_and_reasons(project) -> None:
    assert run() == 0
    assert accepted() == ["m0", "m1", "m3"] and accepted("micrographs_rejected") == ["m2"]
    table = read_star("Curate/job001/micrographs_rejected.star")["micrographs"]
    assert list(table["cryosnakeReason"]) == ["rlnCtfMaxResolution is too large (7)"]


def test_a_decision_keeps_the_number_and_revises_what_it_concerns(project) -> None:
    run()
    assert (planned().path, planned().batches) == ("Curate/job001", {1: "0001"})
    assert main(["curate", "curate", "--limit", "rlnCtfMaxResolution=..5.5"]) == 0  # reaches nobody
    assert planned().batches == {1: "0001"}
    assert main(["curate", "curate", "--reject", "m0", "--accept", "m2.mrc"]) == 0
    assert (planned().path, planned().batches) == ("Curate/job001", {1: "0001.r2"})
    assert run("0001.r2") == 0
    assert accepted() == ["m1", "m2", "m3"] and accepted("micrographs_rejected") == ["m0"]
    assert planned().batches == {1: "0001.r2"}
    assert accepted("batches/0001") == ["m0", "m1", "m3"]  # the rows that jobs were made from


def test_other_batches_are_not_concerned(project) -> None:
    run()
    for number in (2, 3):
        Path(f"Curate/job001/batches/000{number}.judged").write_text(
            Path("Curate/job001/batches/0001.judged").read_text().replace("Movies/m", f"Movies/n{number}"))
    write_curation("curate", Curation(flags={"Movies/n31": Flag(state="reject")}))
    assert judged_otherwise(planned(), (1, 2, 3)) == {3}
    Path("Curate/job001/batches/0002.judged").write_text("torn")
    assert judged_otherwise(planned(), (1, 2, 3, 4)) == {2, 3, 4}


def test_limits_changed_in_the_config_are_the_newer_ones(project) -> None:
    assert main(["curate", "curate", "--limit", "rlnDefocusU=12000.."]) == 0
    assert curated("curate").limits == {"rlnCtfMaxResolution": "..6", "rlnDefocusU": "12000.."}
    Path("config.yaml").write_text(CONFIG.replace("..6", "..8"))
    assert curated("curate").limits == {"rlnCtfMaxResolution": "..8"}


def test_a_final_job_refuses_other_decisions(project, capsys) -> None:
    run()
    set_final(Path("Curate/job001"), final=True)
    assert main(["curate", "curate", "--reject", "m0"]) == 1
    assert "Curate/job001 (curate) is final" in capsys.readouterr().err
    write_curation("curate", Curation(flags={"Movies/m0": Flag(state="reject")}))
    with pytest.raises(CryosnakeError, match="is final"):
        planned()


def test_the_second_of_two_writers_is_refused(project) -> None:
    first, second = curated("curate"), curated("curate")
    save(first, {"rlnDefocusU": "1.."}, {})
    with pytest.raises(CryosnakeError, match="somebody else has saved"):
        save(second, {}, {})
    assert read_curation("curate").limits == {"rlnDefocusU": "1.."}
    third = curated("curate")
    Path("config.yaml").write_text(CONFIG.replace("..6", "..8"))
    with pytest.raises(CryosnakeError, match=r"limits of curate in config.yaml.*Nothing was written"):
        save(third, third.limits, {})  # it would undo the newer limits
    assert curated("curate").limits == {"rlnCtfMaxResolution": "..8"}


def test_a_program_that_is_writing_is_waited_for_and_named(project, monkeypatch) -> None:
    monkeypatch.setattr("cryosnake.project.locks.decisions_lock._PATIENCE", 0.0)
    found = curated("curate")
    with deciding("curate"), pytest.raises(CryosnakeError, match="another program saves decisions for curate"):
        save(found, {"rlnDefocusU": "1.."}, {})
    assert not Path("decisions").exists()


def test_unknown_columns_and_names_are_refused(project, capsys) -> None:
    assert main(["curate", "curate", "--limit", "rlnNone=..3"]) == 1
    assert "no column rlnNone; columns with numbers are rlnCtfMaxResolution" in capsys.readouterr().err
    assert main(["curate", "curate", "--reject", "m77"]) == 1
    assert "m77 is none of the micrographs" in capsys.readouterr().err
    assert not Path("decisions").exists()


@pytest.mark.parametrize("text", ["job: [", "job: curate\nlimits: 3", "job: curate\nflags: {a: maybe}",
                                  "job: curate\nlimits: {a: six}", "[]"])
def test_a_damaged_decision_is_named(project, text: str) -> None:
    run()
    Path("decisions").mkdir()
    Path("decisions/curate.flags.yaml").write_text(text)
    with pytest.raises(CryosnakeError, match=r"decisions/curate.flags.yaml is damaged .* restore it"):
        planned()


def test_a_renamed_job_keeps_its_decision(project) -> None:
    write_curation("curate", Curation(flags={"Movies/m0": Flag(state="accept")}))
    assert rename_curation("curate", "kept")
    assert read_curation("kept").flags["Movies/m0"].state == "accept" and not read_curation("curate").flags
    Path("decisions/kept.flags.yaml").rename("decisions/curate.flags.yaml")
    with pytest.raises(CryosnakeError, match="decisions of the job 'kept'"):
        read_curation("curate")


def test_a_micrograph_made_again_keeps_its_flag_and_is_marked(project) -> None:
    main(["curate", "curate", "--reject", "m0", "m1"])
    assert earlier_flags(curated("curate")) == set()
    Path(f"{ROOTS[0]}.mrc").write_text("another motion correction")
    found = curated("curate")
    assert earlier_flags(found) == {"Movies/m0"} and found.flags["Movies/m0"] == "reject"
    assert counts(found).by_rule == {"rlnCtfMaxResolution ..6": 1, "by eye": 2}
    main(["curate", "curate", "--reject", "m0"])
    assert earlier_flags(curated("curate")) == set(), "somebody has looked at what there is now"


def test_names_may_be_short_but_not_of_several(project) -> None:
    found = curated("curate")
    assert names_of(found, ["m0", "m1.mrc", "Movies/m2", f"{ROOTS[3]}.mrc"]) == [f"Movies/m{n}" for n in range(4)]


def test_a_selection_of_relion_is_offered(project) -> None:
    Path("ManualPick/job009").mkdir(parents=True)
    table = read_star("ctf.star")
    write_star("ManualPick/job009/micrographs_selected.star", {"micrographs": table["micrographs"][1:3]})
    assert relion_selections(curated("curate")) == {"ManualPick/job009": ["Movies/m0", "Movies/m3"]}
    names = table["micrographs"]["rlnMicrographName"]
    for ticks, left_out in (([1, 1, 1, 0], {"ManualPick/job009": ["Movies/m3"]}), ([1, 1, 1, 1], {})):
        write_star("ManualPick/job009/local_selection.star", {"": names[:4].to_frame().assign(rlnSelected=ticks)})
        assert relion_selections(curated("curate")) == left_out, "a micrograph without picks may have its tick"


def test_rejected_ones_are_an_input_of_their_own(project) -> None:
    jobs = make_plan(parse_config(read_config())).jobs
    assert jobs["others"].inputs["micrographs"].path.endswith("/micrographs_rejected.star")


def test_a_plan_of_many_batches_stays_cheap(project) -> None:
    """Limits that reach nobody are compared once, not in every plan."""
    import time

    run()
    note = Path("Curate/job001/batches/0001.judged").read_text()
    for number in range(2, 402):
        Path(f"Curate/job001/batches/{number:04d}.judged").write_text(note)
    main(["curate", "curate", "--limit", "rlnCtfMaxResolution=..5.5"])
    job = planned()
    assert judged_otherwise(job, range(1, 402)) == set()
    start = time.process_time()
    assert judged_otherwise(job, range(1, 402)) == set()
    assert time.process_time() - start < 0.1


PARTICLES = ("jobs:\n  good: {type: select, particles: parts.star, curate: true, limits: {rlnCtfMaxResolution: ..6}}\n"
             "  plain: {type: select, particles: parts.star, limits: {rlnCtfMaxResolution: ..6}}\n")


@pytest.fixture
def particles(project) -> Path:
    write_star("parts.star", {"optics": pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [1.0]}),
                              "particles": pd.DataFrame({"rlnImageName": [f"{n:06d}@stack.mrcs" for n in range(1, 5)],
                                                         "rlnOpticsGroup": 1,
                                                         "rlnCtfMaxResolution": [4.0, 5.0, 7.0, 3.0]})})
    Path("config.yaml").write_text(PARTICLES)
    return project


def select_run(path: str) -> None:
    from cryosnake.project.planning.planned import Plan
    from cryosnake.project.planning.rule_values import arguments
    from cryosnake.project.records.record import write_record

    job = make_plan(parse_config(read_config())).jobs["good"]
    assert job.path == path
    Path(path).mkdir(parents=True)
    write_record(Path(path), job.record())
    words = arguments(Plan({"good": job}), path).split()
    assert run_job(job_types()["select"], words) == 0


def test_particles_are_curated_under_a_new_number_for_each_decision(particles, capsys) -> None:
    select_run("Select/job003")
    assert len(read_star("Select/job003/particles.star")["particles"]) == 3
    assert main(["curate", "good", "--reject", "000001@stack.mrcs", "--accept", "000003@stack.mrcs",
                 "--limit", "rlnCtfMaxResolution=..4.5"]) == 0
    assert "accepts 2 of 4 particles" in capsys.readouterr().out
    select_run("Select/job004")
    assert list(read_star("Select/job004/particles.star")["particles"]["rlnCtfMaxResolution"]) == [7.0, 3.0]
    left = read_star("Select/job004/particles_rejected.star")["particles"]
    assert dict(zip(left["rlnImageName"], left["cryosnakeReason"], strict=True)) == {
        "000001@stack.mrcs": "by eye", "000002@stack.mrcs": "rlnCtfMaxResolution is too large (5)"}
    assert len(read_star("Select/job003/particles.star")["particles"]) == 3
    assert main(["curate", "good", "--unflag", "000001@stack.mrcs", "000003@stack.mrcs", "--as-in-config"]) == 0
    assert make_plan(parse_config(read_config())).jobs["good"].path == "Select/job003"  # the first decision again


def test_a_select_without_curate_is_not_curated(particles, capsys) -> None:
    assert main(["curate", "plain"]) == 1
    assert "those are: good" in capsys.readouterr().err
