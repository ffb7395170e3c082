"""Only the project's own files are touched: kinds of names and links by which others' files could be reached.

A canary tree beside the project, and linked from it, must stay as it is, to the byte and the time.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from made_project import MAP, PARTICLES, add_job, facts, tree

from cryosnake.cli import main
from cryosnake.cluster.cryosparc_lane import read_cryosparc_lane
from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import micrograph_root
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.edit import add_nodes, add_process
from cryosnake.pipeline.files import pipeline_blocks, read_pipeline, write_pipeline
from cryosnake.pipeline.job_star import OUTPUT_NODES_FILE, read_output_nodes, write_output_nodes
from cryosnake.pipeline.markers import make_alias_link, write_node_markers
from cryosnake.pipeline.model import Node, Process, Status
from cryosnake.pipeline.rebuild import highest_number, job_directories, rebuild
from cryosnake.pipeline.star_text import loop, write_blocks
from cryosnake.project.actions.retry import retry_failed
from cryosnake.project.cleaning.delete import DELETED_FILE, current_pipeline
from cryosnake.project.cleaning.undelete import deletions
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.records import own_trash
from cryosnake.project.records.batches import MANIFEST, read_manifest
from cryosnake.project.records.cleaned_files import RECORD, made_again, read_cleaned
from cryosnake.project.records.disk import job_directories as records_of
from cryosnake.project.records.kept_results import keep_results, restore_results
from cryosnake.project.records.regenerated_inputs import NEEDED, read_needed
from cryosnake.project.run.kept_iterations import WAITING, drop_waiting
from cryosnake.project.schemes.files import read_scheme

REFINE, POST = "Refine3D/job001", "PostProcess/job002"
LEADS_OUT = ["../../../canary/thesis.tex", "sub/../../../../canary/deep/data.mrc", "{canary}/thesis.tex",
             "out/thesis.tex"]
WITHOUT = {"3.1": ("Label",), "5": ("ProcessType", "ProcessStatus"), "hybrid": ("nothing",)}  # columns of a dialect


def seen(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def canary(tmp_path) -> Iterator[Path]:
    """Files of others: a tree with a job in it."""
    folder = tmp_path / "canary"
    (folder / "deep").mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    (folder / "empty").touch()
    (folder / "deep/data.mrc").write_text("years of data")
    (folder / "Refine3D/job003").mkdir(parents=True)
    (folder / "Refine3D/job003/job.star").write_text("theirs")
    (folder / PIPELINE_FILE).touch()
    before = seen(folder)
    yield folder
    assert seen(folder) == before


@pytest.fixture
def project(tmp_path, monkeypatch, canary) -> Path:
    """Two finished jobs, and links to the canary tree."""
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    add_job("Refine3D", 1, {"map.mrc": MAP, "run_data.star": PARTICLES}, ("ref.mrc",),
            files={"run_it001_optimiser.star": 3, "sub/part.mrc": 5})
    add_job("PostProcess", 2, {"map.mrc": MAP}, (f"{REFINE}/map.mrc",), alias="sharp", files={"a.log": 1})
    os.symlink(canary, "Movies")
    os.symlink(canary, f"{REFINE}/out")
    return tmp_path


def leads_out(canary: Path) -> list[str]:
    return [name.format(canary=canary) for name in LEADS_OUT]


def everything(job: str = REFINE) -> None:
    """All commands that move and remove."""
    main(["clean", job, "--gentle"])
    main(["clean", job, "--clear"])
    main(["unclean", job])
    main(["delete", job, "--yes"])
    main(["undelete", job])
    main(["delete", job, "--yes"])
    main(["empty-trash", "--yes"])
    main(["rebuild-pipeline"])


@pytest.mark.parametrize("link", [".Nodes", ".Nodes/6", ".Nodes/DensityMap/Refine3D"])
def test_a_link_among_the_markers_is_not_followed(project, canary, link: str) -> None:
    shutil.rmtree(link)
    os.symlink(canary, link)
    everything()
    assert Path(link).is_symlink() or not os.path.lexists(link)


@pytest.mark.parametrize("place", [
    ".cryosnake", ".cryosnake/clean_up.lock", ".cryosnake/archived", ".cryosnake/sizes.json", ".cryosnake/cleanup",
    ".pipeline_has_changed", f"{REFINE}/note.txt", f"{REFINE}/RELION_JOB_EXIT_FAILURE",
    f"{REFINE}/.cryosnake_final", f"{REFINE}/{RECORD}", f"{REFINE}/deleted_pipeline.star", f"{REFINE}/batches",
    f"{REFINE}/.cryosnake_results", f"Trash/{REFINE}", "Trash/Refine3D"])
@pytest.mark.parametrize("target", ["thesis.tex", "deep", "new"])
def test_a_link_in_the_place_of_bookkeeping_is_not_written_through(project, canary, place: str, target: str) -> None:
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    os.symlink(canary / target, path)
    for words in (["note", REFINE, "x"], ["mark", REFINE, "final"], ["mark", REFINE, "not-final"],
                  ["mark", REFINE, "failed"], ["mark", REFINE, "finished"], ["cleanup", "--clear-non-final"]):
        main(words)
    everything()
    main(["archive"])


def test_a_link_of_a_moved_job_in_the_trash_takes_no_files_of_another(project, canary) -> None:
    """A job of the same number, which RELION made after it had overwritten the one that was moved."""
    Path("Trash/Refine3D").mkdir(parents=True)
    os.symlink(canary / "deep", f"Trash/{REFINE}")
    before = tree(REFINE)
    assert main(["clean", REFINE, "--clear"]) == 0 and main(["unclean", REFINE]) == 0
    assert main(["delete", REFINE, "--yes"]) == 0 and main(["undelete", REFINE]) == 0
    assert tree(REFINE).keys() == before.keys()
    assert os.readlink(f"Trash/{REFINE}.old1") == str(canary / "deep")
    assert main(["empty-trash", "--yes"]) == 0 and not os.path.lexists(f"Trash/{REFINE}.old1")


@pytest.mark.parametrize("name", ["job٠٠١", "job001\n", "job００１", "job1", "JOB001", "job001.old1", "job001 "])
def test_a_folder_that_is_only_similar_is_no_job(project, name: str) -> None:
    shutil.copytree(REFINE, f"Refine3D/{name}", symlinks=True)
    before = tree(f"Refine3D/{name}")
    assert list(records_of(["Refine3D"])) == [REFINE] and highest_number(".") == 2
    everything("1")
    assert tree(f"Refine3D/{name}") == before


def test_only_empty_markers_are_removed_and_none_is_made_outside(project) -> None:
    Path(".Nodes/6/mine.txt").write_text("not a marker")
    pipeline = add_nodes(current_pipeline(), [Node("../../canary/thesis.tex", MAP, 6),
                                              Node(f"{REFINE}/map.mrc", "../../canary/x", 6, 9)])
    before = tree(project)
    write_node_markers(Path(), pipeline)
    assert {name: value for name, value in tree(project).items() if name not in before} == {}
    assert Path(".Nodes/6/mine.txt").exists()


@pytest.mark.parametrize("name", ["../canary/Refine3D/job003/", "{canary}/Refine3D/job003/",
                                  "Refine3D/../../canary/Refine3D/job003/", "Refine3D/job001/sub/", ".git/job003/"])
@pytest.mark.parametrize("dialect", WITHOUT)
def test_a_process_name_that_leaves_the_project_is_refused(project, canary, name: str, dialect: str) -> None:
    pipeline = current_pipeline()
    bad = Process(name.format(canary=canary), "", "relion.refine3d", 10, status=Status.SUCCEEDED)
    blocks = pipeline_blocks(add_process(pipeline, bad))
    table = blocks["pipeline_processes"]
    keep = [i for i, label in enumerate(table.labels) if not label.endswith(WITHOUT[dialect])]
    assert (len(keep) < len(table.labels)) == (dialect != "hybrid")
    blocks["pipeline_processes"] = loop([table.labels[i] for i in keep], [[row[i] for i in keep] for row in table.rows])
    write_blocks(PIPELINE_FILE, blocks)
    with pytest.raises(CryosnakeError, match="is not a job of a project"):
        current_pipeline()
    for words in (["delete", "1", "--yes"], ["clean", "--all", "--clear"], ["list"]):
        assert main(words) == 1
    assert main(["rebuild-pipeline"]) == 0
    assert facts(current_pipeline()) == facts(pipeline)


@pytest.mark.parametrize("alias", ["../canary/deep/", "Refine3D/../../canary/", "{canary}/deep/", "PostProcess/x/",
                                   "Refine3D/.x/"])
def test_an_alias_that_leaves_its_folder_is_refused(project, canary, alias: str) -> None:
    blocks = pipeline_blocks(current_pipeline())
    table = blocks["pipeline_processes"]
    rows = [(row[0], alias.format(canary=canary), *row[2:]) if row[0] == f"{REFINE}/" else row for row in table.rows]
    blocks["pipeline_processes"] = loop(table.labels, rows)
    write_blocks(PIPELINE_FILE, blocks)
    with pytest.raises(CryosnakeError, match="is not a job of a project"):
        current_pipeline()


@pytest.mark.parametrize("name", ["../canary/Refine3D/job003/", "{canary}/Refine3D/job003/", "Class3D/job004/"])
def test_a_copied_job_with_a_list_of_deleted_jobs_takes_nothing_of_others(project, canary, name: str) -> None:
    """deleted_pipeline.star of another project, outside the Trash and in it; Class3D/job004 is a link to theirs."""
    os.mkdir("Class3D")
    os.symlink(canary / "Refine3D/job003", "Class3D/job004")
    for place in ("Class2D/job009", "Trash/Class2D/job008"):
        Path(place).mkdir(parents=True)
        processes = {job: Process(job, "", "relion.class2d.em", 8, status=Status.SUCCEEDED)
                     for job in (f"{place.removeprefix('Trash/')}/", name.format(canary=canary))}
        table = pipeline_blocks(current_pipeline())
        table["pipeline_processes"] = pipeline_blocks(type(current_pipeline())(10, processes))["pipeline_processes"]
        write_blocks(f"{place}/{DELETED_FILE}", table)
    main(["undelete", "Class2D/job008"])
    main(["undelete"])
    everything(POST)
    assert os.path.realpath("Class3D/job004") == str(canary / "Refine3D/job003")


@pytest.mark.parametrize("which", range(len(LEADS_OUT)))
def test_tables_list_only_files_below_the_job(project, canary, which: int) -> None:
    name = leads_out(canary)[which]
    Path(REFINE, RECORD).write_text(f"{name}\t0\t1000\nmap.mrc\t{Path(REFINE, 'map.mrc').stat().st_size}\t1000\n")
    made_again(REFINE, [name, "map.mrc"])
    assert Path(REFINE, "map.mrc").stat().st_mtime_ns == 1000
    Path(REFINE, RECORD).write_text(f"{name}\t0\t1000\n")
    everything()


def test_what_leads_out_is_not_read_from_tables(project, canary) -> None:
    for name in leads_out(canary)[:3]:
        Path(REFINE, RECORD).write_text(f"{name}\t0\t1000\n")
        assert not read_cleaned(REFINE).files
        Path(REFINE, NEEDED).write_text(f"\t{name}\n\tExtract/job003/a.mrcs\n")
        assert read_needed(REFINE) == {"": ("Extract/job003/a.mrcs",)}
        Path(REFINE, MANIFEST).write_text(f"1\tMovies/a.mrc\n1\t{name}\n")
        with pytest.raises(CryosnakeError, match=r"manifest.tsv: .* is outside of the project"):
            read_manifest(REFINE)


@pytest.mark.parametrize("which", range(len(LEADS_OUT)))
def test_only_iterations_are_removed_with_a_list_of_iterations(project, canary, which: int) -> None:
    names = [leads_out(canary)[which], "job.star", "run_it001_/../../../../canary/thesis.tex",
             "run_it001_optimiser.star"]
    Path(REFINE, WAITING).write_text("".join(f"{name}\n" for name in names))
    drop_waiting(REFINE)
    assert Path(REFINE, "job.star").exists() and not Path(REFINE, "run_it001_optimiser.star").exists()


def test_kept_results_do_not_follow_links(project, canary) -> None:
    os.symlink(canary, f"{REFINE}/.cryosnake_results")
    (Path(REFINE, "made") / "x").mkdir(parents=True)
    keep_results(Path(REFINE), [Path(REFINE, "map.mrc")], "made by")
    assert not Path(REFINE, ".cryosnake_results").is_symlink()
    kept = Path(REFINE, ".cryosnake_results/files/out/new.mrc")  # its place is behind a link
    kept.parent.mkdir()
    kept.write_text("x")
    Path(REFINE, "map.mrc").unlink()
    restore_results(Path(REFINE), "made by", [])
    assert Path(REFINE, "map.mrc").exists()


@pytest.mark.parametrize("name", ["../../canary/thesis.tex", "PostProcess/job002/map.mrc", "External/job005/../../x"])
def test_an_external_job_declares_only_its_own_files(project, name: str) -> None:
    path = Path("External/job005", OUTPUT_NODES_FILE)
    path.parent.mkdir(parents=True)
    write_output_nodes(path, [Node(name, MAP, 6), Node("External/job005/good.mrc", MAP, 6)])
    assert [node.name for node in read_output_nodes(path, "External/job005/")] == ["External/job005/good.mrc"]
    (path.parent / "RELION_JOB_EXIT_SUCCESS").touch()
    assert rebuild(".").outputs["External/job005/"] == ("External/job005/good.mrc",)


@pytest.mark.parametrize("name", ["/canary/x.mrc", "../canary/x.mrc", "MotionCorr/job002/../../canary/x.mrc",
                                  "out/x.mrc"])
def test_products_are_made_below_the_job(project, canary, name: str) -> None:
    with pytest.raises(CryosnakeError, match=r"does not lie below the project folder|leads out of it"):
        micrograph_root(REFINE, name)
    assert micrograph_root(REFINE, "Import/job001/sub/x.mrc") == Path(REFINE, "sub/x")


@pytest.mark.parametrize("job", ["../canary/Refine3D/job003", "{canary}/Refine3D/job003", "Refine3D/job004"])
def test_only_jobs_of_the_project_are_retried(project, canary, job: str) -> None:
    os.symlink(canary / "Refine3D/job003", "Refine3D/job004")
    with pytest.raises(CryosnakeError, match="is not the directory of a per-micrograph job"):
        retry_failed(job.format(canary=canary))


@pytest.mark.parametrize("name", ["../canary", "/canary", "a/../../canary"])
def test_schemes_and_lanes_name_nothing_outside_their_folder(project, canary, name: str) -> None:
    write_blocks("scheme.star", {"scheme_jobs": loop(["rlnSchemeJobNameOriginal"], [[name]])})
    with pytest.raises(CryosnakeError, match=r"does not exist, but scheme\.star lists the job"):
        read_scheme(Path())
    Path("cluster_info.json").write_text(json.dumps({"name": name}))
    with pytest.raises(CryosnakeError, match="would lead out of profiles/"):
        read_cryosparc_lane(Path("cluster_info.json"), Path("cluster_script.sh"), {})


# the Trash

@pytest.mark.parametrize("target", ["{shared}", "../shared", ".", ".."])
def test_a_trash_that_is_a_link_to_files_of_others(project, capsys, target: str) -> None:
    shared = project / "shared"
    (shared / "Refine3D/job001").mkdir(parents=True)  # another project's deleted job, and more
    (shared / "Refine3D/job001/map.mrc").write_text("theirs")
    (shared / "data.mrc").write_text("theirs")
    os.symlink(target.format(shared=shared), "Trash")
    assert main(["empty-trash"]) == 0
    assert "0 B; deleted jobs: none" in capsys.readouterr().out
    before, mine = tree(shared), tree(REFINE)
    assert main(["empty-trash", "--yes"]) == 0
    assert main(["delete", "1", "--yes"]) == 0
    assert len(deletions()) == 1 and os.path.realpath("Trash").startswith(os.path.realpath(project))
    assert os.path.isabs(os.readlink("Trash")) == os.path.isabs(target.format(shared=shared)), "a moved project works"
    assert main(["undelete", "1"]) == 0 and tree(REFINE) == mine
    assert main(["delete", "1", "--yes"]) == 0
    assert main(["empty-trash", "--yes"]) == 0
    assert not deletions() and not list(Path("Trash").iterdir())
    assert {name: value for name, value in tree(shared).items() if "-trash-" not in name} == before


@pytest.mark.parametrize("first", ["mine", "theirs"])
def test_two_projects_share_a_disk_for_the_trash(project, monkeypatch, first: str) -> None:
    shutil.copytree(project / "mine", project / "theirs", symlinks=True)
    (project / "shared").mkdir()
    second = {"mine": "theirs", "theirs": "mine"}[first]
    for name in (first, second):
        monkeypatch.chdir(project / name)
        os.symlink("../shared", "Trash")
        assert main(["delete", "1", "--yes"]) == 0
    monkeypatch.chdir(project / first)
    assert main(["empty-trash", "--yes"]) == 0
    monkeypatch.chdir(project / second)
    assert main(["undelete", "1"]) == 0
    assert Path(REFINE, "map.mrc").exists()


def test_a_copied_project_does_not_empty_the_trash_of_the_original(project, monkeypatch, capsys) -> None:
    (project / "shared").mkdir()
    (project / "shared/file").touch()
    os.symlink(project / "shared", "Trash")
    assert main(["delete", "1", "--yes"]) == 0
    shutil.copytree(project / "mine", project / "copy", symlinks=True)
    monkeypatch.chdir(project / "copy")
    assert main(["empty-trash", "--yes"]) == 0
    assert main(["undelete", "1"]) == 1
    monkeypatch.chdir(project)
    os.rename("mine", "moved")  # a moved project keeps its Trash
    monkeypatch.chdir(project / "moved")
    assert main(["undelete", "1"]) == 0 and Path(REFINE, "map.mrc").exists()


def test_other_things_in_the_trash_stay_and_links_in_it_are_not_followed(project, canary) -> None:
    assert main(["delete", "1", "--yes"]) == 0
    Path("Trash/letter.txt").write_text("put here by hand")
    os.symlink(canary, "Trash/Class2D")
    os.symlink(canary, "Trash/Refine3D/job077")
    with cleaning_up(), pytest.raises(CryosnakeError, match="a link on the way leads out"):
        from cryosnake.project.cleaning.trash import in_trash

        in_trash("Class2D/job003")
    assert main(["empty-trash", "--yes"]) == 0
    assert sorted(os.listdir("Trash")) == ["Class2D", "letter.txt"]


def test_a_trash_whose_disk_is_not_there_stops_the_command(project, capsys) -> None:
    os.symlink("/nowhere/at/all", "Trash")
    before = tree()
    assert main(["delete", "1", "--yes"]) == 1
    assert "which does not exist; mount its disk" in capsys.readouterr().err
    assert tree() == before and not own_trash.is_own()


def test_the_trash_of_an_interrupted_undelete_is_not_emptied(project, capsys) -> None:
    before = current_pipeline()
    assert main(["delete", "1", "--yes"]) == 0
    write_pipeline(PIPELINE_FILE, before)  # the pipeline was written, the last directory not yet brought back
    assert main(["empty-trash", "--yes"]) == 1
    assert "`cryosnake undelete Refine3D/job001` finishes it" in capsys.readouterr().err
    assert main(["undelete", "1"]) == 0 and Path(REFINE, "map.mrc").exists()


# aliases

@pytest.mark.parametrize("kind", ["folder", "file", "link of the user"])
def test_what_has_taken_the_place_of_an_alias_stays(project, canary, capsys, kind: str) -> None:
    before = tree(POST)
    assert main(["delete", "2"]) == 0
    place = Path("PostProcess/sharp")
    if kind == "folder":
        place.mkdir()
        (place / "mine").write_text("mine")
    elif kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(canary)
    assert main(["undelete", "2"]) == 0
    assert "without its alias 'sharp'" in capsys.readouterr().out
    assert tree(POST) == before and current_pipeline().processes[f"{POST}/"].alias == ""
    with pytest.raises(CryosnakeError, match="exists where the alias link"):
        make_alias_link(".", Process(f"{POST}/", "PostProcess/sharp/"))
    assert main(["alias", "2", "sharp"]) == 1
    assert kind == "link of the user" or place.is_dir() or place.read_text() == "mine"
    assert main(["delete", "2"]) == 0 and os.path.lexists(place)


def test_a_pipeline_file_is_restored_where_a_folder_is_in_the_place_of_an_alias(project, capsys) -> None:
    shutil.copy(PIPELINE_FILE, POST)
    os.unlink("PostProcess/sharp")
    os.mkdir("PostProcess/sharp")
    assert main(["restore-pipeline", POST]) == 0
    assert "PostProcess/sharp: exists where the alias link of PostProcess/job002/ belongs" in capsys.readouterr().err
    assert main(["rebuild-pipeline"]) == 0 and current_pipeline().processes[f"{POST}/"].alias == ""


@pytest.mark.parametrize("target", ["../PostProcess/job099/", "job098", "../PostProcess/job002/"])
def test_a_dangling_alias_is_replaced(project, target: str) -> None:
    os.unlink("PostProcess/sharp")
    os.symlink(target, "PostProcess/sharp")
    assert set(rebuild(".").processes) == {f"{REFINE}/", f"{POST}/"}
    assert main(["alias", "2", "sharper"]) == 0 and main(["alias", "2", "sharp"]) == 0
    assert os.readlink("PostProcess/sharp") == "../PostProcess/job002/"


# jobs on another disk

@pytest.fixture(params=["relative", "absolute", "type folder"])
def moved(project, request) -> Path:
    """The first job on another disk, with a link; returns where it is."""
    disk = project / "disk"
    disk.mkdir()
    if request.param == "type folder":
        shutil.move("Refine3D", disk)
        os.symlink("../disk/Refine3D", "Refine3D")
        return disk / "Refine3D/job001"
    shutil.move(REFINE, disk)
    os.symlink("../../disk/job001" if request.param == "relative" else disk / "job001", REFINE)
    return disk / "job001"


@pytest.mark.parametrize("trash", ["here", "elsewhere"])
def test_a_moved_job_is_deleted_and_restored_without_loss(moved, project, trash: str) -> None:
    if trash == "elsewhere":
        (project / "shared").mkdir()
        os.symlink(project / "shared", "Trash")
    here, state, link = tree(moved), facts(current_pipeline()), os.path.islink(REFINE) and os.readlink(REFINE)
    for _ in range(2):
        assert main(["delete", "1", "--yes"]) == 0
        assert not os.path.lexists(REFINE)
        assert main(["delete", "1", "--yes"]) == 0  # repeated
        assert main(["undelete", REFINE]) == 0
        assert main(["undelete", REFINE]) == 0
        assert facts(current_pipeline()) == state and tree(f"{REFINE}/") == here
    assert (os.path.islink(REFINE) and os.readlink(REFINE)) == link
    assert main(["delete", "1", "--yes"]) == 0
    assert main(["empty-trash", "--yes"]) == 0
    if link:
        assert {name: value for name, value in tree(moved).items() if name != DELETED_FILE} == here


def test_a_move_of_a_link_that_was_interrupted_is_finished(moved, monkeypatch) -> None:
    """Both links are there then; of a whole type folder the directory itself has moved, by one rename."""
    def kill(path: str | Path) -> None:
        if os.path.islink(path):
            raise KeyboardInterrupt
        unlink(path)

    unlink, here, state = os.unlink, tree(moved), facts(current_pipeline())
    for words in (["delete", "1", "--yes"], ["undelete", REFINE]):
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr("cryosnake.project.cleaning.trash.os.unlink", kill)
            main(words)
        assert main(words) == 0
    assert facts(current_pipeline()) == state and tree(f"{REFINE}/") == here
    assert not os.path.lexists(f"Trash/{REFINE}")


def test_a_moved_job_is_cleaned_where_it_is(moved) -> None:
    here = tree(moved)
    assert main(["clean", "1", "--clear"]) == 0
    assert not (moved / "run_data.star").exists() and Path("Trash", REFINE, "run_data.star").exists()
    assert main(["unclean", "1"]) == 0
    assert tree(moved) == here


def test_a_moved_job_is_rebuilt(moved) -> None:
    before = facts(current_pipeline())
    os.unlink(PIPELINE_FILE)
    assert main(["rebuild-pipeline"]) == 0
    assert facts(current_pipeline()) == before
    assert job_directories(".") == [f"{REFINE}/", f"{POST}/"]
    assert list(records_of(["PostProcess", "Refine3D"])) == [POST, REFINE]


@pytest.mark.parametrize("target", ["../../canary/Refine3D/job003", "../../canary", "../PostProcess/job002"])
def test_a_link_that_is_not_our_job_is_left_alone(project, canary, capsys, target: str) -> None:
    os.symlink(target, "Refine3D/job005")
    write_pipeline(PIPELINE_FILE, add_process(current_pipeline(), Process(
        "Refine3D/job005/", "", "relion.refine3d", 10, status=Status.SUCCEEDED)))
    before = tree(project)
    for words in (["delete", "5"], ["clean", "5", "--clear"], ["clean", "5", "--gentle"]):
        assert main(words) == 1
        assert "it is a link to" in capsys.readouterr().err
    assert tree(project) == before
    assert main(["rebuild-pipeline"]) == 0
    assert "Refine3D/job005/: left out, because it is a link to" in capsys.readouterr().err
    assert current_pipeline().counter == 6 and f"{REFINE}/" in current_pipeline().processes
    assert records_of(["Refine3D"])["Refine3D/job005"] is None


@pytest.mark.parametrize("folder", ["Movies2/job123", "raw/job0456", "session/job777"])
def test_a_folder_of_movies_is_not_a_job(project, folder: str) -> None:
    Path(folder).mkdir(parents=True)
    shutil.copy(f"{REFINE}/job.star", folder)
    assert job_directories(".") == [f"{REFINE}/", f"{POST}/"] and highest_number(".") == 2
    shutil.copy(f"{REFINE}/job_pipeline.star", folder)  # copied from a job: names another directory
    assert highest_number(".") == 2 and rebuild(".").counter == 3


def test_a_job_of_an_unknown_type_names_itself(project) -> None:
    add_job("Plugin", 7, {"map.mrc": MAP})
    assert job_directories(".")[-1] == "Plugin/job007/" and highest_number(".") == 7
    assert read_pipeline(PIPELINE_FILE).counter == 8
