"""Which classes of one legend are classes of another."""

import pytest

from cropmap_jax.geo import crosswalk
from cropmap_jax.geo.legend import EUCROPMAP, ISRC, Legend, make_class

OWN = Legend("own", (make_class(0, 1, "Weizen", "", ""), make_class(1, 2, "Mais", "", "")))


def test_every_class_of_the_competition_has_one_of_the_map():
    found = crosswalk.find("built_in", EUCROPMAP, ISRC, "here")
    assert sorted(found) == list(range(8))
    names = {ISRC.names[i]: EUCROPMAP.names[j] for i, j in found.items()}
    assert names["canola"] == "rapeseed" and names["pea"] == names["lentils"] == "dry_pulses"


def test_classes_of_the_same_legend_are_their_own():
    assert crosswalk.find("built_in", ISRC, ISRC, "here") == {i: i for i in range(8)}


def test_a_file_names_its_own(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("from,class,note\nMaize,Mais,the same\ncommon_wheat,weizen,part of it\n")
    assert crosswalk.find(str(file), EUCROPMAP, OWN, "here") == {1: 5, 0: 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,from\nMais,mais\n", "own.csv: crop 'mais' is not in legend 'eucropmap'"),
        ("class,from\nMays,maize\n", "own.csv: crop 'Mays' is not in legend 'own'"),
        ("class,from\nMais,maize\nMais,soya\n", "line 3: expected Mais once, found it again"),
        ("class,from\nMais,maize\nmais,soya\n", "own.csv: expected mais once, found it again"),
        ("class,from\nMais,\n", "line 2: expected two classes, found"),
        ("class,from\n", "expected a line for some class, found none"),
        ("new,old\nMais,maize\n", "expected the columns class, from, found new, old"),
        ("", "expected the columns class, from, found none"),
    ],
)
def test_a_bad_table_costs_one_line(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(ValueError, match="^--config.crosswalk .*" + message):
        crosswalk.find(str(tmp_path / "own.csv"), EUCROPMAP, OWN, "--config.crosswalk")


def test_a_missing_file_and_legends_without_a_table_cost_one_line(tmp_path):
    with pytest.raises(ValueError, match="^here .*none.csv: expected a CSV file, found none"):
        crosswalk.find(str(tmp_path / "none.csv"), EUCROPMAP, OWN, "here")
    with pytest.raises(ValueError, match="^here: expected a CSV .* eucropmap to own"):
        crosswalk.find("built_in", EUCROPMAP, OWN, "here")
