import re
import time
from pathlib import Path

import pytest
import starfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.star_text import (
    Block,
    format_blocks,
    listing,
    loop,
    parse_blocks,
    quote,
    read_blocks,
    write_blocks,
)
from cryosnake.star_tokens import fields

# Everything a user can type into an option, except what no STAR file can hold (line breaks, both quotes).
CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters='"')
TEXT = st.text(CHARACTERS, max_size=12)
LABEL = st.from_regex(r"rln[A-Za-z0-9]{1,12}", fullmatch=True)
NAME = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    labels = tuple(draw(st.lists(LABEL, min_size=1, max_size=4, unique=True)))
    row = st.tuples(*[TEXT] * len(labels))
    if draw(st.booleans()):
        return Block(labels, [draw(row)], True, 30001)
    return Block(labels, draw(st.lists(row, min_size=1, max_size=5)), False, 30001)


@given(st.dictionaries(NAME, blocks(), min_size=1, max_size=3))
def test_what_is_written_is_read_again(tables: dict[str, Block]) -> None:
    assert parse_blocks(format_blocks(tables)) == tables


@given(st.dictionaries(NAME, blocks(), min_size=1, max_size=2))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_file_round_trip(tmp_path: Path, tables: dict[str, Block]) -> None:
    write_blocks(tmp_path / "a.star", tables)
    assert read_blocks(tmp_path / "a.star") == tables
    assert [path.name for path in tmp_path.iterdir()] == ["a.star"]  # no temporary file stays


def test_starfile_reads_what_we_write(tmp_path: Path) -> None:
    write_blocks(tmp_path / "a.star", {"job": listing({"rlnJobType": "1", "rlnNote": "two words"}),
                                       "t": loop(("rlnA", "rlnB"), [("1", ""), ("2", "x y"), ("3", "z")])})
    tables = starfile.read(tmp_path / "a.star", parse_as_string=["rlnB"])
    assert tables["job"] == {"rlnJobType": 1, "rlnNote": "two words"}
    assert list(tables["t"]["rlnB"]) == ["", "x y", "z"]


def test_reads_what_relion_accepts() -> None:
    text = ("# made by hand\ndata_general\n_rlnA 1 # one\n_rlnB 'it''s \"it\"'\n\n"
            "data_rows\nloop_\n_rlnC\n_rlnD # second\n"
            "  a\tb\n# a comment between rows\n\n\"c d\" \"\"\nloop_like data_like\n")
    tables = parse_blocks(text)
    assert tables["general"] == Block(("rlnA", "rlnB"), [("1", "it''s \"it\"")], True)
    assert tables["rows"].rows == [("a", "b"), ("c d", ""), ("loop_like", "data_like")]


def test_a_no_break_space_is_part_of_a_name() -> None:
    name = "Movies/a\u00a0b.tif"
    assert parse_blocks(f"data_a\nloop_\n_rlnA\n_rlnB\n{name} 1\n")["a"].rows == [(name, "1")]


def test_version_belongs_to_the_next_block_only() -> None:
    tables = parse_blocks("# version 50001\ndata_a\n_rlnX 1\n\ndata_b\n_rlnX 1\n")
    assert (tables["a"].version, tables["b"].version) == (50001, 0)


def test_first_of_two_blocks_of_one_name_counts() -> None:
    assert parse_blocks("data_a\n_rlnX 1\n\ndata_a\n_rlnX 2\n")["a"].value("rlnX") == "1"


def test_empty_tables_are_not_written() -> None:
    assert format_blocks({"a": loop(("rlnA",), [])}) == ""


@pytest.mark.parametrize("value", ["", "a b", "#x", "'x", '"x', "_x", "data_x", "loop_", ";x", "it's", "tab\tin"])
def test_awkward_values_survive(value: str) -> None:
    table = {"t": loop(("rlnA", "rlnB"), [(value, "end")])}
    assert parse_blocks(format_blocks(table))["t"].rows == [(value, "end")]


@pytest.mark.parametrize("value", ["a\nb", "a\" ' b\" ' c"])
def test_impossible_values_are_refused(value: str) -> None:
    with pytest.raises(CryosnakeError, match="cannot be written to a STAR file"):
        quote(value)


@pytest.mark.parametrize(("text", "message"), [
    ("data_a\nloop_\n_rlnA\n_rlnB\n1 2 3\n", r"x\.star, line 5: 3 values .* has 2 columns"),
    ("data_a\n_rlnA\n", r"x\.star, line 2: _rlnA needs exactly one value"),
    ("hello\n", r"x\.star, line 1: .*not a STAR file"),
    ("data_a\n1 2\n", r"line 2: 2 values in a row of block data_a, which has 0 columns"),
])
def test_bad_files_are_named_with_their_line(text: str, message: str) -> None:
    with pytest.raises(CryosnakeError, match=message):
        parse_blocks(text, "x.star")


def test_a_bad_block_that_is_not_asked_for_does_no_harm() -> None:
    text = "data_good\n_rlnA 1\n\ndata_bad\nloop_\n_rlnA\n1 2\n"
    assert parse_blocks(text, names=["good"])["good"].value("rlnA") == "1"


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match=r"no\.star: cannot be read: No such file"):
        read_blocks(tmp_path / "no.star")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    write_blocks(path, {"a": listing({"rlnA": "old"})})
    with pytest.raises(CryosnakeError):
        write_blocks(path, {"a": listing({"rlnA": "new\nline"})})
    assert read_blocks(path)["a"].value("rlnA") == "old"
    with pytest.raises(CryosnakeError, match=r"cannot be written: No such file or directory\. Make the folder"):
        write_blocks(tmp_path / "absent" / "a.star", {"a": listing({"rlnA": "1"})})


@pytest.mark.parametrize("line", ['"a ' * 40_000, "'" * 120_000, '" ' * 60_000 + "x", "'a \"b " * 30_000,
                                  '"a"b' * 30_000])
def test_a_long_line_of_quotes_takes_no_time(line: str) -> None:
    start = time.process_time()
    assert sum(map(len, fields(line))) > 0
    assert time.process_time() - start < 1.0


@given(st.text("\"'# ab\t\u00a0", max_size=14), st.booleans())
@settings(max_examples=300, deadline=None)
def test_fields_are_those_of_the_rule_for_quotes(line: str, comments: bool) -> None:
    """The rule as one pattern, which takes quadratic time."""
    pattern = re.compile(r"""(?<!\S)(?:"(.*?)"|'(.*?)')(?=\s|$)|(\S+)""", re.ASCII)
    expected = []
    for double, single, bare in pattern.findall(line):
        if comments and bare.startswith("#"):
            break
        expected.append(double or single or bare)
    if not line.isascii() or set(line) & {'"', "'"}:
        assert fields(line, comments=comments) == expected
