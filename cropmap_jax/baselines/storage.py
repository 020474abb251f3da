"""Kept baselines on disk: a workdir with `baseline/`, written whole or not at all.

    WORKDIR/baseline/baseline.json   recipe, config, ground trained on, SHA-256 of all of it
    WORKDIR/baseline/model.skops     the classifier, in the format of skops

There is no pickle: skops builds objects of scikit-learn's own types from a description and arrays,
and of no others. What is read is compared with its SHA-256 first; then types, sizes and the links
of trees are checked, since compiled code follows them without looking.
"""

import hashlib
import json
import os
import pathlib
import zipfile
from typing import Any

import sklearn

from cropmap_jax.baselines import model_checks
from cropmap_jax.baselines.kept import FOLDER as FOLDER
from cropmap_jax.baselines.kept import Kept, folder
from cropmap_jax.baselines.recipe import BaselineRecipe
from cropmap_jax.baselines.skops_io import skops
from cropmap_jax.data import checks
from cropmap_jax.geo import files
from cropmap_jax.training import train_config

META, MODEL = "baseline.json", "model.skops"
STAGE = "baseline"
_PARTS = ("format", "recipe", "config", "dataset", "cubes", "unseen_bands", "trained", "sha256")
_FORMAT = 1


def save(
    workdir: str | os.PathLike[str],
    model: Any,
    recipe: BaselineRecipe,
    meta: dict[str, Any],
) -> None:
    """Writes a baseline.

    Args:
      workdir: the run's folder.
      model: the classifier.
      recipe: what it needs to be used.
      meta: JSON-ready: config, dataset (its fingerprint), cubes (`Dataset.ground`), unseen_bands
        and trained.

    Raises:
      OSError: no space or no permission; nothing is left behind then.
    """
    versions = {"scikit-learn": sklearn.__version__, "skops": skops.__version__}
    trained = meta["trained"] | {"versions": versions}
    whole = {"format": _FORMAT, "recipe": recipe.to_json()} | meta | {"trained": trained}
    whole = json.loads(json.dumps(whole))  # as it will be read
    folder(workdir).parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(folder(workdir)) as part:
        part.mkdir()
        # Nodes of trees, most of a forest, shrink to a quarter.
        skops.io.dump(model, part / MODEL, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        digests = {"model": _digest_of_file(part / MODEL), "meta": _digest(whole)}
        text = json.dumps(whole | {"sha256": digests}, indent=1)
        files.write_synced(part / META, text.encode())


def load(workdir: str | os.PathLike[str]) -> Kept:
    """Reads a baseline.

    Raises:
      ValueError: names the file that is missing, damaged or not what was written; nothing in it is
        run.
    """
    where = folder(workdir)
    meta = read_meta(workdir)
    file = where / MODEL
    try:
        found = _digest_of_file(file)
    except OSError as error:
        raise ValueError(
            f"{file}: expected the model of a baseline, found none ({error.strerror or error})"
        ) from error
    if found != meta["sha256"]["model"]:
        raise ValueError(
            f"{file}: expected SHA-256 {meta['sha256']['model']}, found {found}; expected the "
            f"file that was written: copy it again, or train again in another --workdir"
        )
    recipe = BaselineRecipe.from_json(meta["recipe"])
    model = model_checks.read(file, recipe, _versions(meta))
    return Kept(
        params={},
        batch_stats={},
        recipe=recipe,
        config=meta["config"],
        step=0,
        stage=STAGE,
        dataset=meta["dataset"],
        cubes=tuple(meta["cubes"]),
        model=model,
        digest=found,
        unseen_bands=meta["unseen_bands"],
        trained=meta["trained"],
    )


def read_meta(workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """What is written next to the model, checked.

    Raises:
      ValueError: names the file and what is wrong with it.
    """
    file = folder(workdir) / META
    try:
        meta: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        checks.keys("meta", meta, _PARTS)
        checks.choice("meta.format", meta["format"], (_FORMAT,))
        checks.keys("meta.sha256", meta["sha256"], ("model", "meta"))
        found = _digest({name: value for name, value in meta.items() if name != "sha256"})
        if found != meta["sha256"]["meta"]:
            raise ValueError(
                f"expected SHA-256 {checks.shown(meta['sha256']['meta'])}, found {found}"
            )
        for name in ("config", "unseen_bands", "trained"):
            if not isinstance(meta[name], dict):
                raise ValueError(f"meta.{name}: expected a dict, found {checks.shown(meta[name])}")
        checks.text("meta.dataset", meta["dataset"])
        checks.text("meta.sha256.model", meta["sha256"]["model"])
        checks.values("meta.cubes", meta["cubes"])
        BaselineRecipe.from_json(meta["recipe"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
        raise ValueError(
            f"{file}: expected the description of a baseline, found one that cannot be read "
            f"({reason}); train again in another --workdir"
        ) from error
    return meta


def finished(workdir: str | os.PathLike[str], meta: dict[str, Any]) -> bool:
    """Whether a workdir holds the very baseline that would be trained.

    Args:
      workdir: the run's folder.
      meta: as for `save`.

    Raises:
      ValueError: it holds another, and how that differs; or one that cannot be read.
    """
    if not folder(workdir).exists():
        return False
    # The recipe follows from the two.
    found, expected = (
        {name: one[name] for name in ("config", "dataset")}
        for one in (read_meta(workdir), json.loads(json.dumps(meta)))
    )
    train_config.check_same_config(found, expected, workdir)
    load(workdir)  # a model that is damaged is not finished
    return True


def _versions(meta: dict[str, Any]) -> str:
    versions = meta["trained"].get("versions", {})
    now = {"scikit-learn": sklearn.__version__, "skops": skops.__version__}
    differ = [f"{k} {versions.get(k)} (now {v})" for k, v in now.items() if versions.get(k) != v]
    return f"written with {', '.join(differ)}" if differ else ""


def _digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _digest_of_file(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
