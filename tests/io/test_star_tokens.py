"""Fields of a line of STAR text: quotes that close, and rows of quotes that do not, in time in proportion to length."""

from __future__ import annotations

import time

import pytest

from cryosnake.star_tokens import fields


@pytest.mark.parametrize(("line", "found"), [
    ('a "b c" d', ["a", "b c", "d"]), ("'b c' \"d 'e' f\"", ["b c", "d 'e' f"]), ("5'-end 'x'", ["5'-end", "x"]),
    ('"a"b" c', ['a"b', "c"]), ('"a b', ['"a', "b"]), ('a "" b', ["a", "", "b"]), ('x "y "z', ["x", '"y', '"z']),
    ("\" ' \"", [" ' "]), ('a"b c"', ['a"b', 'c"']), ('"a\u00a0b" é', ["a\u00a0b", "é"])])
def test_quotes(line: str, found: list[str]) -> None:
    assert fields(line) == found


@pytest.mark.parametrize(("line", "found"), [
    ("a # b", ["a"]), ("a#b 'c # d' # e", ["a#b", "c # d"]), ('"# a" b', ["# a", "b"]), ("# 'a", [])])
def test_comments(line: str, found: list[str]) -> None:
    assert fields(line, comments=True) == found


@pytest.mark.parametrize("line", ['"a ' * 40_000, "'" * 160_000, ' "' * 80_000 + "x", '"a ' * 40_000 + "'"])
def test_a_row_of_unclosed_quotes_is_read_at_once(line: str) -> None:
    begin = time.process_time()
    fields(line)
    assert time.process_time() - begin < 1  # 25 s by the square of the length
