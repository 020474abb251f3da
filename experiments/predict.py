"""Maps the crops of every cube in a folder, as of a date, without seams between cubes.

    python -m experiments.predict --workdir W --cubes DIR --as_of 2022-06-01 --out DIR

The cubes and the checkpoint are all it needs: legend, scaling and window come from the latter. Each
cube gets a crop map and a confidence map as cloud-optimised GeoTIFF; the region gets virtual
rasters with a QGIS style, a picture and a table of hectares. Interrupted, the same command resumes:
maps that are there are left as they are. Files that predict did not write are never touched.
Where `calibrate` was run, confidence is calibrated.
--fields gives each parcel of a file one class, --smooth smooths probabilities first, and --mask
leaves ground out. --scheduler lets other processes or machines map, to the same last bit.
"""

from absl import flags

from experiments import _cli, _flags, _output

_cli.extensible()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "last", "last, best (by macro-F1 of validation) or the number of a step."
)
_CUBES = flags.DEFINE_string("cubes", None, "Folder of cubes.", required=True)
_AS_OF = flags.DEFINE_string(
    "as_of", None, "Date of the prediction: periods that ended by then are used.", required=True
)
_OUT = flags.DEFINE_string("out", None, "Folder of the map.", required=True)
_THRESHOLD = flags.DEFINE_float(
    "threshold", 0.5, "Least probability of what is shown; without effect on exclusive classes."
)
_BATCH = flags.DEFINE_integer("batch_size", 8, "Chips per step.")
_SEASON = flags.DEFINE_string("season", None, "Which cubes; needed where there are several.")
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Recompute maps that predict made with other settings."
)
_SMOOTH = flags.DEFINE_integer(
    "smooth", 0, "Side in pixels of a window over which probabilities are smoothed; 0 for none."
)
_MASK = flags.DEFINE_string("mask", "", "GeoTIFF; where it is 0 or nodata nothing is mapped.")
_FIELDS = flags.DEFINE_string(
    "fields", "", "Parcels (GeoPackage, GeoParquet, FlatGeobuf) that get a class each."
)
_LAYER = flags.DEFINE_string("fields_layer", "", "Layer of --fields, where there are several.")
_CALIBRATE = flags.DEFINE_bool(
    "calibrate", True, "Rescale probabilities by the run's calibration, if calibrate made one."
)
_SCHEDULER = _flags.define_scheduler("maps groups of neighbouring cubes")


def main(_):
    from cropmap_jax.mapping import crop_map
    from cropmap_jax.training import parallel

    options = crop_map.Options(
        workdir=_WORKDIR.value,
        cubes=_CUBES.value,
        as_of=_AS_OF.value,
        out=_OUT.value,
        threshold=_THRESHOLD.value,
        batch_size=_BATCH.value,
        season=_SEASON.value,
        overwrite=_OVERWRITE.value,
        checkpoint=_CHECKPOINT.value,
        smooth=_SMOOTH.value,
        mask=_MASK.value,
        fields=_FIELDS.value,
        fields_layer=_LAYER.value,
        calibrate=_CALIBRATE.value,
    )
    with _cli.open_scheduler(_SCHEDULER.value) as scheduler:
        scheduler.require(modules=_cli.imported())
        if not scheduler.is_here:
            parallel.leave_devices()
        maker = crop_map.MapMaker(options)
        result = _predict(maker, scheduler)
    print(result.table)
    _output.results(
        out=_OUT.value,
        maps=result.crops,
        summary=result.summary,
        fields=result.fields,
        cubes=maker.cubes,
        kept=len(maker.finished),
        notes=[*maker.notes, *result.notes],
    )
    for note in result.notes:
        print(f"note: {note}")
    print("\n".join(f"map: {path}" for path in result.crops))
    if result.fields:
        print(f"fields: {result.fields}")
    print(f"summary: {result.summary}\nnext: open {result.crops[0]} in QGIS, or look at the .png")


def _predict(maker, scheduler):
    """Maps what is missing, with notes and a progress bar; the result."""
    with maker:
        for note in maker.notes:
            print(f"note: {note}", flush=True)
        if maker.finished:
            print(f"mapped already: {len(maker.finished)} of {maker.cubes} cubes")
        if maker.stale:
            print(f"recomputed, since cubes or settings have changed: {len(maker.stale)}")
        if maker.parts:
            parts = maker.run(scheduler)
            for _ in _cli.progress(parts, total=maker.parts, unit="part", desc="predict"):
                pass
        return maker.finish()


if __name__ == "__main__":
    _cli.run(main)
