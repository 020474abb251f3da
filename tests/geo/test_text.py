"""Texts of users in CSV and Markdown."""

import csv
import io

import pytest

from cropmap_jax.geo.text import csv_cell, markdown_cell


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "-2+cmd|' /C'!A0"],
)
def test_what_begins_like_a_formula_is_quoted(text):
    assert csv_cell(text) == f"'{text}"


def test_invisible_characters_hide_no_formula():
    assert csv_cell("\ufeff\u202e\x00=1") == "'=1"


@pytest.mark.parametrize(
    "value", ["-", "", "-3", "+2.5", "-1e-3", "-1,234.5", "-5 %", "گندم", "a=b", "e-mail", -7, 0.5]
)
def test_numbers_dashes_and_names_stay(value):
    assert csv_cell(value) == str(value)


def test_a_cell_survives_the_csv_module():
    file = io.StringIO()
    csv.writer(file).writerow([csv_cell('=HYPERLINK("x","y")'), csv_cell(None), csv_cell("a,b")])
    assert next(csv.reader(io.StringIO(file.getvalue()))) == ['\'=HYPERLINK("x","y")', "", "a,b"]


def test_long_texts_are_cut():
    assert len(csv_cell("x" * 200_000)) == 32_767
    assert markdown_cell("x" * 200_000) == "x" * 199 + "…"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("`code`", r"\`code\`"),
        ("<script>", r"\<script\>"),
        ("[x](javascript:1)", r"\[x\](javascript:1)"),
        ("*.shp", r"\*.shp"),
        ("a\\|b", r"a\\\|b"),
        ("one\n# two\r\n\tthree", "one # two three"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("-", "-"),
        ("-3", "-3"),
        ("1.5 ha. Of", "1.5 ha. Of"),
        ("a_field_2020.shp", "a_field_2020.shp"),
        ("abc\u202edef\x00", "abcdef"),
        ("می\u200cشود", "می\u200cشود"),
        (None, ""),
        (12, "12"),
    ],
)
def test_markdown_stays_text(text, expected):
    assert markdown_cell(text) == expected
