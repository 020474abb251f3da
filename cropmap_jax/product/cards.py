"""The model card: Markdown for people, with the front matter that Hugging Face's pages read.

Source of the front matter's fields: https://huggingface.co/docs/hub/model-cards (2026).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.geo import text
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.product import scores as score_lib
from cropmap_jax.product.facts import Facts

_MARK = re.compile(r"(?m)^<!-- cropmap_jax model card, sha256 ([0-9a-f]{64})\b.*-->$")
_OPEN = "0" * 64
_MOST = 2000
"""Characters of a text from elsewhere."""
_HELP = (
    "Written from what the run holds. Change it as you like: a card that was changed is kept, and "
    "the one that would replace it is written next to it, as MODEL_CARD.new.md."
)
_MAP = " F1 of the map |"
_METHODS = {
    "network": "neural network",
    "combined": "several runs combined",
    "forest": "random forest",
    "boosting": "gradient boosting",
    "logistic": "logistic regression",
    "dates": "the date alone",
}


def is_ours(card: str) -> bool:
    """Whether a card is as it was written, and may be written again."""
    found = _MARK.search(card)
    return found is not None and _digest(card.replace(found[1], _OPEN, 1)) == found[1]


def render(facts: Facts) -> str:
    """The card of a run.

    Args:
      facts: of `facts.gather`.
    """
    parts = [
        _front(facts),
        f"<!-- cropmap_jax model card, sha256 {_OPEN}. {_HELP} -->",
        f"# {_cell(facts['name'])}",
        _summary(facts),
        *_section("What it is", _what(facts)),
        *_section("Data", _data(facts)),
        *_section("Legend", _legend(facts)),
        *_section("How it was trained", _training(facts)),
        *_section("Scores", _scores(facts)),
        *_section("Known limits", [f"- {_cell(line)}" for line in facts["limits"]]),
        *_section("How to use it", _use(facts)),
        *_section("Versions", [_versions(facts)]),
    ]
    card = "\n\n".join(part for part in parts if part) + "\n"
    return card.replace(_OPEN, _digest(card), 1)


def _digest(card: str) -> str:
    return hashlib.sha256(card.encode()).hexdigest()


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "\n".join(lines)]


def _cell(value: object) -> str:
    return text.markdown_cell(value, _MOST)


def _front(facts: Facts) -> str:
    """YAML, of which JSON is a part."""
    tags = ["crop-mapping", "remote-sensing", "time-series", "cropmap_jax", facts["model"]["name"]]
    tags += [sensor["title"].lower() for sensor in facts["inputs"]["sensors"]]
    lines = {"library_name": "cropmap_jax", "pipeline_tag": "image-segmentation", "tags": tags}
    means = [
        row
        for row in facts["scores"]
        if row["split"] == "test" and row["f1"]["value"] is not None
        if row["crop"] == score_lib.MEAN
    ]
    if means:
        results = [
            {
                "task": {"type": "image-segmentation"},
                "dataset": {"type": dataset, "name": dataset, "split": "test"},
                "metrics": [_metric(row) for row in means if row["dataset"] == dataset],
            }
            for dataset in dict.fromkeys(row["dataset"] for row in means)
        ]
        lines["model-index"] = [{"name": facts["name"], "results": results}]
    body = "\n".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in lines.items())
    return f"---\n{body}\n---"


def _metric(row: Mapping[str, Any]) -> dict[str, Any]:
    name = f"F1 of {row['unit']}, mean of {row['of']} crops, {score_lib.when(row)}"
    return {"type": "f1", "name": name, "value": round(row["f1"]["value"], 4)}


def _summary(facts: Facts) -> str:
    sensors = _listed([_cell(one["title"]) for one in facts["inputs"]["sensors"]])
    count = len(facts["legend"]["classes"])
    classes = "1 class" if count == 1 else f"{count} classes"
    where = facts["where"]
    when = f", {where['first']} to {where['last']}" if where and where["first"] else ""
    place = f" Trained on ground between {_box(where['bbox'])}{when}." if where else ""
    return (
        f"Maps {classes} of the legend {_cell(facts['legend']['name'])} from time series of "
        f"{sensors}, by {_METHODS.get(facts['method'], facts['method'])}.{place}"
    )


def _box(box: Sequence[float]) -> str:
    west, south, east, north = box

    def degrees(value: float, letters: str) -> str:
        return f"{abs(value):.3f}° {letters[value < 0]}"

    return (
        f"{degrees(south, 'NS')} and {degrees(north, 'NS')}, "
        f"{degrees(west, 'EW')} and {degrees(east, 'EW')}"
    )


def _what(facts: Facts) -> list[str]:
    model, inputs = facts["model"], facts["inputs"]
    lines = []
    if facts["parts"]:
        lines += ["| member | method | weight |", "|---|---|---|"]
        lines += [
            f"| {_cell(one['name'])} | {one['method']} | {one['weight']:.3f} |"
            for one in facts["parts"]
        ]
        lines.append("")
    else:
        size = f", {model['parameters']:,} parameters" if "parameters" in model else ""
        lines.append(f"- Method: {_cell(model['name'])}{size}")
        if model["settings"]:
            lines.append(f"- Its settings: {_settings(model['settings'])}")
    lines.append(f"- Window: {inputs['num_periods']} periods of a {inputs['period_kind']}")
    if inputs["pixel_m"]:
        lines.append(f"- Pixels: {inputs['pixel_m']:g} m")
    for one in inputs["sensors"]:
        lines.append(
            f"- {_cell(one['title'])}: {_cell(' '.join(one['bands']))} in {_cell(one['unit'])}; of "
            f"a period the {one['compositing'].replace('_', ' of ')}"
        )
    if inputs["indices"]:
        lines.append(f"- Indices: {_cell(', '.join(inputs['indices']))}")
    if inputs["standardised"]:
        lines.append("- Inputs are standardised on training pixels")
    return lines


def _settings(settings: Mapping[str, Any]) -> str:
    def shown(value: object) -> str:
        if isinstance(value, Mapping):
            return " and ".join(f"{k} {v:g}" for k, v in value.items())
        if isinstance(value, list | tuple):
            return ", ".join(map(str, value))
        return f"{value:g}" if isinstance(value, float) else str(value)

    return _cell("; ".join(f"{k} {shown(v)}" for k, v in settings.items()))


def _data(facts: Facts) -> list[str]:
    if not facts["data"]:
        return ["Not recorded: this run is of a version that did not keep it."]
    lines: list[str] = []
    stages: dict[str, list[str]] = {}
    rows: dict[str, Mapping[str, Any]] = {}
    for row in facts["data"]:  # of several members, or of what they began from, one is often all
        key = json.dumps(row | {"stage": ""}, sort_keys=True)
        rows.setdefault(key, row)
        stages.setdefault(key, []).append(row["stage"])
    for key, row in rows.items():
        fold = "" if row["fold"] is None else f", fold {row['fold']}"
        lines += [
            f"**{_cell(row['dataset'])}**{fold} ({', '.join(stages[key])}): between "
            f"{_box(row['bbox'])}, "
            f"{row['first']} to {row['last']}; SHA-256 {row['fingerprint'][:16]}",
            "",
            "| split | cubes | blocks | fields | annotated pixels | provinces |",
            "|---|---|---|---|---|---|",
        ]
        for split, own in row["splits"].items():
            fields = "-" if own["fields"] is None else f"{sum(own['fields']):,}"
            lines.append(
                f"| {split} | {own['cubes']:,} | {own['blocks']:,} | {fields} | "
                f"{sum(own['pixels']):,} | {_cell(_listed(own['provinces'])) or '-'} |"
            )
        lines.append("")
    return lines[:-1]


def _legend(facts: Facts) -> list[str]:
    own = [row for row in facts["data"] if row["legend"] == facts["legend"]["name"]]
    train = own[-1]["splits"].get("train") if own else None
    lines = [
        "| class | value in maps (crop.tif) | code in the legend | colour | training fields | "
        "training pixels |",
        "|---|---|---|---|---|---|",
    ]
    for i, one in enumerate(facts["legend"]["classes"]):
        fields = f"{train['fields'][i]:,}" if train and train["fields"] else "-"
        pixels = f"{train['pixels'][i]:,}" if train else "-"
        lines.append(
            f"| {_cell(one['title'])} | {i} | {one['code']} | {one['colour']} | {fields} | "
            f"{pixels} |"
        )
    lines += ["", f"In maps {NONE_OF_THESE} is none of these, {IGNORE} unknown."]
    if facts["none_of_these"]:
        lines += ["", "The remaining probability is that of none of these."]
    elif not facts["exclusive"]:
        lines += ["", "Classes are asked for one by one: their probabilities do not add up to 1."]
    return lines


def _training(facts: Facts) -> list[str]:
    trained = facts["trained"]
    steps = f", step {trained['step']:,}" if facts["method"] == "network" else ""
    lines = [f"- Stage: {trained['stage']}{steps}"]
    if trained["pretrained_from"]:
        step = trained["pretrained_step"]
        of = "" if step is None else f", step {step:,}"
        lines.append(f"- Began from: {_cell(trained['pretrained_from'])}{of}")
    if trained["settings"]:
        lines.append(f"- Settings: {_settings(trained['settings'])}")
    return lines


def _scores(facts: Facts) -> list[str]:
    rows = [row for row in facts["scores"] if row["split"] == "test"] or facts["scores"]
    if not rows:
        return ["None yet: `python -m experiments.evaluate --workdir W --crop all`."]
    lines: list[str] = []
    columns = dict.fromkeys(
        (row["dataset"], row["split"], row["unit"], score_lib.when(row)) for row in rows
    )
    for dataset, split, unit, when in columns:
        own = [
            row
            for row in rows
            if (row["dataset"], row["split"], row["unit"], score_lib.when(row))
            == (dataset, split, unit, when)
        ]
        shown = any(row["map_f1"] is not None for row in own)
        lines += [
            f"{split} of {_cell(dataset)}, {unit}, {when}:",
            "",
            "| crop | F1 | recall | precision | threshold | last image before harvest |"
            + _MAP * shown,
            f"|---|---|---|---|---|---|{'---|' * shown}",
        ]
        for row in own:
            threshold = "-" if row["threshold"] is None else f"{row['threshold']:.2f}"
            lines.append(
                f"| {_cell(row['crop'])} | {_figure(row['f1'])} | {_figure(row['recall'])} | "
                f"{_figure(row['precision'])} | {threshold} | {_ahead(row['ahead'])} |"
                + f" {_map_f1(row)} |"
                * shown
            )
        lines.append("")
    splits = dict.fromkeys(row["split"] for row in rows)
    lines += [
        f"- {split}: {_cell(one)}" for split in splits for one in facts["words"].get(split, ())
    ]
    if facts["calibrated"]:
        before = any(row["calibrated"] is None for row in rows)
        lines.append(
            f"- Maps show rescaled probabilities: {_cell(facts['calibrated'])}"
            + ("; scores above are of probabilities as the run gives them" if before else "")
        )
    return lines


def _ahead(days: Sequence[int] | None) -> str:
    if not days or days[0] is None:
        return "-"
    return f"{days[0]} d" if days[0] == days[-1] else f"{days[0]} to {days[-1]} d"


def _map_f1(row: Mapping[str, Any]) -> str:
    return "-" if row["map_f1"] is None else f"{row['map_f1']:.3f}"


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _use(facts: Facts) -> list[str]:
    lines = [
        "    python -m experiments.predict --workdir W --cubes CUBES --as_of DATE --out MAP",
        "",
        "with cubes of the sensors, periods and pixels above.",
    ]
    if facts["method"] == "network":
        lines[-1] += " Without jax: `python -m experiments.convert --to onnx`."
    return lines


def _versions(facts: Facts) -> str:
    known = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"Card of {facts['written']}; {known}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
