"""Items of models: valid STAC, with what the extension requires of them."""

import json

import jsonschema
import pystac
import pytest
from product import made_runs
from product.test_cards import DATA
from stac_model.schema import MLModelProperties

from cropmap_jax.product import conversion, data_facts, facts, keeping, model_item, program

# What version 1.4.0 requires of an item, in its own words: fields that must and may be there, how
# names look, and that bands have an axis. Source: README and JSON schema of
# https://github.com/stac-extensions/mlm.
SHAPED = {
    "type": "object",
    "required": ["shape", "dim_order", "data_type"],
    "properties": {
        "shape": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": -1}},
        "dim_order": {
            "type": "array",
            "uniqueItems": True,
            "items": {"type": "string", "pattern": "^[a-z-_]+$"},
        },
        "data_type": {"enum": ["float32", "int32"]},
    },
}
INPUT = {
    "type": "object",
    "required": ["name", "bands", "input"],
    "properties": {"bands": {"items": {"type": "string"}}, "input": SHAPED},
    "if": {"properties": {"bands": {"minItems": 1}}},
    "then": {
        "properties": {"input": {"properties": {"dim_order": {"contains": {"const": "bands"}}}}}
    },
    "else": {
        "properties": {
            "input": {"properties": {"dim_order": {"not": {"contains": {"const": "bands"}}}}}
        }
    },
}
CLASS = {
    "type": "object",
    "required": ["value", "name"],
    "properties": {
        "value": {"type": "integer"},
        "name": {"type": "string", "pattern": "^[0-9A-Za-z-_.]+$"},
        "color_hint": {"type": "string", "pattern": "^([0-9A-F]{6})$"},
    },
}
OUTPUT = {
    "type": "object",
    "required": ["name", "tasks", "result"],
    "properties": {"result": SHAPED, "classification:classes": {"type": "array", "items": CLASS}},
}
FIELDS = {
    "type": "object",
    "required": ["mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output", "bands"],
    "properties": {
        "mlm:name": {"type": "string", "pattern": r"^[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]$"},
        "mlm:architecture": {"type": "string"},
        "mlm:tasks": {"const": ["semantic-segmentation"]},
        "mlm:framework": {"enum": ["JAX", "ONNX", "scikit-learn"]},
        "mlm:framework_version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "mlm:total_parameters": {"type": "integer", "minimum": 1},
        "mlm:pretrained": {"type": "boolean"},
        "mlm:pretrained_source": {"type": ["string", "null"]},
        "mlm:accelerator": {"type": "null"},
        "mlm:input": {"type": "array", "minItems": 1, "items": INPUT},
        "mlm:output": {"type": "array", "minItems": 1, "items": OUTPUT},
        "mlm:hyperparameters": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[0-9a-zA-Z_.-]+$"},
        },
    },
    "patternProperties": {"^(?!mlm:)": {}},
    "additionalProperties": False,
}
MODEL = {"required": ["roles"], "properties": {"roles": {"contains": {"const": "mlm:model"}}}}
TYPED = {"required": ["mlm:artifact_type"]}
ITEM = {
    "type": "object",
    "properties": {
        "properties": FIELDS,
        "assets": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"if": MODEL, "then": TYPED, "else": {"not": TYPED}},
        },
        "stac_extensions": {"contains": {"const": model_item.MLM}},
    },
}


def check(item):
    """Valid STAC, valid MLM, and read by pystac as it was meant."""
    jsonschema.Draft202012Validator(ITEM).validate(item)
    core = item | {"stac_extensions": []}
    assert pystac.Item.from_dict(core).validate()
    assert json.loads(json.dumps(item)) == json.loads(json.dumps(item, allow_nan=False))
    read = pystac.Item.from_dict(item)
    assert [role for one in read.assets.values() for role in one.roles].count("mlm:model") == 1
    # Version 1.6.0, as the extension's own package has it.
    MLModelProperties(**{k: v for k, v in item["properties"].items() if k.startswith("mlm:")})
    return read.ext.mlm


def test_the_item_of_a_workdir(tmp_path):
    run = made_runs.make_run(made_runs.IMAGES, standardise=False, init_from="/x/europe", epochs=2)
    data_facts.remember(tmp_path, [DATA])
    keeping.refresh(tmp_path, run)
    item = json.loads((tmp_path / "model_item.json").read_text())
    found = check(item)
    assert found.architecture == "dual_unet3d" and found.pretrained_source == "europe"
    assert found.total_parameters == facts.gather(tmp_path, run)["model"]["parameters"]
    assert [one.name for one in found.input] == ["s1", "s2"]
    assert [one.name for one in found.output[0].classes] == ["wheat", "rapeseed"]
    assert item["properties"]["start_datetime"] == "2021-11-01T00:00:00Z"
    assert item["properties"]["end_datetime"] == "2022-09-30T23:59:59Z"
    assert item["bbox"] == DATA["bbox"]
    assert item["assets"]["model"]["href"] == "./checkpoints/7"


@pytest.mark.parametrize("box", [[51.0, 29.0, 52.0, 30.0], [179.0, -18.0, -179.0, -17.0]])
def test_the_item_of_a_converted_network(tmp_path, box):
    run = made_runs.make_run(made_runs.PIXELS)
    made = program.of_run(run, None)
    about = conversion.describe(made, run, None, "onnx", "Nr. 7: été")
    about |= {"sha256": "0" * 64, "versions": {"onnx": "1.23.2"}}
    data_facts.remember(tmp_path, [DATA | {"bbox": box}])
    found = facts.gather(tmp_path, run, name="7")
    item = model_item.of_conversion(found, made, about, 123)
    known = check(item)
    assert known.framework == "ONNX" and known.mlm_name == "model-7"
    assert known.input[-1].bands == [] and known.input[-1].input.shape == [-1, 3]
    assert item["geometry"]["type"] == ("Polygon" if box[0] < box[2] else "MultiPolygon")
    assert item["assets"]["model"]["file:size"] == 123


def test_without_dates_the_item_has_the_day_it_was_written(tmp_path):
    run = made_runs.make_run(made_runs.PIXELS)
    item = model_item.of_workdir(facts.gather(tmp_path, run))
    check(item)
    assert item["properties"]["datetime"].endswith("T00:00:00Z")
