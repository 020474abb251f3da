"""Lists the parcels of a map to check before harvest: where it is unsure and much depends on it.

    python -m experiments.predict --workdir W --cubes DIR --as_of DATE --fields PARCELS --out MAP
    python -m experiments.visit --map MAP --out VISITS --count 20 --known tiles/fields.gpkg

First come parcels of whose class the map is unsure, large ones before small ones, and those whose
harvest is near; parcels that are alike or lie close together are not all listed. Writes
visits.gpkg, visits.csv (with longitude and latitude) and visits.png. For training with few
annotated fields, fields at random taught a network more than these (docs/label_review.md).
"""

from absl import flags

from experiments import _cli, _output

_MAP = flags.DEFINE_string("map", None, "Folder of a map with parcels.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
_COUNT = flags.DEFINE_integer("count", 20, "Parcels to list.", lower_bound=1)
_KNOWN = flags.DEFINE_string("known", "", "Vector file of annotated fields, which are left out.")
_DAYS = flags.DEFINE_integer(
    "least_days", 7, "Parcels harvested sooner after the map's date are left out."
)
_HECTARES = flags.DEFINE_float("least_ha", 0.2, "Smaller parcels are left out.", lower_bound=0)

_FILES = ("visits.gpkg", "visits.csv", "visits.png")


def main(_):
    from cropmap_jax.geo import extras, files, processes

    extras.require("fields", "experiments.visit")
    from cropmap_jax.review import visit_map

    out, folder = files.local("--out", _OUT.value), files.local("--map", _MAP.value)
    files.check_apart({"--out": out}, {"--map": folder, "--known": _KNOWN.value})
    found = visit_map.MapParcels(folder)
    annotated = None
    if _KNOWN.value:
        annotated = visit_map.known(found, files.local("--known", _KNOWN.value))
    limits = (_COUNT.value, _DAYS.value, _HECTARES.value)
    frame, notes = visit_map.choose(found, *limits, annotated)
    with processes.stoppable(), files.Lock(out, "--out"):
        files.tidy(out)
        files.Written(out, "visit").claim(*_FILES)
        visit_map.write(out, found, frame)
    print(visit_map.summary(frame))
    _output.results(visits=out / _FILES[0], fields=len(frame), notes=notes)
    for note in notes:
        print(f"note: {note}")
    print(
        f"visits: {out / _FILES[0]}, {_FILES[1]}, {_FILES[2]}\n"
        f"next: annotate what grows there, and run python -m experiments.prepare\n"
        f"note: with few annotated fields, further ones at random teach a network more than these "
        f"(docs/label_review.md)"
    )


if __name__ == "__main__":
    _cli.run(main)
