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
# # My own fields
#
# You have polygons with a crop each, from a field visit or a register, and cubes of the ground they lie in. You end
# with a model that was scored on *other fields* than it learnt from, and a class for every parcel.
#
# For a whole campaign (provinces, calendars, points, doubtful outlines) there is the command
# `prepare` (docs/own_fields.md); this is the short way, for one's own hand. Data are simulated, in seconds and
# without an account.

# %%
import json
import pathlib
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import rasterio.features
import shapely.geometry
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

import cropmap_jax
from cropmap_jax.geo.folds import Rule
from cropmap_jax.sources.simulator import run, sites

work = pathlib.Path(tempfile.mkdtemp(prefix="cropmap-"))
settings = sites.Settings(
    world="iran",
    sites={"train": 6},
    tiles=1,
    first="2021-10-01",
    last="2022-09-30",
    label="truth",
    seed=8,
)
run.simulate(settings, work / "cubes", work / "truth", workers=1)
cubes = [cropmap_jax.read_cube(path) for path in sorted((work / "cubes").glob("[!.]*"))]
classes = cubes[0].label.attrs["flag_meanings"].split()[:-2]

# %% [markdown]
# ## Fields as a file of polygons
#
# A GeoJSON as a team would hand it in: half of the parcels, each with its crop, "other" where it is none of those that
# we look for. Without a few such fields a model finds a crop everywhere.

# %%
rng = np.random.default_rng(0)
features = []
for cube in cubes:
    transform = cube.odc.geobox.affine
    label, number = cube.label.values, cube.fields.values.astype("int32")
    for outline, field in rasterio.features.shapes(number, number > 0, transform=transform):
        own = np.unique(label[number == int(field)])
        if len(own) == 1 and own[0] != 255 and rng.random() < 0.5:
            crop = "other" if own[0] == 254 else classes[own[0]]
            about = {"crop": crop, "place": cube.attrs["cube_id"], "number": len(features) + 1}
            features.append({"type": "Feature", "geometry": outline, "properties": about})
file = work / "my_fields.geojson"
file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
counts = {
    crop: sum(one["properties"]["crop"] == crop for one in features) for crop in [*classes, "other"]
}
counts

# %% [markdown]
# ## Onto the grid of the cubes
#
# A pixel belongs to a field if it lies in it as a whole: outlines are shrunk by a pixel, since an edge shows two
# crops and a road. All other ground stays *unknown*: it is never taken for "no crop".

# %%
fields = json.loads(file.read_text())["features"]
code = {crop: i + 1 for i, crop in enumerate(classes)} | {"other": 99}


def burn(cube: xr.Dataset, value: str) -> np.ndarray:
    """A number of each field on the cube's grid, 0 elsewhere."""
    own = [one for one in fields if one["properties"]["place"] == cube.attrs["cube_id"]]
    numbers = [
        code[one["properties"]["crop"]] if value == "crop" else one["properties"][value]
        for one in own
    ]
    shapes = [
        (inner, number)
        for one, number in zip(own, numbers, strict=True)
        if not (inner := shapely.geometry.shape(one["geometry"]).buffer(-10)).is_empty
    ]
    box = cube.odc.geobox
    return rasterio.features.rasterize(shapes, box.shape, transform=box.affine, dtype="int32")


mine = []
for cube in cubes:
    pixels = cube.drop_vars(["label", "fields"], errors="ignore")
    harvest = cropmap_jax.Cube.from_xarray(cube).info.harvest
    own = pixels.drop_attrs(deep=False).assign(
        crop=(("y", "x"), burn(cube, "crop")), number=(("y", "x"), burn(cube, "number"))
    )
    mine.append(
        cropmap_jax.Cube.from_xarray(
            own,
            label="crop",
            fields="number",
            legend={code[crop]: crop for crop in classes},
            none_of_these=(code["other"],),
            harvest=harvest,
            cube_id=cube.attrs["cube_id"],
            split="train",
        )
    )

# %%
cube, first = cubes[0], mine[0]
colours = [*(one.colour for one in first.info.legend.classes), "#bbbbbb"]
extent = (0, float(cube.x[-1] - cube.x[0]) / 1000, 0, float(cube.y[0] - cube.y[-1]) / 1000)
patches = [Patch(color=c, label=t) for c, t in zip(colours, [*classes, "other"], strict=True)]
ndvi = (cube.B8 - cube.B4) / (cube.B8 + cube.B4)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
axes[0].imshow(
    ndvi.sel(time="2022-05").squeeze("time"), extent=extent, cmap="Greys", vmin=0, vmax=1
)
known = np.where(first.raw.label == 254, len(classes), first.raw.label)
known = np.ma.masked_greater(known, len(classes))
axes[0].imshow(
    known,
    extent=extent,
    cmap=ListedColormap(colours),
    vmin=-0.5,
    vmax=len(colours) - 0.5,
    interpolation="nearest",
)
axes[0].set(
    title="My fields over NDVI of May 2022", xlabel="eastwards, km", ylabel="northwards, km"
)
axes[0].legend(
    handles=patches,
    loc="upper center",
    bbox_to_anchor=(0.5, -0.14),
    ncol=4,
    frameon=False,
    fontsize=8,
)
for i, crop in enumerate(classes):
    there = ndvi.where(xr.DataArray(first.raw.label == i, dims=("y", "x")))
    if there.notnull().any():
        axes[1].plot(cube.time, there.mean(("y", "x")), color=f"C{i}", label=crop, marker=".")
axes[1].set(
    title="Mean course of NDVI", ylabel="NDVI", xlabel="month of the composite", ylim=(0, 1)
)
axes[1].tick_params(axis="x", rotation=40)
axes[1].legend(fontsize=8, frameon=False)
axes[1].grid(alpha=0.3)

# %% [markdown]
# ## Few fields: folds instead of splits
#
# Six places are too few to keep some for testing. *Folds* divide whole fields: here the fields of one third are tested
# and those of the others learnt from. (`experiments.crossvalidate` trains on all folds and pools the counts.)
# A random forest is a fair first model with few fields; the network is one word away (`fit`'s default).

# %%
built = cropmap_jax.Dataset.from_xarray(
    mine, work / "data", folds=Rule(3, "field", 0), progress=False
)
data = cropmap_jax.Dataset(built.data_dir, built.name, fold=0)
model = cropmap_jax.fit(
    data,
    "configs/baselines/forest.py",
    workdir=work / "forest",
    settings={"arguments.trees": 40, "most_pixels": 12_000, "means": (3,)},
)
scores = model.evaluate()
table = scores.table.squeeze("lead_days")

figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
width = 0.4
for i, unit in enumerate(table.unit.values):
    own = table.sel(unit=unit)
    at = np.arange(own.sizes["crop"]) + (i - 0.5) * width
    axes.bar(at, own.f1.fillna(0), width, label=unit, color=("#4477aa", "#ccbb44")[i])
axes.set_xticks(range(table.sizes["crop"]), table.crop.values, fontsize=8)
axes.set(ylim=(0, 1), ylabel="F1", title="Fields that were not learnt from, 30 days before harvest")
axes.legend(frameon=False)
axes.grid(axis="y", alpha=0.4)

# %% [markdown]
# ## A class for every parcel
#
# Probabilities are averaged over each parcel of the register; the largest mean is its class. For files there is
# `predict --fields`, which does so for a whole region. By 1 August the summer crops stand here, two months before
# their harvest; canola is off the field, and is known by its spring.

# %%
found = model.predict(mine[0], as_of="2022-08-01", progress=False)
parcels = cubes[0].fields.values.astype(int)
size = np.bincount(parcels.ravel())
total = [np.bincount(parcels.ravel(), one.ravel()) for one in found.probability.values]
means = np.stack(total, -1)[size > 0] / size[size > 0, None]
numbers = np.flatnonzero(size)
names = found["class"].values
print(f"{len(numbers) - 1} parcels; the first five:")
for number, mean in list(zip(numbers, means, strict=True))[1:6]:
    print(f"  {number}: {names[mean.argmax()]}, {mean.max():.0%}")

of_parcel = np.full(len(size), np.nan)
of_parcel[numbers] = means.argmax(-1)
of_parcel[0] = np.nan
figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained", sharey=True)
style = {
    "extent": extent,
    "cmap": ListedColormap(colours),
    "vmin": -0.5,
    "vmax": len(colours) - 0.5,
    "interpolation": "nearest",
}
shown = xr.where(found.crop == 254, len(classes), found.crop)
axes[0].imshow(shown.where(shown <= len(classes)), **style)
axes[0].set(
    title="Pixel by pixel, as of 1 August 2022", xlabel="eastwards, km", ylabel="northwards, km"
)
axes[1].imshow(of_parcel[parcels], **style)
axes[1].set(title="Parcel by parcel", xlabel="eastwards, km")
axes[1].legend(
    handles=patches, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=8
)

# %% [markdown]
# Each parcel that was known can be compared with what it became, learnt from or not: a look at the map, no score.

# %%
truth = cubes[0].label.values
grows = {number: truth[parcels == number][0] for number in numbers[1:]}
right = [of_parcel[number] == crop for number, crop in grows.items() if crop < len(classes)]
print(f"{np.mean(right):.0%} of {len(right)} parcels with one of these crops are right")
