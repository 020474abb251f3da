"""What is known of where a run fails, or was never looked at: computed, one sentence each."""

from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.geo.sensors import BACKSCATTER
from cropmap_jax.product.scores import MEAN, when

FEW_FIELDS = 20
"""Training fields of a class below which a card says so: with 20 of each, mean F1 of one method had
a standard deviation of up to 0.07 over draws of fields, with all of up to 0.01
(docs/learning_curve.md)."""
FEW_BLOCKS = 10
"""Blocks of a scored split below which a card says so: intervals draw blocks again."""
_GOOD = 0.5
_SHOWN = 12


def of(facts: Mapping[str, Any], unused: Mapping[str, Sequence[int]]) -> list[str]:
    """Sentences about limits.

    Args:
      facts: of `facts.gather`, but for its limits.
      unused: by sensor the indices of bands that training never saw.
    """
    data = [row for row in facts["data"] if row["stage"] != "pretrain"] or facts["data"]
    found = _of_data(data) if data else ["How much was annotated is not recorded with this run."]
    found += _of_scores(facts)
    found += _of_inputs(facts, unused)
    return list(dict.fromkeys(found))


def _of_data(data: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for row in data:
        train = row["splits"].get("train")
        if train is None:
            continue
        names = row["classes"]
        never = [name for name, n in zip(names, train["pixels"], strict=False) if not n]
        if never:
            found.append(f"Never annotated in training, so not mapped: {_listed(never)}.")
        if train["fields"]:
            few = [
                f"{name} ({n})"
                for name, n in zip(names, train["fields"], strict=False)
                if 0 < n < FEW_FIELDS
            ]
            if few:
                found.append(
                    f"Fewer than {FEW_FIELDS} fields in training: {_listed(few)}. Another draw of "
                    f"fields may give other scores."
                )
        if not train["pixels"][len(names)]:
            found.append(
                "No ground that is none of the classes was annotated: other crops and other land "
                "may be mapped as one of them."
            )
        found += _of_places(row)
    return found


def _of_places(row: Mapping[str, Any]) -> list[str]:
    found = []
    seasons = row["seasons"]
    if len(seasons) == 1:
        found.append(f"One season ({seasons[0]}): other years' weather was never seen.")
    splits = row["splits"]
    provinces = splits.get("train", {}).get("provinces", [])
    if provinces:
        found.append(f"Provinces in training: {_listed(provinces)}; others were never seen.")
        only = sorted(set(splits.get("test", {}).get("provinces", [])) - set(provinces))
        if only:
            found.append(f"Scored in provinces without training fields: {_listed(only)}.")
    if row["fields_per_class"]:
        found.append(
            f"Of each class only {row['fields_per_class']} fields were known (draw "
            f"{row['fields_draw']})."
        )
    if any("simulator" in one for one in row["made_by"]):
        found.append("Simulated images and fields: scores say nothing about real ones.")
    return found


def _of_scores(facts: Mapping[str, Any]) -> list[str]:
    scores = facts["scores"]
    test = [row for row in scores if row["split"] == "test"]
    if not test:
        splits = sorted({row["split"] for row in scores})
        said = f"Scored on {_listed(splits)} and not on test" if splits else "Not scored yet"
        return [f"{said}: run evaluate --crop all."]
    found = []
    names = [one["name"] for one in facts["legend"]["classes"]]
    missing = [name for name in names if name not in {row["crop"] for row in test}]
    if missing:
        found.append(f"Not scored: {_listed(missing)}.")
    bad = _below(test)
    if bad:
        found.append(f"F1 of pixels below {_GOOD}: {_listed(bad)}.")
    if facts["exclusive"]:
        there = any(row["map_f1"] is not None for row in test)
        found.append(
            "Maps show the most probable class: their scores differ from those at the thresholds "
            "that are listed" + (", see F1 of the map." if there else ".")
        )
    found += [f"{note[0].upper()}{note[1:]}." for row in test for note in row["near"]]
    leads = sorted({row["lead_days"] for row in test if row["lead_days"] is not None})
    if leads:
        listed = ", ".join(map(str, leads))
        found.append(f"Scored {listed} days before harvest; earlier or later was not looked at.")
    dates = sorted({row["as_of"] for row in test if row["as_of"]})
    if dates:
        found.append(f"Scored as of {_listed(dates)}; other dates were not looked at.")
    blocks = [row["splits"]["test"]["blocks"] for row in facts["data"] if "test" in row["splits"]]
    if blocks and min(blocks) < FEW_BLOCKS:
        count = "1 block" if min(blocks) == 1 else f"{min(blocks)} blocks"
        found.append(f"Test ground lies in {count}: intervals are wide and uncertain.")
    return found


def _below(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Crops whose F1 over pixels is low, and when it is, of all leads that were scored."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        f1 = row["f1"]["value"]
        if row["crop"] != MEAN and row["unit"] == "pixels" and f1 is not None and f1 < _GOOD:
            found.setdefault(row["crop"], {})[f"{f1:.2f}, {when(row)}"] = None
    return [f"{crop} ({'; '.join(said)})" for crop, said in found.items()]


def _of_inputs(facts: Mapping[str, Any], unused: Mapping[str, Sequence[int]]) -> list[str]:
    found, inputs = [], facts["inputs"]
    for sensor in inputs["sensors"]:
        bands = [sensor["bands"][i] for i in unused.get(sensor["name"], ())]
        if bands:
            found.append(f"Never seen in training: {_listed(bands)} of {sensor['title']}.")
    radar = [one["title"] for one in inputs["sensors"] if one["compositing"] == "mean_power"]
    if radar:
        own = inputs["backscatter"]
        kind = f"is {own}" if own else "is not recorded"
        others = "other kinds" if own else "kinds"
        others += f" ({_listed([one for one in BACKSCATTER if one != own])})"
        found.append(
            f"Backscatter of {_listed(radar)} in training {kind}; {others} differ "
            f"by decibels on slopes and are not to be mixed with it."
        )
    if facts["calibrated"] is None:
        found.append("Probabilities are not calibrated: 0.8 may not mean right 8 times in 10.")
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
