"""Members of combined runs: forests that learn in a second, networks that never learnt."""

from mapping import small_maps

from cropmap_jax import runs
from cropmap_jax.baselines import drawing, fitting, recipe, storage
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.runs import combined, combined_storage
from cropmap_jax.training import checkpoints, steps

PERIODS = 6


def keep_forest(data, workdir, seed=0, sensors=None, num_periods=PERIODS, ground=None, more=None):
    """Trains and stores a forest of eight trees; `ground` is where it says that it has learnt,
    `more` what its config says."""
    chosen = Settings("forest", arguments={"trees": 8})
    made = recipe.make_recipe(chosen, num_periods, 30, data, sensors or data.sensors)
    dates = drawing.drawn_dates(data, 30, None)
    pixels = drawing.training_pixels(
        data, "train", made.features(), dates, "field", 1000, seed, copies=True
    )
    model = fitting.fit(made.settings(), pixels, seed, "here")
    storage.save(
        workdir,
        model,
        made,
        {
            "config": config(data) | {"seed": seed} | (more or {}),
            "dataset": data.fingerprint,
            "cubes": ground or data.ground,
            "unseen_bands": data.unseen_bands,
            "trained": {"seconds": 0.1},
        },
    )
    return workdir


def config(data) -> dict:
    name = data.name.partition(":")[0]
    return {"data_dir": str(data.path.parents[len(name.split("/"))]), "dataset": name}


def save_network(data, workdir, loss="softmax_none", seed=1, **model):
    """Stores a network as it is before its first step."""
    made = small_maps.make_recipe(loss, norm="group", num_periods=PERIODS, **model)
    meta = {"recipe": made.to_json(), "config": config(data), "stage": "finetune"}
    meta |= {"dataset": data.fingerprint, "cubes": data.ground}
    with checkpoints.Checkpointer(workdir, meta) as checkpointer:
        checkpointer.save(3, steps.init_variables(made, seed))
    return workdir


def combine(workdir, paths, weights, data, how=None):
    """Writes combined runs of given weights, and reads them."""
    names = combined.names_of(paths)
    members = {name: runs.open_run(path) for name, path in zip(names, paths, strict=True)}
    run = combined.combine(members, weights, config(data), how)
    methods = {name: runs.method_of(one) for name, one in members.items()}
    workdirs = dict(zip(names, map(str, paths), strict=True))
    described = combined_storage.describe(run, workdirs, methods)
    combined_storage.save(workdir, run, described, "a test")
    return runs.open_run(workdir)
