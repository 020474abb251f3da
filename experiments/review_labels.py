"""Names the annotated fields whose label, outline or season looks wrong, to be edited in QGIS.

    python -m experiments.review_labels --config configs/review.py --out REVIEW \
        --config.data_dir=DIR --config.dataset=isrc [--prepared TILES]

Every field is predicted by a model that has seen nothing of its block. Writes review.gpkg (all
fields, suspects first; fill in `action` and `label_new` in QGIS), suspects.csv and a picture of
each suspect. `prepare` takes the edited file: --config.reviews=REVIEW/review.gpkg. Interrupted, the
same command resumes. docs/label_review.md says how, and how good it is.
"""

import json
import pathlib

from absl import flags
from ml_collections import config_flags

from experiments import _cli, _output

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "File of settings; a Python program.", lock_config=True
)
_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
_PREPARED = flags.DEFINE_string(
    "prepared",
    None,
    "Folder that prepare wrote, whose fields.gpkg holds the outlines as they were drawn; without "
    "it, outlines follow the pixels.",
)
_PICTURES = flags.DEFINE_integer("max_pictures", 100, "Pictures of suspects.", lower_bound=0)
_cli.extensible()
flags.mark_flag_as_required("config")

_FILES = ("review.gpkg", "suspects.csv")
_SETTINGS, _WORK, _DRAWN = "settings.json", "work", "pictures"


def _open(config):
    """The dataset in folds, after all that can be wrong with the flags."""
    from cropmap_jax.data import block_folds, dataset
    from cropmap_jax.geo import files
    from cropmap_jax.review import setup, table

    setup.check(config)
    out = files.local("--out", _OUT.value)
    inputs = {"--config.data_dir": config["data_dir"], "--prepared": _PREPARED.value or ""}
    for flag, path in inputs.items():
        if path:
            files.local(flag, path)
    files.check_apart({"--out": out}, inputs)
    data = dataset.open_folder(dataset.newest(config["data_dir"], config["dataset"]))
    made = setup.make(config, data)
    prepared = None
    if _PREPARED.value:
        prepared = table.prepared_fields(pathlib.Path(_PREPARED.value) / "fields.gpkg")
    return block_folds.divide(data, config["folds"]), made, prepared, out


def _check_same(file: pathlib.Path, asked: dict) -> None:
    """Requires that a folder holds predictions of these settings, or none; then records them."""
    from cropmap_jax.geo import files

    asked = json.loads(json.dumps(asked, default=str))
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{file}: expected settings of a review ({error})") from error
        if found != asked:
            raise ValueError(
                f"--out {file.parent.parent}: holds a review of other settings or another dataset; "
                "expected the same ones or another --out"
            )
        return
    files.write_bytes(file, (json.dumps(asked, indent=1) + "\n").encode())


def main(_):
    from cropmap_jax.geo import extras, files, processes

    extras.require("fields", "experiments.review_labels")
    from cropmap_jax.review import reviewed, suspects

    config = _CONFIG.value.to_dict()
    data, made, prepared, out = _open(config)
    with processes.stoppable(), files.Lock(out, "--out"):
        files.Written(out, "review_labels").claim(*_FILES, _WORK, _DRAWN)
        (out / _WORK).mkdir(exist_ok=True)
        settings = {name: value for name, value in config.items() if name != "data_dir"}
        settings |= {"fingerprint": data.fingerprint, "of": data.folds.digest}
        _check_same(out / _WORK / _SETTINGS, settings)
        pieces = _predict(data, made, out)
        fields = reviewed.gather(data, pieces, by_id=prepared is not None)
        bar = lambda rows: _cli.progress(rows, unit="field", desc="judge")  # noqa: E731
        judged = suspects.judge(data, fields, bar)
        print(_write(data, judged, prepared, out))
    _output.results(review=out / _FILES[0], table=out / _FILES[1], pictures=out / _DRAWN)
    print(
        f"review: {out / _FILES[0]} (edit `action` and `label_new` in QGIS), {out / _FILES[1]}\n"
        f"pictures: {out / _DRAWN}\n"
        f"next: python -m experiments.prepare ... --config.reviews={out.absolute() / _FILES[0]}"
    )


def _predict(data, made, out: pathlib.Path) -> list:
    """Pieces of all folds; what an earlier run has predicted is read."""
    from cropmap_jax.review import cross_fit, pieces

    found = []
    count = data.folds.rule.count
    for fold in range(count):
        file = out / _WORK / f"fold-{fold}.npz"
        if not file.is_file():
            title = f"fold {fold + 1} of {count}"
            bar = lambda cubes, total, t=title: _cli.progress(  # noqa: E731
                cubes, total=total, unit="cube", desc=t
            )
            own = cross_fit.predict(data, fold, made, progress=bar)
            pieces.save(file, own, len(data.legend))
        found += pieces.load(file)
    return found


def _write(data, judged, prepared, out: pathlib.Path) -> str:
    """Writes all files; returns what a person reads."""
    from cropmap_jax.geo import files, periods
    from cropmap_jax.review import patches, pictures, table

    (out / _DRAWN).mkdir(exist_ok=True)
    by_class, reader = pictures.curves(data, judged), patches.Patches(data)
    suspects = [one for one in judged if one.kinds][: _PICTURES.value]
    names = {}
    for number, one in enumerate(_cli.progress(suspects, unit="picture", desc="draw"), 1):
        names[one.field.number] = f"{_DRAWN}/{number:04d}_{one.field.pieces[0].field}.png"
        pictures.write(out / names[one.field.number], data, reader, one, by_class)
    for path in (out / _DRAWN).glob("*.png"):
        if f"{_DRAWN}/{path.name}" not in names.values():
            path.unlink()
    frame = table.make(data, judged, prepared, names)
    last = max(int(data.periods(i)[-1, 1]) for i in range(len(data.cubes)))
    table.write(out / _FILES[0], frame, str(periods.from_day(last)))
    table.write_csv(out / _FILES[1], frame)
    files.tidy(out)
    repeated = frame.field.duplicated().sum()
    note = ""
    if repeated:
        note = (
            f"\nnote: {repeated} fields share their number with another: the table is for reading; "
            "prepare takes it only for fields that it numbered itself (--prepared)"
        )
    return table.summary(frame) + note


if __name__ == "__main__":
    _cli.run(main)
