"""RELION's schedules and schemes as config.yaml. The stock preprocessing loop, in the words of 3.1 and of 4/5."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.project.config.config import parse_config
from cryosnake.project.schemes.convert import import_schemes

IMPORT = {"do_raw": "Yes", "is_multiframe": "Yes", "fn_in_raw": "Movies/*.tif", "kV": "200.0", "Cs": "2.7", "Q0": "0.1",
          "angpix": "0.455", "optics_group_name": "opticsGroup1", "fn_mtf": ""}
MOTION = {"input_star_mics": "{root}/importmovies/movies.star", "dose_per_frame": "1.55", "bin_factor": "2",
          "patch_x": "7", "patch_y": "5", "fn_gain_ref": "gain.mrc", "gain_rot": "90 degrees (1)",
          "gain_flip": "No flipping (0)", "do_save_noDW": "Yes", "first_frame_sum": "1",
          "other_args": "--do_at_most $$do_at_most",
          "last_frame_sum": "-1", "fn_defect": "", "nr_mpi": "4"}
CTF = {"input_star_mics": "{root}/motioncorr/corrected_micrographs.star", "resmin": "30", "resmax": "4", "box": "512",
       "dfmin": "5000", "do_phaseshift": "No"}


def star(name: str, columns: dict[str, list[str]]) -> str:
    rows = "\n".join(" ".join(f'"{cell}"' if " " in cell or not cell else cell for cell in row)
                     for row in zip(*columns.values(), strict=True))
    labels = "\n".join(f"_{label} #{number}" for number, label in enumerate(columns, 1))
    return f"\n# version 30001\n\ndata_{name}\n\nloop_\n{labels}\n{rows}\n"


class Folder:
    """Writes a scheme (4/5) or schedule (3.1)."""

    def __init__(self, old: bool, name: str) -> None:
        self.word = "schedule" if old else "scheme"
        self.root = f"{self.word.capitalize()}s/{name}"
        self.path = Path(self.root)
        self.prefix = f"rln{self.word.capitalize()}"
        self.path.mkdir(parents=True)
        self.old = old

    def write(self, variables: dict[str, dict[str, str]], operators: list[str], jobs: dict[str, tuple[int, str, dict]],
              edges: list[str]) -> None:
        p = self.prefix
        text = f"\ndata_{self.word}_general\n\n_{p}Name {self.root}/\n_{p}CurrentNodeName WAIT\n"
        for block, kind in (("floats", "Float"), ("bools", "Boolean"), ("strings", "String")):
            if variables.get(block):
                values = list(variables[block].values())
                text += star(f"{self.word}_{block}", {
                    f"{p}{kind}VariableName": list(variables[block]), f"{p}{kind}VariableValue": values,
                    f"{p}{kind}VariableResetValue": values})
        columns = [row.split() for row in operators]
        text += star(f"{self.word}_operators", {f"{p}Operator{name}": [row[i] for row in columns] for i, name in
                                                enumerate(("Name", "Type", "Output", "Input1", "Input2"))})
        text += star(f"{self.word}_jobs", {f"{p}JobNameOriginal": list(jobs), f"{p}JobName": list(jobs),
                                           f"{p}JobMode": ["continue"] * len(jobs),
                                           f"{p}JobHasStarted": ["0"] * len(jobs)})
        columns = [row.split() for row in edges]
        text += star(f"{self.word}_edges", {f"{p}Edge{name}": [row[i] for row in columns] for i, name in enumerate(
            ("InputNodeName", "OutputNodeName", "IsFork", "OutputNodeNameIfTrue", "BooleanVariable"))})
        (self.path / f"{self.word}.star").write_text(text)
        for job, (number, label, options) in jobs.items():
            (self.path / job).mkdir()
            kind = f"_rlnJobType {number}" if self.old else f"_rlnJobTypeLabel {label}"
            values = [value.replace("{root}", self.root) for value in options.values()]
            (self.path / job / "job.star").write_text(
                f"\ndata_job\n\n{kind}\n_rlnJobIsContinue 0\n" + star("joboptions_values", {
                    "rlnJobOptionVariable": list(options), "rlnJobOptionValue": values}))


def prep(old: bool) -> Path:
    folder = Folder(old, "prep")
    edges = ["WAIT EXIT_maxtime 0 undefined undefined", "EXIT_maxtime importmovies 0 undefined undefined",
             "importmovies motioncorr 0 undefined undefined", "motioncorr ctffind 0 undefined undefined",
             "ctffind WAIT 0 undefined undefined"]
    folder.write({"floats": {"do_at_most": "50.000000", "maxtime_hr": "48.000000", "wait_sec": "180.000000"}},
                 ["EXIT_maxtime exit_maxtime undefined maxtime_hr undefined", "WAIT wait undefined wait_sec undefined"],
                 {"importmovies": (0, "relion.import", IMPORT), "motioncorr": (1, "MotionCorr", MOTION),
                  "ctffind": (2, "relion.ctffind", CTF)}, edges)
    return folder.path


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("old", [True, False], ids=["3.1", "4 and 5"])
def test_the_stock_preprocessing_loop(old, capsys) -> None:
    assert main(["import-schedule", str(prep(old))]) == 0
    raw = yaml.safe_load(Path("config.yaml").read_text())
    assert raw["microscope"] == {"voltage": 200.0, "spherical_aberration": 2.7, "pixel_size": 0.455,
                                 "dose_per_frame": 1.55, "gain": "gain.mrc", "gain_rotation": 90}
    assert raw["batch_size"] == 50
    assert raw["jobs"] == {
        "importmovies": {"type": "import", "movies": "Movies/*.tif"},
        "motioncorr": {"type": "motioncorr", "movies": "importmovies", "patches": [7, 5], "bin_factor": 2.0,
                       "save_unweighted": True},
        "ctffind": {"type": "ctffind", "micrographs": "motioncorr", "resmax": 4.0, "dfmin": 5000.0}}
    assert parse_config(raw).jobs["motioncorr"].parameters()["gain_rotation"] == 90
    assert "timeout 48h cryosnake watch --minutes 3" in Path("config.yaml").read_text()
    assert main(["import-schedule", "Schemes/prep"]) == 1
    assert "config.yaml exists" in capsys.readouterr().err


def test_a_join_takes_the_list_of_the_kind_that_is_switched_on(capsys) -> None:
    join = {"do_part": "Yes", "fn_part1": "{root}/first/particles.star", "fn_part2": "b.star", "fn_part3": "",
            "do_mic": "No", "fn_mic1": "left.star", "fn_mic2": "over.star", "do_mov": "No"}
    value = {"fn_data": "a.star", "do_select_values": "Yes", "select_label": "rlnDefocusU", "select_minval": "0"}
    folder = Folder(False, "joins")
    folder.write({}, [], {"first": (7, "relion.select", value), "both": (13, "relion.joinstar.particles", join)}, [])
    assert main(["import-schedule", str(folder.path)]) == 0
    raw = yaml.safe_load(Path("config.yaml").read_text())
    assert raw["jobs"]["both"] == {"type": "joinstar", "particles": ["first", "b.star"]}


def proc() -> Path:
    """Picking to refinement, started when there are particles enough, the reference from a variable."""
    folder = Folder(False, "proc")
    pick = {"fn_input_autopick": "Schemes/prep/ctffind/micrographs_ctf.star", "do_log": "$$do_log",
            "log_diam_min": "150", "log_diam_max": "180",
            "log_upper_thr": "999", "do_ref3d": "No", "do_refs": "No", "mindist_autopick": "100"}
    cut = {"star_mics": "Schemes/prep/ctffind/micrographs_ctf.star", "coords_suffix": "{root}/autopick/autopick.star",
           "do_reextract": "No", "fndata_reextract": "", "extract_size": "166", "do_rescale": "Yes", "rescale": "48",
           "bg_diameter": "-1", "white_dust": "-1", "other_args": "--something"}
    classes = {"fn_img": "{root}/extract/particles.star", "nr_classes": "100", "do_grad": "Yes", "nr_iter_em": "25",
               "nr_iter_grad": "100", "particle_diameter": "110.0", "psi_sampling": "6"}
    select = {"fn_model": "{root}/class2d/run_it100_optimiser.star", "do_class_ranker": "Yes", "rank_threshold": "0.45",
              "fn_data": "", "do_select_values": "No", "select_label": "x", "do_split": "No", "split_size": "100"}
    model = {"fn_img": "{root}/select_parts/particles.star", "particle_diameter": "200", "sym_name": "D2"}
    refine = {"fn_img": "{root}/select_parts/particles.star", "fn_ref": "$$myref", "ini_high": "40", "sym_name": "D2",
              "particle_diameter": "200", "fn_mask": ""}
    folder.write(
        {"floats": {"wait_sec": "60", "minimum": "5000.000", "nr": "0"}, "bools": {"do_log": "1", "do_3d": "0"},
         "strings": {"parts": f"{folder.root}/select_parts/particles.star", "particles": "particles",
                     "myref": "undefined", "model": f"{folder.root}/inimodel3d/initial_model.mrc"}},
        ["COUNT float=count_images nr parts particles", "CHECK bool=ge do_3d nr minimum",
         "SET string=set myref model undefined", "WAIT wait undefined wait_sec undefined"],
        {"autopick": (4, "relion.autopick", pick), "extract": (5, "Extract", cut),
         "class2d": (8, "relion.class2d", classes), "select_parts": (7, "relion.select", select),
         "inimodel3d": (18, "relion.initialmodel", model),
         "refine3d": (10, "relion.refine3d", refine), "polish": (20, "relion.polish", {})},
        ["WAIT autopick 0 undefined undefined", "autopick extract 0 undefined undefined",
         "extract class2d 0 undefined undefined", "class2d select_parts 0 undefined undefined",
         "select_parts COUNT 0 undefined undefined", "COUNT CHECK 0 undefined undefined",
         "CHECK WAIT 1 inimodel3d do_3d", "inimodel3d SET 0 undefined undefined",
         "SET refine3d 0 undefined undefined", "refine3d WAIT 0 undefined undefined"])
    return folder.path


def test_two_schemes_become_one_config_with_thresholds() -> None:
    imported = import_schemes([prep(False), proc()])
    jobs = imported.config["jobs"]
    assert jobs["autopick"] == {"type": "autopick", "micrographs": "ctffind", "diameter": [150.0, 180.0],
                                "min_distance": 100.0}
    assert jobs["extract"] == {"type": "extract", "micrographs": "ctffind", "coordinates": "autopick", "box_size": 166,
                               "rescale": 48}
    assert jobs["class2d"] | {"type": ""} == {"type": "", "particles": "extract", "classes": 100, "iterations": 100,
                                              "particle_diameter": 110.0, "method": "gradient"}
    assert jobs["select_parts"] == {"type": "select", "particles": "class2d", "model": "class2d", "minimum_score": 0.45}
    assert jobs["inimodel3d"]["at_least"] == jobs["refine3d"]["at_least"] == 5000
    assert jobs["refine3d"]["reference"] == "inimodel3d"
    assert "at_least" not in jobs["class2d"]
    assert "polish" not in jobs
    assert any(note.startswith("polish is left out: polish needs micrographs") for note in imported.notes)
    assert any(note == "extract: additional arguments are left out: --something" for note in imported.notes)
    assert imported.watch == "timeout 48h cryosnake watch --minutes 1"


def test_inputs_from_another_scheme_are_named() -> None:
    notes = import_schemes([proc()]).notes
    assert ("autopick: Schemes/prep/ctffind/micrographs_ctf.star is made by another schedule; import both folders "
            "together") in notes


def test_jobs_that_lack_something_are_left_out_with_what_depends_on_them() -> None:
    folder = prep(False)
    job = folder / "motioncorr/job.star"
    job.write_text(job.read_text().replace("dose_per_frame 1.55", "dose_per_frame None"))
    imported = import_schemes([folder])
    assert list(imported.config["jobs"]) == ["importmovies"]
    assert any(note.startswith("motioncorr is left out: motioncorr needs dose_per_frame") for note in imported.notes)
    assert any(note.startswith("ctffind is left out") for note in imported.notes)


def test_a_folder_without_a_scheme_is_refused() -> None:
    Path("Schemes/empty").mkdir(parents=True)
    with pytest.raises(CryosnakeError, match=r"no scheme\.star or sched"):
        import_schemes([Path("Schemes/empty")])


BLANK = "XXX_SSE_REPLACE_SAMPLE_XXX"


def fill(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


@pytest.mark.parametrize("blank", [BLANK, "<minimum>", "{{minimum}}", "FILL_ME_IN", "nan"])
def test_a_number_that_is_to_be_filled_in_is_named_and_the_rest_imported(blank) -> None:
    fill(proc(), "scheme.star", "5000.000", blank)
    imported = import_schemes([prep(False), Path("Schemes/proc")])
    assert "at_least" not in imported.config["jobs"]["inimodel3d"]
    assert f"number of particles to wait for: fill in a number in place of {blank} in the variable minimum of proc" in (
        imported.notes)


@pytest.mark.parametrize(("name", "old", "note"), [
    ("time between two rounds", "180.000000", "variable wait_sec"),
    ("time after which to stop", "48.000000", "maxtime_hr"), ("batch size", "50.000000", "variable do_at_most")])
def test_times_and_sizes_that_are_to_be_filled_in(name, old, note) -> None:
    fill(prep(False), "scheme.star", old, BLANK)
    imported = import_schemes([Path("Schemes/prep")])
    assert len(imported.config["jobs"]) == 3 and any(line.startswith(name) and note in line for line in imported.notes)


def test_options_that_are_to_be_filled_in_are_left_out_with_their_place(capsys) -> None:
    folder = prep(False)
    fill(folder, "motioncorr/job.star", "fn_gain_ref gain.mrc", f"fn_gain_ref {BLANK}")
    fill(folder, "motioncorr/job.star", "bin_factor 2", "bin_factor $$EM_bin")
    fill(folder, "ctffind/job.star", "resmax 4", "resmax XXX_RES_XXX")
    fill(folder, "ctffind/job.star", "box 512", "box $$nowhere")
    assert main(["import-schedule", "Schemes/prep"]) == 0
    raw = yaml.safe_load(Path("config.yaml").read_text())
    assert "gain" not in raw["microscope"] and set(raw["jobs"]["ctffind"]) == {"type", "micrographs", "dfmin"}
    said = capsys.readouterr().out
    for place in (f"fn_gain_ref, which is {BLANK} in prep/motioncorr/job.star", "resmax, which is XXX_RES_XXX",
                  "bin_factor, which is $$EM_bin in the variable EM_bin of prep", "box, which is $$nowhere"):
        assert f"fill in {place}" in said and f"fill in {place}" in Path("config.yaml").read_text()


def test_a_template_of_which_nothing_is_left_says_what_to_fill_in(capsys) -> None:
    folder = Folder(False, "classify")
    folder.write({"strings": {"parts": BLANK}}, [], {"class2d": (8, "relion.class2d", {
        "fn_img": "$$parts", "particle_diameter": "XXX_DIAMETER_XXX"})}, [])
    assert main(["import-schedule", "Schemes/classify"]) == 1
    said = capsys.readouterr().err
    assert f"class2d: fill in fn_img, which is {BLANK} in the variable parts of classify" in said
    assert "class2d: fill in particle_diameter, which is XXX_DIAMETER_XXX in classify/class2d/job.star" in said
    assert "Traceback" not in said and not Path("config.yaml").exists()
