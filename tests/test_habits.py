"""What is written in two places says the same in both."""

import configparser
import pathlib
import re

import yaml

import cropmap_jax

ROOT = pathlib.Path(__file__).resolve().parents[1]


def read(path: str):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version():
    citation = read("CITATION.cff")
    assert citation["version"] == cropmap_jax.__version__
    # Required by https://github.com/citation-file-format/citation-file-format, version 1.2.0.
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[(\S+)\]", text, re.M)[1] == cropmap_jax.__version__


def test_commits_are_checked_with_the_ruff_that_the_tests_use():
    hooks = {
        repo["repo"].rpartition("/")[2]: repo for repo in read(".pre-commit-config.yaml")["repos"]
    }
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"\nruff=={hooks['ruff-pre-commit']['rev'].removeprefix('v')}\n" in pins


def test_workflows_run_every_python_that_the_package_names():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    assert (
        read(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"] == named
    )


def test_workflows_call_targets_that_there_are():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        for target in re.findall(r"make ([a-z-]+)", file.read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.M), f"{file.name}: make {target}"
