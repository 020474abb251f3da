"""`MODEL_CARD.md` and `model_item.json` of a workdir, kept up to date by the commands."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from cropmap_jax.data import few_fields
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import files
from cropmap_jax.product import cards, data_facts, facts, model_item
from cropmap_jax.runs.training import Prepared
from cropmap_jax.training import checkpoints, parallel
from cropmap_jax.training.checkpoints import Restored

CARD, NEW, ITEM = "MODEL_CARD.md", "MODEL_CARD.new.md", "model_item.json"


def refresh(
    workdir: str | os.PathLike[str],
    run: Restored,
    data: Dataset | None = None,
    others: Sequence[str | os.PathLike[str]] = (),
) -> str:
    """Writes card and item anew from what the workdir holds by now.

    A card is a by-product: where it cannot be written, what the command has done stands.

    Args:
      workdir: the run's folder.
      run: its last state.
      data: a dataset that is open; kept with the run if it learnt from it.
      others: workdirs that the run began from or is made of: what they learnt from is part of it.

    Returns:
      A line for people: where the card lies, or why there is none.
    """
    folder = pathlib.Path(workdir).absolute()
    try:
        _remember(folder, run, data, others)
        found = facts.gather(folder, run)
        file = folder / CARD
        there = _read(file)
        kept = there is not None and not cards.is_ours(there)
        files.write_bytes(folder / NEW if kept else file, cards.render(found).encode())
        item = model_item.of_workdir(found)
        files.write_bytes(
            folder / ITEM, (json.dumps(item, indent=1, allow_nan=False) + "\n").encode()
        )
    except (OSError, ValueError) as error:
        return f"note: no model card was written: {str(error).partition(chr(10))[0]}"
    if kept:
        return f"model card: {folder / NEW} (yours was changed by hand and is kept: {CARD})"
    return f"model card: {file}"


def after_training(workdir: str | os.PathLike[str], prepared: Prepared) -> str:
    """Writes card and item of a network that has been trained; a line about it, as `refresh`.

    Args:
      workdir: the run's folder.
      prepared: what the run began with.
    """
    if parallel.process_count() > 1:  # the others, which reading it would wait for, have ended
        return "note: no model card yet: evaluate writes it"
    try:
        run = checkpoints.load(workdir)
    except ValueError as error:  # e.g. 0 epochs asked for, and nothing saved
        return f"note: no model card was written: {error}"
    init_from = prepared.config.config.get("init_from")
    return refresh(workdir, run, prepared.data, [init_from] if init_from else [])


def _remember(
    folder: pathlib.Path,
    run: Restored,
    data: Dataset | None,
    others: Sequence[str | os.PathLike[str]],
) -> None:
    """Keeps what is known of datasets by now, if that is more than was known."""
    before = data_facts.find(folder)
    known = {_key(row): row for row in before}
    for other in others:
        for row in data_facts.find(other):
            known.setdefault(_key(row), row)
    if data is not None and _learnt_from(run, data):
        key = (data.fingerprint, data.fold, run.stage)
        if key not in known:
            known[key] = data_facts.of_dataset(data, run.stage)
    if len(known) > len(before):
        data_facts.remember(folder, list(known.values()))


def _key(row: data_facts.Facts) -> tuple[Any, ...]:
    return row["fingerprint"], row["fold"], row["stage"]


def _learnt_from(run: Restored, data: Dataset) -> bool:
    """Whether a dataset, and the view of it, is what the run saw."""
    few = data.few.per_class if data.few else 0
    view = run.config.get("fold"), run.config.get(few_fields.PER_CLASS) or 0
    return run.dataset == data.fingerprint and view == (data.fold, few)


def _read(file: pathlib.Path) -> str | None:
    if not file.exists():
        return None
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # somebody's, whatever it is
