"""Shows a finished map, or a series of maps over a season, in the browser.

    python -m experiments.predict --workdir W --cubes DIR --as_of 2022-06-01 --out MAP
    python -m experiments.view --map MAP --cubes DIR

Serves the crop map, its confidence, fields and, with --cubes, images on this machine alone: nothing
leaves it, and no other machine reaches it unless --host says so. A click shows the class of a place
and its curves over the season against the means of the classes. With --export FILE.html it writes
one file instead, which opens in any browser without a server; for small maps.
"""

from absl import flags

from experiments import _cli, _output

_MAP = flags.DEFINE_string("map", None, "Folder of a map or of a series of maps.", required=True)
_CUBES = flags.DEFINE_string(
    "cubes", "", "Folder of the map's cubes, for images and curves; may be absent."
)
_FIELDS = flags.DEFINE_string(
    "fields", "", "Fields to outline; by default those of predict --fields, where there are any."
)
_LAYER = flags.DEFINE_string("fields_layer", "", "Layer of --fields, where there are several.")
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to serve on; 0.0.0.0 lets other machines see the map."
)
_PORT = flags.DEFINE_integer("port", 8750, "Port to serve on; 0 takes one that is free.")
_OPEN = flags.DEFINE_bool("open", False, "Open a browser.")
_EXPORT = flags.DEFINE_string("export", "", "Write one HTML file instead of serving.")


def main(_):
    from cropmap_jax.geo import extras, files

    if not _EXPORT.value:
        extras.require("view", "experiments.view")
    elif not _EXPORT.value.lower().endswith((".html", ".htm")):
        raise ValueError(f"--export: expected a file ending in .html, found {_EXPORT.value!r}")
    from cropmap_jax.viewer import shown, view

    out = files.local("--export", _EXPORT.value) if _EXPORT.value else None
    if out is not None:
        files.check_apart({"--export": out}, {"--map": _MAP.value, "--cubes": _CUBES.value})
        _export(view.View(shown.Shown(_MAP.value), *_more()), out)
        return
    from cropmap_jax.viewer import serving

    # The map takes longer to open.
    made = serving.listen(_HOST.value, _PORT.value)
    print(f"opening {_MAP.value}", flush=True)
    found = view.View(shown.Shown(_MAP.value), *_more())
    _say(found)
    if not serving.is_loopback(_HOST.value):
        print(f"note: --host {_HOST.value}: whoever reaches this address sees the map")
    serving.serve(found, made, _HOST.value, _ready)
    print("\nended")


def _more():
    return _CUBES.value, _FIELDS.value, _LAYER.value


def _say(found):
    dates = found.shown.dates
    span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}, {len(dates)} maps"
    print(f"as of {span}")
    for note in found.notes:
        print(f"note: {note}")


def _ready(address):
    import webbrowser

    _output.results(address=address)
    print(f"map: {address}\nCtrl-C ends", flush=True)
    if _OPEN.value:
        webbrowser.open(address)


def _export(found, out):
    from cropmap_jax.viewer import export

    _say(found)
    size = export.write(found, out)
    _output.results(page=out, bytes=size)
    print(f"page: {out} ({size / 1e6:.1f} MB)\nnext: open it in a browser; it needs no server")


if __name__ == "__main__":
    _cli.run(main)
