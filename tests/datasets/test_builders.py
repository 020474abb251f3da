"""The builder folders: what each adds to the shared base, and what it says about itself."""

import importlib
import pathlib
import sys

import making
import numpy as np
import pytest
from tensorflow_datasets.core import dataset_metadata

from cropmap_jax.data import cube_builder, dataset, dataset_files
from cropmap_jax.geo import cube_io, legend, splits
from cropmap_jax.geo.sensors import SENTINEL

FOLDER = pathlib.Path(__file__).parents[2] / "datasets"
LEGENDS = {"cubes": making.LEGEND, "eucropmap": legend.EUCROPMAP, "isrc": legend.ISRC}
EVERY = pytest.mark.parametrize("name", LEGENDS)

# As a checkout finds its builders: none of them is importable as part of a package.
sys.path.append(str(FOLDER))


def builder_class(name: str):
    return importlib.import_module(f"{name}.{name}_dataset_builder").Builder


def read(name: str, file: str) -> str:
    return (FOLDER / name / file).read_text(encoding="utf-8")


def test_every_folder_is_tested_and_none_is_a_package_at_the_top():
    assert {p.name for p in FOLDER.iterdir() if (p / "README.md").is_file()} == set(LEGENDS)
    assert not (FOLDER / "__init__.py").exists()


@pytest.fixture(scope="module")
def cubes_of(tmp_path_factory):
    """Function of a builder's name: a folder with one cube of its legend, without field ids."""
    made = {}

    def cubes(name: str) -> pathlib.Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            # 25 fields of 8 x 8 pixels: room for each of 21 classes, none of these and unknown.
            making.make_cubes(made[name], ("train",), size=40, fields=False, legend=LEGENDS[name])
        return made[name]

    return cubes


@EVERY
def test_a_dataset_shows_the_description_and_citation_of_its_folder(name, cubes_of, tmp_path):
    builder, new = cube_builder.build(builder_class(name), "one", cubes_of(name), tmp_path, chip=40)
    assert new and builder.name == name
    # A path relative to the datasets, as `config.dataset` names it.
    data = dataset.open_dataset(tmp_path, f"{name}/one")
    assert data.name == f"{name}/one" and data.legend == LEGENDS[name]
    assert builder.info.description.strip() == read(name, "README.md").strip()
    assert builder.info.citation.strip() == read(name, "CITATIONS.bib").strip()


@EVERY
def test_fields_are_the_connected_parts_of_the_label_except_on_a_map(name, cubes_of, tmp_path):
    cube_builder.build(builder_class(name), "one", cubes_of(name), tmp_path, chip=40)
    record = dataset.open_dataset(tmp_path, f"{name}/one").source("train")[0]
    label = cube_io.read_raw(cubes_of(name) / "train_0").label
    np.testing.assert_array_equal(record["label"], label)
    expected = splits.connected_fields(label)
    assert expected.max() >= len(LEGENDS[name])
    np.testing.assert_array_equal(
        record["fields"], 0 * expected if name == "eucropmap" else expected
    )


@pytest.mark.parametrize(("name", "other"), [("eucropmap", "isrc"), ("isrc", "cubes")])
def test_cubes_of_another_legend_are_refused(name, other, cubes_of, tmp_path):
    found = LEGENDS[other].name
    message = f"train_0: dataset '{name}' expects legend '{name}', found '{found}'; use --dataset"
    with pytest.raises(ValueError, match=message):
        cube_builder.build(builder_class(name), "one", cubes_of(other), tmp_path, chip=40)
    with pytest.raises(ValueError, match="expected a dataset, found none"):
        dataset.open_dataset(tmp_path, f"{name}/one")


@EVERY
def test_the_readme_documents_every_feature(name):
    text = read(name, "README.md")
    for feature in dataset_files.features(16, SENTINEL):
        assert f"`{feature}`" in text, feature
    for section in ("## Build", "## A record", "## Splits", "## Licence"):
        assert section in text
    assert f"--dataset {name}" in text


def test_the_readmes_list_the_classes_in_order():
    text = " ".join(read("eucropmap", "README.md").split())
    named = [f"{c.title.lower()} {c.code}" for c in legend.EUCROPMAP.classes]
    named[17] = "fodder crops 250"  # without "(cereals and leguminous)"
    assert ", ".join(named) in text
    for code in legend.EUCROPMAP.none_of_these:
        assert str(code) in text
    text = " ".join(read("isrc", "README.md").split())
    assert ", ".join(c.title.lower() for c in legend.ISRC.classes) in text


@EVERY
def test_tags_are_ones_that_tfds_knows_and_braces_of_the_citation_close(name):
    metadata = dataset_metadata.load(builder_class(name)._get_pkg_dir_path())
    assert metadata.tags
    assert set(metadata.tags) <= set(dataset_metadata.valid_tags())
    assert metadata.citation.count("{") == metadata.citation.count("}")


def test_papers_are_cited_by_their_identifier():
    assert "10.1016/j.rse.2021.112708" in read("eucropmap", "CITATIONS.bib")
    assert "moienr/CropMapping" in read("isrc", "CITATIONS.bib")
    assert read("cubes", "CITATIONS.bib") == ""
