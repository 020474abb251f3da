"""How near estimates of the shares of classes come to the truth of simulated cubes.

    python -m benchmarks.simulator priors --cubes CUBES --data_dir DIR --dataset isrc

CUBES is the folder of `experiments.simulate`, and the dataset is built of it. Shares are those of
all ground of the training sites; estimates are what `config.unknown.priors` offers, "annotated"
with the true share of cultivated ground and with 1.
"""

import pathlib

import numpy as np

from benchmarks.simulator.mapped_ground import COVERS, ground_of
from cropmap_jax.data import dataset
from cropmap_jax.geo import cube_io
from cropmap_jax.training import unknown
from cropmap_jax.training.unknown import Unknown


def true_shares(cubes: pathlib.Path, classes: int) -> tuple[np.ndarray, float]:
    """Share of each class, float64 [classes], and of cultivated ground, on the training sites."""
    wanted = {info.cube_id for info in cube_io.list_cubes(cubes) if info.split == "train"}
    pixels, fields = np.zeros(256), 0
    for _, cover, truth in ground_of(cubes, wanted):
        pixels += np.bincount(truth.ravel(), minlength=256)
        fields += int((cover == COVERS.index("field")).sum())
    return pixels[:classes] / pixels.sum(), fields / pixels.sum()


def compare(estimated: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Mean relative error, and the smallest and the largest estimate as a multiple of the truth."""
    ratio = estimated / true
    return float(np.abs(ratio - 1).mean()), float(ratio.min()), float(ratio.max())


def add_arguments(parser) -> None:
    parser.add_argument("--cubes", required=True, help="folder of simulated cubes")
    parser.add_argument("--data_dir", required=True, help="folder of datasets")
    parser.add_argument("--dataset", default="isrc", help="the dataset of these cubes (isrc)")
    parser.add_argument("--fields_per_class", type=int, default=0, help="that are known; 0: all")


def run(args) -> None:
    """Prints each estimate next to the truth."""
    data = dataset.open_dataset(args.data_dir, args.dataset, fields_per_class=args.fields_per_class)
    names = data.legend.names
    true, cropland = true_shares(pathlib.Path(args.cubes), len(names))
    ways = {
        "best_bin": Unknown("pu", priors=unknown.BEST_BIN),
        f"annotated, cropland {cropland:.2f}": Unknown(
            "pu", priors=unknown.ANNOTATED, cropland=cropland
        ),
        "annotated, cropland 1": Unknown("pu", priors=unknown.ANNOTATED),
    }
    print(f"{'':26}" + "".join(f"{name:>11}" for name in names) + "  mean error   of the truth")
    print(f"{'truth':26}" + "".join(f"{share:11.3f}" for share in true))
    for name, way in ways.items():
        found = way.class_priors(data)
        error, low, high = compare(found, true)
        shares = "".join(f"{share:11.3f}" for share in found)
        print(f"{name:26}{shares}{error:12.2f}   {low:.2f} to {high:.2f}")
