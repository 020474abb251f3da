# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # From a stack to a map
#
# You have monthly composites of Sentinel-1 and Sentinel-2 over some ground as an `xarray.Dataset`, and a raster that
# says what grew on a part of it. You end with a model, its scores on ground that it has not seen, and a crop map one
# month before harvest.
#
# The data are simulated here, in seconds and without an account; scores of so little ground say how things work, not
# how well. Everything else is what you would do with your own.

# %%
import html
import pathlib
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

import cropmap_jax
from cropmap_jax.sources.simulator import run, sites

work = pathlib.Path(tempfile.mkdtemp(prefix="cropmap-"))

# %% [markdown]
# ## A stack
#
# Six places of 1.28 km with Iranian crops, October to September. Each becomes a Dataset as somebody might keep it:
# digital numbers of Sentinel-2 (reflectance × 10,000, 0 where there is none), backscatter in dB, and codes of what was seen on
# foot: 1 to 8 are crops, 99 is none of these, 0 is ground where nobody was.

# %%
settings = sites.Settings(
    world="iran",
    sites={"train": 4, "validation": 1, "test": 1},
    tiles=1,
    first="2021-10-01",
    last="2022-09-30",
    label="teams",
    annotated=0.2,
    seed=3,
)
run.simulate(settings, work / "cubes", work / "truth", workers=1)


def as_somebody_keeps_it(cube: xr.Dataset) -> xr.Dataset:
    """The same ground under other names and numbers."""
    optical = [name for name in cube.data_vars if str(name).startswith("B")]
    stack = (cube[optical] * 10_000).fillna(0).round().astype("uint16")
    for name in optical:
        stack[name].attrs = {"nodata": 0}
    stack = stack.rename({name: f"S2_{name}" for name in optical})
    label = cube.label.astype("int16")
    crop = xr.where(label < 8, label + 1, xr.where(label == 254, 99, 0))
    return stack.assign(S1_VV=cube.VV, S1_VH=cube.VH, crop=crop).drop_attrs(deep=False)


cubes = [cropmap_jax.read_cube(path) for path in sorted((work / "cubes").glob("[!.]*"))]
stacks = {
    cube.attrs["cube_id"]: (as_somebody_keeps_it(cube), cube.attrs["split"]) for cube in cubes
}
stack, _ = stacks[cubes[0].attrs["cube_id"]]
stack

# %% [markdown]
# ## What the library has to be told
#
# What the bands are called, how numbers become reflectance, what the codes mean, and when each crop is harvested
# (the first day). A pixel with another code is *unknown*, and never taken for "no crop". Months are recognised by their dates. `split` says which ground is trained on, which chooses
# thresholds and which is only scored: whole places each, so that no field is in two of them.

# %%
crops = dict(
    enumerate(
        ("canola", "cotton", "lentils", "maize", "onion", "pea", "sugarbeet", "tomato"), start=1
    )
)
bands = {
    name: f"S2_{name}" for name in ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
}
bands |= {"VV": "S1_VV", "VH": "S1_VH"}
# The simulated provinces have calendars of their own; one's own come from `docs/own_fields.md`.
calendars = {
    cube.attrs["cube_id"]: cropmap_jax.Cube.from_xarray(cube).info.harvest for cube in cubes
}

mine = [
    cropmap_jax.Cube.from_xarray(
        own,
        bands=bands,
        scale={"s2": 0.0001},
        label="crop",
        legend=crops,
        none_of_these=(99,),
        harvest=calendars[name],
        cube_id=name,
        split=split,
    )
    for name, (own, split) in stacks.items()
]
mine[0]

# %% [markdown]
# ## Train
#
# `fit` does what the commands `build` and `finetune` do. The network looks at the course of each pixel over six months.
# Here it takes 200 steps; the config's 2,500 take half a minute on two cores.

# %%
data = cropmap_jax.Dataset.from_xarray(mine, work / "data", progress=False)
print(data.describe())

# %%
model = cropmap_jax.fit(
    data,
    "configs/pixel_series/finetune.py",
    workdir=work / "run",
    settings={"epochs": 1, "steps_per_epoch": 200, "batch_size": 256},
)
model

# %% [markdown]
# ## Score
#
# On the test place, 30 days before each crop's own harvest, at thresholds that were chosen on the validation place.

# %%
scores = model.evaluate()
f1 = scores.table.f1.sel(unit="pixels").squeeze("lead_days")
known = (
    scores.table[["tp", "fn"]].to_array().sum("variable").sel(unit="pixels").squeeze("lead_days")
)

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.bar(f1.crop.values, np.nan_to_num(f1.values), color="#4477aa")
axes.set(ylim=(0, 1), ylabel="F1 of pixels", title="Test place, 30 days before harvest")
axes.set_xticks(
    range(f1.size),
    [
        name if name == "macro mean" else f"{name}\n{int(known.sel(crop=name))} px"
        for name in f1.crop.values
    ],
)
axes.tick_params(axis="x", labelsize=8)
axes.grid(axis="y", alpha=0.4)

# %% [markdown]
# ## Map
#
# The map as of 1 June sees the composites that were complete by then, December to May, and nothing later.

# %%
place = next(cube for cube in mine if cube.info.split == "test")
found = model.predict(place, as_of="2022-06-01", progress=False)
found

# %%
colours = [one.colour for one in model.legend.classes] + ["#dddddd", "#ffffff"]
titles = [one.title for one in model.legend.classes] + ["none of these", "nothing seen"]
shown = found.crop.where(found.crop < 254, found.crop - 254 + len(model.legend))
optical = place.to_xarray().sel(time="2022-05").squeeze("time")
image = (optical[["B4", "B3", "B2"]].to_array("band").transpose("y", "x", "band") * 4).clip(0, 1)

figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained", sharey=True)
km = {"x": (found.x - found.x[0]) / 1000, "y": (found.y - found.y[-1]) / 1000}
extent = (0.0, float(km["x"][-1]), 0.0, float(km["y"][0]))
axes[0].imshow(np.nan_to_num(image), extent=extent)
axes[0].set_title("Sentinel-2, May 2022")
axes[1].imshow(
    shown,
    extent=extent,
    cmap=ListedColormap(colours),
    vmin=-0.5,
    vmax=len(colours) - 0.5,
    interpolation="nearest",
)
axes[1].set_title("Crops as of 1 June 2022")
axes[1].legend(
    handles=[Patch(color=c, label=t) for c, t in zip(colours, titles, strict=True)][:-1],
    loc="upper center",
    bbox_to_anchor=(0.5, -0.14),
    ncol=3,
    fontsize=8,
    frameon=False,
)
seen = axes[2].imshow(
    found.confidence.where(found.confidence < 255),
    extent=extent,
    vmin=0,
    vmax=100,
    cmap="viridis",
    interpolation="nearest",
)
axes[2].set_title("Confidence")
figure.colorbar(seen, ax=axes[2], label="probability of what is shown, %", shrink=0.8)
for one in axes:
    one.set(xlabel="eastwards, km")
axes[0].set_ylabel("northwards, km")

# %% [markdown]
# Hectares of what is shown. Counted pixels are biased by the map's errors; `experiments.area` estimates them from a
# sample.

# %%
index, count = np.unique(found.crop, return_counts=True)
hectares = {
    titles[i] if i < 254 else titles[i - 254 + len(model.legend)]: int(n) / 100
    for i, n in zip(index, count, strict=True)
}
hectares

# %% [markdown]
# ## Files, and a map to look around in
#
# `write_map` writes what the command `predict` writes: GeoTIFFs, a QGIS style, a picture and a table of hectares. The
# viewer puts a map into one HTML file that needs no server: zoom, switch layers, click on a field.

# %%
folder = model.write_map(work / "cubes", "2022-06-01", work / "map", progress=False)
print(*sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")), sep="\n")

# %%
try:
    from IPython.display import HTML

    from cropmap_jax.viewer import export, view
    from cropmap_jax.viewer.shown import Shown
except ImportError as missing:
    shown_here = print(f"no viewer here: {missing}")
else:
    file = work / "map.html"
    export.write(view.View(Shown(str(folder)), str(work / "cubes")), file)
    # The page itself, so that the notebook shows it wherever it is opened.
    page = html.escape(file.read_text(encoding="utf-8"))
    shown_here = HTML(f'<iframe srcdoc="{page}" width="900" height="600"></iframe>')
shown_here
