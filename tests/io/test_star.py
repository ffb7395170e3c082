"""STAR files come back as they were written, keep what they do not understand, and refuse what is broken."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosnake.errors import CryosnakeError
from cryosnake.io import star as star_reader
from cryosnake.io.star import optics_of, read_star, read_table, write_star
from cryosnake.io.star_rows import count_rows
from cryosnake.pipeline.star_text import read_blocks

TEXT = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="'"), max_size=20
)
REAL = st.floats(min_value=-1e30, max_value=1e30)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, REAL, st.integers(0, 2**64 - 1)), min_size=1, max_size=8))
def test_what_was_written_is_read(rows: list[tuple[str, float, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("star") / "a.star"
    names, numbers, uids = (list(column) for column in zip(*rows, strict=True))
    table = pd.DataFrame({"rlnMicrographName": names, "rlnDefocusU": numbers, "csUid": np.array(uids, np.uint64)})
    write_star(path, {"particles": table})
    back = read_star(path)["particles"]
    assert back["rlnMicrographName"].tolist() == names
    assert back["csUid"].tolist() == uids
    # six decimals between 0.001 and 100,000, else seven significant digits
    np.testing.assert_allclose(back["rlnDefocusU"], numbers, rtol=5.1e-7, atol=5.1e-7)


def read_text(path: Path, text: str) -> dict[str, pd.DataFrame]:
    path.write_text(text)
    return read_star(path)


LOOSE = """# a comment before everything

data_optics # of two groups
loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName
1 one
2\t"the second"

data_particles
# a comment
loop_
# another
_rlnImageName #1
_rlnDefocusU #2
_rlnAngleRot #3
_rlnClassNumber #4
_rlnCommentLike #5
000001@a.mrcs 10000 nan 1 5'-end
  # between rows
000002@data_b.mrcs -1e4 inf 2 'a "b" c'   # after the row

000003@c#1.mrcs 3 1 3 ""
data_general
_rlnNothing ""
_rlnMicrographMovieName "my movie.tif" # with a blank
_rlnImageSizeX 3838
"""


def test_what_others_write_is_read(tmp_path: Path) -> None:
    tables = read_text(tmp_path / "a.star", LOOSE)
    assert list(tables) == ["optics", "particles", "general"]
    assert tables["optics"]["rlnOpticsGroupName"].tolist() == ["one", "the second"]
    particles = tables["particles"]
    assert particles["rlnImageName"].tolist() == ["000001@a.mrcs", "000002@data_b.mrcs", "000003@c#1.mrcs"]
    assert particles["rlnDefocusU"].tolist() == [10000.0, -10000.0, 3.0]
    assert particles["rlnDefocusU"].dtype == np.float64
    assert np.isnan(particles["rlnAngleRot"][0]) and particles["rlnAngleRot"][1] == np.inf
    assert particles["rlnClassNumber"].dtype == np.int64
    assert particles["rlnCommentLike"].tolist() == ["5'-end", 'a "b" c', ""]
    assert tables["general"].to_dict("records") == [
        {"rlnNothing": "", "rlnMicrographMovieName": "my movie.tif", "rlnImageSizeX": 3838}
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "a.star"
    path.write_bytes(LOOSE.replace("\n", newline).encode())
    assert len(read_star(path)["particles"]) == 3


@pytest.mark.parametrize(
    ("label", "values", "expected"),
    [
        ("rlnOpticsGroupName", ["1", "2"], ["1", "2"]),  # RELION's text labels stay text
        ("rlnGroupName", ["NA", "None"], ["NA", "None"]),
        ("rlnDefocusU", ["1", "2"], [1.0, 2.0]),  # and its reals are reals
        ("rlnClassNumber", ["1.000000", "-2.000000"], [1, -2]),
        ("rlnClassNumber", ["1.5", "2.000000"], [1.5, 2.0]),
        ("rlnDefocusU", ["1.5", "None"], ["1.5", "None"]),
        ("csUid", ["9223372036854775807", "-1"], [9223372036854775807, -1]),
        ("csUid", ["18446744073709551615", "0"], [18446744073709551615, 0]),
        ("csUid", ["18446744073709551616", "1"], ["18446744073709551616", "1"]),
        ("mySession", ["20170629_00021", "20170629_00022"], ["20170629_00021", "20170629_00022"]),
        ("myGrid", ["001", "002"], ["001", "002"]),
        ("myWord", ["nan", "nan"], ["nan", "nan"]),
        ("myScore", ["nan", "1.5"], [None, 1.5]),
        ("myMixed", ["1", "a"], ["1", "a"]),
    ],
)
def test_types_of_columns(tmp_path: Path, label: str, values: list[str], expected: list[object]) -> None:
    text = f"data_\nloop_\n_{label}\n" + "\n".join(values) + "\n"
    column = read_text(tmp_path / "a.star", text)[""][label]
    got = [None if isinstance(value, float) and np.isnan(value) else value for value in column.tolist()]
    assert got == expected
    assert [type(value) for value in got] == [type(value) for value in expected]


FIELDS = {
    "rlnDefocusU": ["1", "-2.5e3", "0.1", "nan", "inf", "x"], "rlnClassNumber": ["1", "-2", "2.0", "None"],
    "rlnGroupName": ["NA", "null", "001", "1", "True", "é"], "csUid": ["18446744073709551615", "5", "1_0"],
    "myScore": ["1.5", "nan", "007", "1e400"],
}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fast_and_careful_reading_agree(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A quote in a second table sends the same rows through the careful reader."""
    choices = {label: data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
               for label, values in FIELDS.items()}
    rows = [[some[row % len(some)] for some in choices.values()] for row in range(star_reader._FEW_ROWS + 5)]
    body = "loop_\n" + "".join(f"_{label}\n" for label in FIELDS)
    body += "".join(" ".join(row) + " \n" for row in rows) + " \n"
    tables = read_text(tmp_path_factory.mktemp("star") / "a.star", f"data_a\n{body}data_b\n{body}# 'careful'\n")
    pd.testing.assert_frame_equal(tables["a"], tables["b"])


def test_short_row_of_a_long_table(tmp_path: Path) -> None:
    rows = ["1 2"] * 500
    rows[300] = "1"
    with pytest.raises(CryosnakeError, match="line 305, in data_a: the row has 1 fields for 2"):
        read_text(tmp_path / "a.star", "data_a\nloop_\n_x\n_y\n" + "\n".join(rows))


def test_one_column_of_many_rows_turns_to_text(tmp_path: Path) -> None:
    """The reader converts 65,536 rows at a time; a word in a later part makes text of the whole column."""
    rows = ["1"] * 70000 + ["None"]
    column = read_text(tmp_path / "a.star", "data_\nloop_\n_rlnClassNumber\n" + "\n".join(rows))[""]["rlnClassNumber"]
    assert column.tolist() == rows


def test_layout_and_number_formats_are_relions(tmp_path: Path) -> None:
    table = pd.DataFrame({
        "rlnImageName": ["1@a b.mrcs", "", "m.mrc"], "rlnDefocusU": [12345.678901, -0.0005, 123456.789],
        "rlnClassNumber": [1.0, 2.0, 3.0], "rlnVoltage": [300, 200, 100], "rlnIsFlip": [True, False, True],
    })
    path = tmp_path / "a.star"
    write_star(path, {"optics": {"rlnOpticsGroup": 1, "rlnMtfFileName": "", "rlnVoltage": 300}, "particles": table})
    assert path.read_text() == (
        "\n# version 30001\n\ndata_optics\n\n"
        "_rlnOpticsGroup                                      1\n"
        '_rlnMtfFileName                                     ""\n'
        "_rlnVoltage                                 300.000000\n"
        " \n"
        "\n# version 30001\n\ndata_particles\n\nloop_ \n"
        "_rlnImageName #1 \n_rlnDefocusU #2 \n_rlnClassNumber #3 \n_rlnVoltage #4 \n_rlnIsFlip #5 \n"
        '"1@a b.mrcs" 12345.678901            1   300.000000            1 \n'
        '        "" -5.000000e-04            2   200.000000            0 \n'
        "     m.mrc 1.234568e+05            3   100.000000            1 \n"
        " \n"
    )


@pytest.mark.parametrize(
    "value", ["", "a b", "#1", "_a", "data_x", "loop_", ";", '"', "'", '"a b"', "a\tb", "x'y z", "é"]
)
def test_awkward_text(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.star"
    write_star(path, {"p": pd.DataFrame({"rlnImageName": [value, "x"]}), "q": {"rlnImageName": value}})
    tables = read_star(path)
    assert tables["p"]["rlnImageName"].tolist() == [value, "x"]
    assert tables["q"]["rlnImageName"].tolist() == [value]


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a 'b' \"c\""])
def test_text_that_star_cannot_hold(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.star"
    path.write_text("what was there")
    with pytest.raises(CryosnakeError, match=r"a\.star.*rlnImageName.*cannot contain"):
        write_star(path, {"particles": {"rlnImageName": value}})
    assert path.read_text() == "what was there"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.star"]


def test_what_early_relion_wrote(tmp_path: Path) -> None:
    """A tab inside a text, and a remark behind the table: relion31_project_bgal has both."""
    text = "data_a\n\nloop_ \n_x #1 \n_y #2 \n         1 STAR__\t__files \n \n kk= 3 ii= 4 jj= 5\n\n"
    assert read_text(tmp_path / "a.star", text)["a"].to_dict("records") == [{"x": 1, "y": "STAR__\t__files"}]
    with pytest.raises(CryosnakeError, match="line 7"):
        read_text(tmp_path / "a.star", text.replace(" \n kk", "kk"))


MICS = "data_micrographs\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\n_rlnDefocusU #3\n"


@pytest.mark.parametrize(("late", "names"), [
    ("\nb.mrc 1 9000\n", ["a.mrc", "b.mrc"]),  # RELION would not read it
    ("\n\n \t\n# a comment\n  b.mrc 1 9000 # with one\n", ["a.mrc", "b.mrc"]),
    ("\nTo leave the list, follow this link:\nhttps://lists.example.org/leave?A=1\n", ["a.mrc"]),
    ("\nTo leave it\n", ["a.mrc"]),  # three words, as many as columns
    (" \nwritten by a script\n\nb.mrc 1 9000\n", ["a.mrc", "b.mrc"]),
    ("\nb.mrc 1 None\n", ["a.mrc", "b.mrc"]),  # a damaged row stays one
])
def test_rows_and_remarks_behind_the_blank_line_that_ends_a_table(tmp_path: Path, late: str, names: list[str]) -> None:
    for label in ("rlnDefocusU", "myNumber"):  # of a column that RELION does not know the values decide
        text = f"{MICS}a.mrc 1 12000\n{late}".replace("rlnDefocusU", label)
        assert read_text(tmp_path / "a.star", text)["micrographs"]["rlnMicrographName"].tolist() == names
        if "To leave it" not in late:
            assert count_rows(tmp_path / "a.star") == len(names)


@pytest.mark.parametrize(("rows", "line"), [
    ("\nmy dir/a.mrc 1 12000\n", 8), ("a.mrc 1 12000\n\nb.mrc 1\n", 9), ("a.mrc 1 12000\n\nmy b.mrc 1 9000\n", 9),
    ("a.mrc 1 12000\n\nb.mrc\n", 9), ("a.mrc 1 12000\n\nb.mrc 1 9000 30\n", 9), ("a.mrc 1\n", 7),
    ("a.mrc 1 12000\n\nloop_\n_rlnVoltage\n300\n", 9),
])
def test_a_damaged_row_is_an_error_wherever_it_stands(tmp_path: Path, rows: str, line: int) -> None:
    with pytest.raises(CryosnakeError, match=rf"a\.star, line {line}, in data_micrographs"):
        read_text(tmp_path / "a.star", MICS + rows)


@pytest.mark.parametrize("late", ["9", "0.75 0.2 0.1", "0.75 n/a"])
def test_numbers_behind_a_table_of_numbers_are_not_passed_over(tmp_path: Path, late: str) -> None:
    text = f"data_mtf\nloop_\n_rlnResolutionInversePixel\n_rlnMtfValue\n0.0 1.0\n0.5 0.4\n\n{late}\n"
    if late.endswith("n/a"):
        assert len(read_text(tmp_path / "a.star", text)["mtf"]) == 3
    else:
        with pytest.raises(CryosnakeError, match=r"line 8, in data_mtf: the row has"):
            read_text(tmp_path / "a.star", text)


def test_text_behind_a_list(tmp_path: Path) -> None:
    text = "data_general\n\n_rlnFinalResolution 3.0\n\nmade on a Tuesday\nby hand\n"
    assert read_text(tmp_path / "a.star", text)["general"].to_dict("records") == [{"rlnFinalResolution": 3.0}]
    with pytest.raises(CryosnakeError, match=r"line 5.*'rlnVoltage' where a label"):
        read_text(tmp_path / "a.star", text.replace("made", "rlnVoltage"))


ODD = ("# M\u00fcller's\n\n data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName\n1 M\u00fcller\n\n"
       "\tdata_p # x\n_rlnA 1\n")


@pytest.mark.parametrize("data", [
    ODD.encode(), ODD.encode("utf-8-sig"), ODD.encode("latin-1"), ODD.encode("utf-16"),
    ODD.replace("\n", "\r\n").encode("utf-8-sig"),
    ODD.replace(" data_optics", "\ufeffdata_optics").encode()], ids=["8", "mark", "latin", "16", "windows", "joined"])
def test_text_of_other_editors(tmp_path: Path, data: bytes) -> None:
    """Byte order marks (also of files joined by `cat`), Latin-1, UTF-16, blanks before data_: RELION reads them."""
    (tmp_path / "a.star").write_bytes(data)
    tables = read_star(tmp_path / "a.star")
    assert list(tables) == ["optics", "p"] and tables["optics"]["rlnOpticsGroupName"].tolist() == ["M\u00fcller"]
    if not data.startswith(b"\xff"):  # not UTF-16
        assert list(read_blocks(tmp_path / "a.star")) == ["optics", "p"]
        assert count_rows(tmp_path / "a.star", ["optics"]) == 1


@pytest.mark.parametrize(("name", "words"), [
    ("a.cs", "cryoSPARC's tables have to be converted"), ("a.mrcs", "it holds images. Give the STAR file that lists"),
    ("a.star", r"not text\)\.")])
def test_files_that_are_given_in_place_of_a_star_file(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"\x93NUMPY\x01\0" + bytes(2000))
    with pytest.raises(CryosnakeError, match=words):
        read_star(tmp_path / name)


def test_missing_text_and_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    write_star(path, {"p": pd.DataFrame({"rlnGroupName": ["a", None]}), "q": pd.DataFrame({"rlnImageName": []})})
    tables = read_star(path)
    assert tables["p"]["rlnGroupName"].tolist() == ["a", "None"]
    assert list(tables["q"].columns) == ["rlnImageName"] and len(tables["q"]) == 0


GOOD = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnVoltage\n1 300\n2 200\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("", "no data block"),
        ("\0\1\2", "no data block"),
        (GOOD[:-5], r"line 6, in data_optics: the row has 1 fields for 2 labels.*cut off"),
        (GOOD + "3 1 2\n", r"line 7.*3 fields for 2"),
        (GOOD + "data_optics\n_a 1\n", "appears twice"),
        ("data_optics\nloop_\n_a\n_a\n1 2\n", "the same label twice"),
        ("data_optics\n_rlnVoltage\n", "line 2.*has no value"),
        ("data_optics\n_rlnVoltage 1 2\n", "line 2.*more than one value"),
        ("data_optics\n300 1\n", "line 2.*where loop_ or a label is expected"),
        ("data_optics\n_rlnVoltage 1\nloop_\n", "line 3.*where a label is expected"),
    ],
)
def test_broken_files_name_file_and_place(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "bad.star"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CryosnakeError, match=r"(?s)bad\.star.*" + message):
        read_table(path, "optics")


def test_binary_is_no_star_file(tmp_path: Path) -> None:
    (tmp_path / "a.star").write_bytes(b"data_\xff\xfe\n")
    with pytest.raises(CryosnakeError, match="not a STAR file"):
        read_star(tmp_path / "a.star")


def test_what_a_table_must_have(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    path.write_text(GOOD)
    assert read_table(path, "micrographs", ["rlnVoltage"])["rlnVoltage"].tolist() == [300.0, 200.0]
    with pytest.raises(CryosnakeError, match=r"a\.star: data_optics lacks .* rlnSphericalAberration; it has rln"):
        read_table(path, "optics", ["rlnVoltage", "rlnSphericalAberration"])
    path.write_text(GOOD + "data_particles\nloop_\n_rlnImageName\n")
    with pytest.raises(CryosnakeError, match="no block data_micrographs, only data_optics, data_particles"):
        read_table(path, "micrographs")
    with pytest.raises(CryosnakeError, match="data_particles has no rows"):
        read_table(path, "particles")


def test_optics_rows(tmp_path: Path) -> None:
    tables = read_text(tmp_path / "a.star", GOOD)
    assert optics_of(tables) == {
        1: {"rlnOpticsGroup": 1, "rlnVoltage": 300.0},
        2: {"rlnOpticsGroup": 2, "rlnVoltage": 200.0},
    }
    assert optics_of({}) == {}
    with pytest.raises(CryosnakeError, match="twice"):
        optics_of(read_text(tmp_path / "b.star", GOOD + "2 100\n"))
    with pytest.raises(CryosnakeError, match="lacks the column rlnOpticsGroup"):
        optics_of(read_text(tmp_path / "c.star", "data_optics\n_rlnVoltage 300\n"))


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match="cannot be written"):
        write_star(tmp_path / "none" / "a.star", {"a": {"b": 1}})
