"""How hard a simulated world is: a pixel forest trained on the truth.

The forest sees the six periods up to 30 days before each class's harvest, of every pixel of the
training sites with its true class, and is scored on the true classes of the test sites. It also
reports how far the labels that training would see differ from the truth.
"""

import pathlib

import numpy as np
import rasterio
from sklearn.ensemble import RandomForestClassifier

from cropmap_jax.geo import as_of_windows, calendars, cube, cube_io
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.periods import to_days

PERIODS = 6
BOUNDS = (0.55, 0.90)
"""Macro-F1 between which a world is neither hopeless nor a toy."""


def add_arguments(parser) -> None:
    parser.add_argument("--cubes", required=True, help="folder of simulated cubes")
    parser.add_argument("--truth", help="folder of their truth; default: truth, next to --cubes")
    parser.add_argument("--lead_days", type=int, default=30, help="days before harvest")
    parser.add_argument("--pixels", type=int, default=60_000, help="drawn per split")
    parser.add_argument("--trees", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)


def read_truth(truth_dir: pathlib.Path, info: cube.CubeInfo) -> np.ndarray:
    """True classes of a cube, uint8 [H, W]."""
    file = truth_dir / info.cube_id / "truth.tif"
    if not file.is_file():
        raise ValueError(f"{file}: expected the truth of a simulated cube, found no file")
    with rasterio.open(file) as raster:
        return raster.read(1)


def as_of_days(infos: list[cube.CubeInfo], lead_days: int) -> np.ndarray:
    """int [cubes, classes]: as-of date of every class, days since 1970-01-01."""
    table = calendars.harvest_table(
        [i.harvest for i in infos], [i.place for i in infos], [i.season for i in infos],
        infos[0].legend.names,
    )  # fmt: skip
    return table - lead_days


def draw_pixels(infos, truth_dir, dates: np.ndarray, count: int, rng) -> tuple[list, np.ndarray]:
    """Features [N, periods * 12] per group of classes with the same dates, and classes uint8 [N].

    Args:
      infos: cubes of one split.
      truth_dir: folder of truth.
      dates: int [cubes, groups].
      count: pixels over all cubes.
      rng: generator.
    """
    features: list[list[np.ndarray]] = [[] for _ in range(dates.shape[1])]
    classes = []
    for info, own in zip(infos, dates, strict=True):
        truth = read_truth(truth_dir, info)
        raw = cube_io.read_raw(info.path)
        chosen = np.flatnonzero(rng.random(truth.size) < count / len(infos) / truth.size)
        classes.append(truth.ravel()[chosen])
        for group, day in enumerate(own):
            index = as_of_windows.window_indices(
                to_days(info.periods), int(day), PERIODS, info.cube_id
            )
            parts = []
            for sensor in info.sensors:
                pixels = raw.pixels[sensor.name].reshape(len(info.periods), truth.size, -1)
                window = as_of_windows.take_window(pixels[:, chosen], index, sensor.nodata)
                values = np.moveaxis(sensor.decode(window), 0, 1)
                parts.append(values.reshape(len(chosen), -1))
            features[group].append(np.concatenate(parts, 1))
    return [np.concatenate(f) for f in features], np.concatenate(classes)


def class_f1(truth: np.ndarray, predicted: np.ndarray, index: int) -> float:
    """F1 of one class."""
    both = ((truth == index) & (predicted == index)).sum()
    return float(2 * both / max((truth == index).sum() + (predicted == index).sum(), 1))


def label_quality(infos: list[cube.CubeInfo], truth_dir: pathlib.Path) -> dict[str, float]:
    """Share of the ground with a label, its share of negatives, and its agreement with the truth.

    Agreement is over the pixels that the truth and the label both give a class or none of these.
    """
    known = negative = right = total = 0
    for info in infos:
        label, truth = cube_io.read_raw(info.path).label, read_truth(truth_dir, info)
        seen = label != IGNORE
        known += seen.sum()
        negative += (label == NONE_OF_THESE).sum()
        right += (seen & (label == truth)).sum()
        total += label.size
    return {
        "annotated": known / total, "negatives": negative / max(known, 1),
        "agreement": right / max(known, 1),
    }  # fmt: skip


def run(args) -> None:
    infos = cube_io.list_cubes(args.cubes)
    truth_dir = pathlib.Path(args.truth or pathlib.Path(args.cubes).resolve().parent / "truth")
    names = infos[0].legend.names
    columns, member = np.unique(as_of_days(infos, args.lead_days), axis=1, return_inverse=True)
    rng = np.random.default_rng(args.seed)
    data = {}
    for split in ("train", "test"):
        own = [i for i, info in enumerate(infos) if info.split == split]
        if not own:
            raise ValueError(f"{args.cubes}: expected cubes of the split {split!r}, found none")
        chosen = [infos[i] for i in own]
        data[split] = draw_pixels(chosen, truth_dir, columns[own], args.pixels, rng)
    scores = {}
    for group in range(columns.shape[1]):
        forest = RandomForestClassifier(args.trees, random_state=args.seed, n_jobs=-1)
        forest.fit(data["train"][0][group], data["train"][1])
        predicted = forest.predict(data["test"][0][group])
        truth = data["test"][1]
        for index in np.flatnonzero(member.ravel() == group):
            if count := int((truth == index).sum()):
                scores[names[index]] = class_f1(truth, predicted, index), count
    quality = label_quality(infos, truth_dir)
    print(f"{'class':28}{'F1':>7}{'test pixels':>13}")
    for name, (f1, count) in scores.items():
        print(f"{name:28}{f1:7.3f}{count:13,d}")
    macro = float(np.mean([f1 for f1, _ in scores.values()]))
    verdict = "pass" if BOUNDS[0] <= macro <= BOUNDS[1] else "fail"
    print(
        f"macro-F1 of {len(scores)} classes at {args.lead_days} days' lead: {macro:.3f}, {verdict}"
    )
    print(
        f"labels: {quality['annotated']:.3f} of the ground, of it {quality['negatives']:.3f} none "
        f"of the classes; {quality['agreement']:.3f} of it agree with the truth"
    )
