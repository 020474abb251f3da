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
# # How early can I know?
#
# A map that comes after harvest helps few. How good is one that comes 30, 60, 90 days before it? The answer is a
# curve, for each crop its own, and it hangs on what the model was trained to do: one that has only ever seen windows
# that end a month before harvest guesses in spring.
#
# The ground is simulated, in seconds and without an account; what is shown is the way to ask, not what real ground
# would answer.

# %%
import pathlib
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

import cropmap_jax
from cropmap_jax.sources.simulator import run, sites

work = pathlib.Path(tempfile.mkdtemp(prefix="cropmap-"))
settings = sites.Settings(
    world="iran",
    sites={"train": 4, "validation": 1, "test": 1},
    tiles=1,
    first="2021-10-01",
    last="2022-09-30",
    label="teams",
    annotated=0.25,
    seed=5,
)
run.simulate(settings, work / "cubes", work / "truth", workers=1)
data = cropmap_jax.Dataset.from_cubes(work / "cubes", work / "data", progress=False)
print(data.describe())

# %% [markdown]
# ## When is harvest?
#
# Days before harvest count from each crop's own calendar, which the cubes carry.

# %%
cube = cropmap_jax.Cube.read(next(p for p in sorted((work / "cubes").glob("[!.]*"))))
for crop, seasons in sorted(cube.info.harvest.items(), key=lambda pair: pair[1][0].harvest_start):
    for season in seasons:
        print(f"{crop:10} planted by {season.planting}, harvested from {season.harvest_start}")

# %% [markdown]
# ## A model for all dates
#
# With `max_lead_days` each training pixel is seen as of a date that is drawn from 30 to 120 days before its harvest, so
# that one model serves the whole season.

# %%
model = cropmap_jax.fit(
    data,
    "configs/pixel_series/finetune.py",
    workdir=work / "run",
    settings={"epochs": 1, "steps_per_epoch": 250, "batch_size": 256, "max_lead_days": 120},
)

# %% [markdown]
# ## The curve
#
# F1 on the test place at five dates, thresholds chosen for each on the validation place. The band is the 95 % interval:
# fields of the test place drawn again with replacement. With one test place it speaks of other fields of that place
# only; how other places would do, it cannot know.

# %%
leads = [120, 90, 60, 30, 15]
scores = model.evaluate(lead_days=leads)
table = scores.table.sel(unit="pixels")

figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained", sharey=True)
mean = table.sel(crop="macro mean")
axes[0].plot(mean.lead_days, mean.f1, "o-", color="#222222", label="mean of all crops")
axes[0].fill_between(
    mean.lead_days,
    mean.f1_low,
    mean.f1_high,
    color="#222222",
    alpha=0.15,
    lw=0,
    label="95 % interval",
)
axes[0].axhline(0.8, color="#aa3377", ls="--", lw=1, label="F1 of 0.8")
axes[0].legend(loc="upper left", frameon=False)
axes[0].set(ylabel="F1 of pixels", title="All crops")
styles = ("-", "--", ":", "-.")
for i, one in enumerate(model.legend.classes):
    own = table.sel(crop=one.name)
    axes[1].plot(own.lead_days, own.f1, styles[i % 4], marker=".", color=f"C{i}", label=one.title)
axes[1].legend(ncol=1, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
axes[1].set_title("Crop by crop")
for each in axes:
    each.set(xlabel="days before harvest", ylim=(0, 1), xticks=leads)
    each.invert_xaxis() if not each.xaxis_inverted() else None
    each.grid(alpha=0.3)

# %% [markdown]
# When each crop reaches 0.8, in words (`raw` holds all of it, JSON-ready):

# %%
for curve in scores.raw["curves"]:
    if curve["unit"] == "pixels":
        print(f"{curve['crop']:10} {curve['earliest']['words']}")

# %% [markdown]
# ## The same ground in April, May and June
#
# Three maps of one test place. A crop that was not planted by the date is not mapped.

# %%
test = next(
    cube
    for cube in map(cropmap_jax.read_cube, sorted((work / "cubes").glob("[!.]*")))
    if cube.attrs["split"] == "test"
)
dates = ["2022-04-01", "2022-05-01", "2022-06-01"]
maps = [model.predict(test, date, progress=False) for date in dates]

colours = [one.colour for one in model.legend.classes] + ["#dddddd", "#ffffff"]
titles = [one.title for one in model.legend.classes] + ["none of these", "nothing seen"]
figure, axes = plt.subplots(2, 3, figsize=(10, 7.4), layout="constrained", sharex=True, sharey=True)
side = float(test.x[-1] - test.x[0]) / 1000
extent = (0, side, 0, float(test.y[0] - test.y[-1]) / 1000)
crop_style = {"cmap": ListedColormap(colours), "vmin": -0.5, "vmax": len(colours) - 0.5}
for column, (date, one) in enumerate(zip(dates, maps, strict=True)):
    shown = one.crop.where(one.crop < 254, one.crop - 254 + len(model.legend))
    axes[0, column].imshow(shown, extent=extent, interpolation="nearest", **crop_style)
    seen = one.confidence.where(one.confidence < 255)
    picture = axes[1, column].imshow(
        seen, extent=extent, vmin=0, vmax=100, cmap="viridis", interpolation="nearest"
    )
    axes[0, column].set_title(f"as of {date}")
    axes[1, column].set_title(f"mean confidence {float(seen.mean()):.0f} %")
    axes[1, column].set_xlabel("eastwards, km")
for row in (0, 1):
    axes[row, 0].set_ylabel("northwards, km")
figure.colorbar(picture, ax=axes, label="confidence, %", shrink=0.45, anchor=(0, 0))
patches = [Patch(color=c, label=t) for c, t in zip(colours, titles, strict=True)]
figure.legend(handles=patches[:-1], loc="outside upper center", ncol=5, frameon=False)

# %% [markdown]
# How much ground still changes its crop from one date to the next?

# %%
for (before, earlier), (after, later) in zip(
    zip(dates, maps, strict=True), zip(dates[1:], maps[1:], strict=True), strict=False
):
    moved = float(np.mean(earlier.crop.values != later.crop.values))
    print(f"{before} to {after}: {moved:.0%} of the pixels")
