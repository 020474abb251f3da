"""A STAC Item of a model, with the Machine Learning Model extension (MLM).

Its geometry and dates are those of the ground and the images that the run learnt from. It is of
version 1.4.0, the latest that pystac reads; its fields are also valid in version 1.6.0.
Source: https://github.com/stac-extensions/mlm (its README and JSON schema).
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pystac
import shapely

from cropmap_jax.product import exporting, program
from cropmap_jax.product.facts import Facts
from cropmap_jax.product.program import Program

Item = dict[str, Any]
MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
TASKS = ("semantic-segmentation",)
MODEL_ROLE = "mlm:model"
_ANY = -1
_MEDIA = {
    exporting.FILES[exporting.ONNX]: "application/octet-stream; application=onnx",
    exporting.FILES[exporting.STABLEHLO]: "application/octet-stream; application=stablehlo",
}
_ARTIFACTS = {
    exporting.FILES[exporting.ONNX]: "onnx",
    exporting.FILES[exporting.STABLEHLO]: "jax.export",
}
_FRAMEWORKS = {
    exporting.FILES[exporting.ONNX]: "ONNX",
    exporting.FILES[exporting.STABLEHLO]: "JAX",
}


def of_workdir(facts: Facts) -> Item:
    """The item of a workdir; its assets are what lies there.

    Args:
      facts: of `facts.gather`.
    """
    sensors, periods = facts["inputs"]["sensors"], facts["inputs"]["num_periods"]
    inputs = [_input(one, [_ANY, periods, _ANY, _ANY, len(one["bands"])]) for one in sensors]
    learns = facts["method"] in ("network", "combined")
    framework = "JAX" if learns else "scikit-learn"
    item = _item(facts, inputs, framework, facts["versions"].get("jax" if learns else framework))
    for number, one in enumerate(facts["assets"]):
        item["assets"][f"model{number or ''}"] = {
            "href": f"./{one['href']}",
            "roles": [MODEL_ROLE, "mlm:weights"],
            "mlm:artifact_type": one["type"],
            "bands": _bands(sensors),
        }
    item["assets"]["card"] = _card("MODEL_CARD.md")
    return item


def of_conversion(facts: Facts, made: Program, about: Mapping[str, Any], size: int) -> Item:
    """The item of a converted network.

    Args:
      facts: of `facts.gather`.
      made: what was converted.
      about: its metadata, see `conversion.describe`.
      size: bytes of its file.
    """
    inputs = [
        _input(one, [n if isinstance(n, int) else _ANY for n in about["inputs"][i]["shape"]])
        for i, one in enumerate(facts["inputs"]["sensors"])
    ]
    days = {
        "shape": [_ANY, made.recipe.num_periods],
        "dim_order": list(program.AXES[:2]),
        "data_type": "int32",
    }
    inputs.append({"name": program.DAYS, "bands": [], "input": days})
    inputs[-1]["description"] = about["inputs"][-1]["meaning"]
    file = about["file"]
    versions = about["versions"]
    framework = _FRAMEWORKS[file]
    item = _item(facts, inputs, framework, versions.get(framework.lower()))
    item["stac_extensions"].append(FILE)
    item["assets"] = {
        "model": {
            "href": f"./{file}",
            "type": _MEDIA[file],
            "roles": [MODEL_ROLE],
            "mlm:artifact_type": _ARTIFACTS[file],
            "bands": _bands(facts["inputs"]["sensors"]),
            "file:size": size,
            "file:checksum": f"1220{about['sha256']}",  # multihash of SHA-256
        },
        "metadata": {
            "href": "./metadata.json",
            "type": "application/json",
            "roles": ["metadata"],
        },
        "example": {
            "href": "./example.py",
            "type": "text/x-python",
            "roles": ["code", "mlm:inference-runtime"],
        },
        "card": _card("README.md"),
    }
    return item


def _card(file: str) -> dict[str, Any]:
    return {"href": f"./{file}", "type": "text/markdown", "roles": ["metadata"]}


def _item(
    facts: Facts, inputs: Sequence[dict[str, Any]], framework: str, version: str | None
) -> Item:
    """All but its assets."""
    where = facts["where"] or {"bbox": [-180.0, -90.0, 180.0, 90.0], "first": None, "last": None}
    made = pystac.Item(
        id=_name(facts["name"]),
        geometry=shapely.geometry.mapping(_ground(where["bbox"])),
        bbox=where["bbox"],
        **_dates(where, facts["written"]),
        properties=_properties(facts, inputs, framework, version),
        stac_extensions=[MLM],
    )
    item: Item = made.to_dict(include_self_link=False)
    return item


def _dates(where: Mapping[str, Any], written: str) -> dict[str, Any]:
    if where["first"] is None:
        return {"datetime": dt.datetime.fromisoformat(f"{written}T00:00:00+00:00")}
    first, last = (dt.datetime.fromisoformat(f"{where[k]}T00:00:00+00:00") for k in _SPAN)
    end = last + dt.timedelta(days=1, seconds=-1)
    return {"datetime": None, "start_datetime": first, "end_datetime": end}


_SPAN = ("first", "last")


def _ground(box: Sequence[float]) -> Any:
    """The outline of a box; of two parts where it crosses 180 degrees."""
    west, south, east, north = box
    if west <= east:
        return shapely.box(west, south, east, north)
    parts = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    return shapely.MultiPolygon(parts)


def _properties(
    facts: Facts, inputs: Sequence[dict[str, Any]], framework: str, version: str | None
) -> dict[str, Any]:
    model, trained = facts["model"], facts["trained"]
    began = trained["pretrained_from"]
    found: dict[str, Any] = {
        "description": "; ".join(facts["limits"])[:2000],
        "created": f"{facts['written']}T00:00:00Z",
        "bands": _bands(facts["inputs"]["sensors"]),
        "mlm:name": _name(facts["name"]),
        "mlm:architecture": model["name"],
        "mlm:tasks": list(TASKS),
        "mlm:framework": framework,
        "mlm:input": list(inputs),
        "mlm:output": [_output(facts)],
        "mlm:pretrained": bool(began),
        "mlm:pretrained_source": began,
        "mlm:accelerator": None,
    }
    if version and re.fullmatch(r"\d+\.\d+\.\d+", version):
        found["mlm:framework_version"] = version
    if "parameters" in model:
        found["mlm:total_parameters"] = model["parameters"]
    if trained["settings"]:
        found["mlm:hyperparameters"] = trained["settings"]
    return found


def _input(sensor: Mapping[str, Any], shape: list[int]) -> dict[str, Any]:
    return {
        "name": sensor["name"],
        "description": f"{sensor['title']} in {sensor['unit']}, NaN where missing",
        "bands": list(sensor["bands"]),
        "input": {"shape": shape, "dim_order": list(program.AXES), "data_type": "float32"},
    }


def _bands(sensors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of the item, where MLM looks them up, and of the asset, without which STAC 1.1 refuses the
    former."""
    return [
        {"name": band, "description": f"{one['title']} {band}", "unit": one["unit"]}
        for one in sensors
        for band in one["bands"]
    ]


def _output(facts: Facts) -> dict[str, Any]:
    classes = facts["legend"]["classes"]
    return {
        "name": program.OUTPUT,
        "tasks": list(TASKS),
        "description": f"probabilities of the legend {facts['legend']['name']}",
        "result": {
            "shape": [_ANY, _ANY, _ANY, len(classes)],
            "dim_order": ["batch", "height", "width", "class"],
            "data_type": "float32",
        },
        "classification:classes": [
            {
                "value": i,
                "name": _name(one["name"]),
                "description": one["title"],
                "color_hint": one["colour"][1:].upper(),
            }
            for i, one in enumerate(classes)
        ],
    }


def _name(name: str) -> str:
    """A name that begins with a letter and holds letters, digits, ".", "_" and "-" alone."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")
    if len(plain) < 3 or not plain[0].isalpha():
        plain = f"model-{plain}".rstrip("-")
    return plain
