"""Maps the crops of every cube in a folder, as of a date, without seams between cubes.

    python -m experiments.predict --workdir W --cubes DIR --as_of 2022-06-01 --out DIR

The cubes and the checkpoint are all it needs: legend, scaling and window come from the latter. Each
cube gets a crop map and a confidence map as cloud-optimised GeoTIFF; the region gets virtual
rasters with a QGIS style, a picture and a table of hectares. Interrupted, the same command resumes:
maps that are there are left as they are. Files that predict did not write are never touched.
Where `calibrate` was run, confidence is calibrated.
--fields gives each parcel of a file one class, --smooth smooths probabilities first, and --mask
leaves ground out. --series writes a map per month of the season into folders of --out, and since
when the class of each pixel has held; with a later --as_of it adds the maps that are missing.
--scheduler lets other processes or machines map, to the same last bit.
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
_SERIES = flags.DEFINE_bool(
    "series",
    False,
    "A map as of the end of each period until --as_of, in folders of --out.",
)
_SERIES_FROM = flags.DEFINE_string(
    "series_from", "", "With --series: no map before this date, or how many maps, the last ones."
)
_SCHEDULER = _flags.define_scheduler("maps groups of neighbouring cubes")


def main(_):
    from cropmap_jax.mapping import crop_map, series
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
    if _SERIES_FROM.value and not _SERIES.value:
        raise ValueError("--series_from: expected --series with it, found none")
    with _cli.open_scheduler(_SCHEDULER.value) as scheduler:
        scheduler.require(modules=_cli.imported())
        if not scheduler.is_here:
            parallel.leave_devices()
        if _SERIES.value:
            _series(options, scheduler)
            return
        series.check_no_series(_OUT.value)
        with crop_map.MapMaker(options) as maker:
            result = _map(maker, "predict", scheduler)
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
    print(
        f"summary: {result.summary}\nnext: open {result.crops[0]} in QGIS, or look at it in the "
        f"browser: python -m experiments.view --map {_OUT.value} --cubes {_CUBES.value}"
    )


def _map(maker, desc: str, scheduler):
    """Maps what is missing; the result of the whole map."""
    for note in maker.notes:
        print(f"note: {note}", flush=True)
    if maker.finished:
        print(f"mapped already: {len(maker.finished)} of {maker.cubes} cubes")
    if maker.stale:
        print(f"recomputed, since cubes or settings have changed: {len(maker.stale)}")
    if maker.parts:
        for _ in _cli.progress(maker.run(scheduler), total=maker.parts, unit="part", desc=desc):
            pass
    return maker.finish()


def _series(options, scheduler) -> None:
    """A map per date, and since when the classes of the last one have held."""
    from cropmap_jax.mapping import series

    maps, notes = {}, []
    with series.Series(options, _SERIES_FROM.value) as made:
        for note in made.notes:
            print(f"note: {note}", flush=True)
        for number, date in enumerate(made.dates, 1):
            print(f"\n== as of {date} ({number} of {len(made.dates)})", flush=True)
            with made.maker(date) as maker:
                result = _map(maker, f"predict {date}", scheduler)
            maps[date.isoformat()] = result.crops
            for note in result.notes:
                print(f"note: {note}", flush=True)
            notes += [f"{date}: {note}" for note in (*maker.notes, *result.notes)]
        done = made.finish(_cli.progress)
    print(f"\n{result.table}\n\n{done.table}")
    _output.results(
        out=_OUT.value,
        series=done.series,
        maps=maps,
        since=done.since,
        summary=done.summary,
        fields=done.fields,
        collection=done.collection,
        cubes=maker.cubes,
        notes=[*made.notes, *notes],
    )
    print("\n".join(f"map: {path}" for path in result.crops))
    print("\n".join(f"since when: {path}" for path in done.since))
    if done.fields:
        print(f"fields: {done.fields}")
    print(f"summary: {done.summary}\nseries: {done.series}, STAC {done.collection}")
    print(
        f"next: open {done.since[0]} in QGIS, or look at it in the browser: "
        f"python -m experiments.view --map {_OUT.value} --cubes {_CUBES.value}"
    )


if __name__ == "__main__":
    _cli.run(main)
