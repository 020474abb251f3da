"""How often intervals of area and accuracy hold the truth, over samples drawn from a simulated map.

    python -m benchmarks.area --map MAP --truth TRUTH --provinces FILE

MAP is what `predict` wrote of a simulated world's cubes, TRUTH the folder `truth` that `simulate`
wrote next to them. Every sample is drawn as `sample_points` draws it, gets its references from the
truth, and is estimated as by `area`: the same functions run. For each class the share of samples is
printed whose interval of 95 % holds the truth, for the interval that `area` reports and for the
estimate ± 1.96 standard errors, with how wide they are on average and the bias of the estimate.
"""

import collections
import dataclasses
import pathlib
import sys

import numpy as np
from tqdm import tqdm

from benchmarks import report
from cropmap_jax.evaluation import area_tables, sample_sizes
from cropmap_jax.geo import geotiffs
from cropmap_jax.mapping import (
    map_folder,
    map_strata,
    province_grid,
    sample_design,
    sample_lookup,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Held(map_folder.MapCube):
    """A cube whose pixels are in memory."""

    pixels: np.ndarray | None = None

    def read(self):
        return self.pixels


def hold(found: map_folder.FinishedMap) -> map_folder.FinishedMap:
    own = [f.name for f in dataclasses.fields(map_folder.MapCube)]
    cubes = (Held(**{n: getattr(c, n) for n in own}, pixels=c.read()) for c in found.cubes)
    return dataclasses.replace(found, cubes=tuple(cubes))


class Once(province_grid.Provinces):
    """Provinces whose grids are made once."""

    def __init__(self, names, shapes):
        super().__init__(names, shapes)
        self._grids = {}

    def grid(self, geobox):
        key = tuple(geobox.affine), str(geobox.crs), tuple(geobox.shape)
        if key not in self._grids:
            self._grids[key] = super().grid(geobox)
        return self._grids[key]


class Draw(map_strata.Drawing):
    """A draw that remembers of which stratum each pixel is."""

    def __init__(self, world, provinces, strata, sizes, seed):
        super().__init__(world.map, provinces, strata, sizes, seed)
        self._known = world.known

    def _index(self, cube):
        if cube.cube_id not in self._known:
            self._known[cube.cube_id] = super()._index(cube)
        return self._known[cube.cube_id]


class World:
    """A map with its truth.

    Args:
      args: of the command line.
    """

    def __init__(self, args):
        self.map = hold(map_folder.open_map(args.map))
        self.known = {}
        self.provinces = None
        if args.provinces:
            read = province_grid.read(args.provinces, args.provinces_column)
            self.provinces = Once(read.names, read.shapes)
        counting = map_strata.Counting(self.map, self.provinces)
        for _ in counting.run():
            pass
        self.counts = counting.counts
        self.classes = self.map.no_data
        self.truth, self.home = [], []
        for cube in self.map.cubes:
            file = pathlib.Path(args.truth) / cube.cube_id / "truth.tif"
            with geotiffs.open_geotiff(file) as raster:
                self.truth.append(self.map.classes(raster.read(1), file))
            self.home.append(map_strata.province_of(cube, self.provinces))
        self.hectares = self.true_hectares()

    def true_hectares(self) -> np.ndarray:
        """Of each class in each province where the map shows a class: float [P, classes]."""
        out = np.zeros((len(self.counts.provinces), self.classes))
        for cube, truth, home in zip(self.map.cubes, self.truth, self.home, strict=True):
            there = cube.owned() & (self.map.classes(cube.read(), cube.path) < self.classes)
            if (truth[there] >= self.classes).any():
                raise SystemExit(f"{cube.cube_id}: the truth is not known everywhere")
            np.add.at(out, (home[there], truth[there]), cube.pixel_ha)
        return out

    def true_accuracies(self) -> dict[tuple[str, str], float]:
        matrix = np.zeros((self.classes, self.classes))
        for cube, truth in zip(self.map.cubes, self.truth, strict=True):
            shown = self.map.classes(cube.read(), cube.path)
            there = cube.owned() & (shown < self.classes)
            np.add.at(matrix, (shown[there], truth[there]), cube.pixel_ha)
        found = {("overall", ""): np.trace(matrix) / matrix.sum()}
        for i, name in enumerate(self.map.names[: self.classes]):
            found["users", name] = matrix[i, i] / matrix[i].sum()
            found["producers", name] = matrix[i, i] / matrix[:, i].sum()
        return found


def estimate(world: World, strata, sizes: np.ndarray, seed: int):
    """Rows of areas and of accuracies of one sample."""
    by_province = strata[0].province is not None
    drawing = Draw(world, world.provinces if by_province else None, strata, sizes, seed)
    for _ in drawing.run():
        pass
    located, stratum = drawing.points()
    shown, home, truth = (np.zeros(len(stratum), int) for _ in range(3))
    for number, own in located.by_cube():
        at = located.row[own], located.col[own]
        cube = world.map.cubes[number]
        shown[own] = world.map.classes(cube.read()[at], cube.path)
        home[own], truth[own] = world.home[number][at], world.truth[number][at]
    design = _design(world, strata, sizes, by_province)
    like_class, like_province = sample_lookup.shares_of_strata(
        design, world.counts, world.provinces
    )
    sample = area_tables.Sample(
        *sample_lookup.sizes(design), stratum, shown, home, truth,
        like_class[:, : world.classes], like_province,
    )  # fmt: skip
    population = area_tables.Population(
        world.map.names[: world.classes],
        world.counts.provinces,
        world.counts.hectares[:, : world.classes],
    )
    return area_tables.areas(sample, population), area_tables.accuracies(sample, population)


def _design(world: World, strata, sizes, by_province: bool) -> sample_design.Design:
    own = tuple(
        sample_design.DesignStratum(
            s.code,
            s.map_class,
            None if s.province is None else world.counts.provinces[s.province],
            s.pixels,
            s.hectares,
            int(n),
        )
        for s, n in zip(strata, sizes, strict=True)
    )
    none = np.zeros(0)
    digest = world.provinces.digest if by_province else ""
    return sample_design.Design(own, (), none, none, none.astype(int), False, digest)


class Coverage:
    """Counts of intervals that hold the truth, of one figure."""

    def __init__(self, truth: float):
        self.truth, self.values = truth, []

    def add(self, value, low, high, margin) -> None:
        self.values.append([np.nan if v is None else v for v in (value, low, high, margin)])

    def row(self) -> list[float]:
        value, low, high, margin = np.array(self.values, float).T
        there = np.isfinite(low)
        held = (low <= self.truth) & (self.truth <= high)
        normal = np.abs(value - self.truth) <= margin
        return [
            self.truth,
            100 * (np.nanmean(value) / self.truth - 1),
            100 * held[there].mean(),
            100 * normal[there].mean(),
            np.nanmean(high - low) / 2,
            np.nanmean(margin),
            int(there.sum()),
        ]


def run(args) -> dict[tuple[str, str], Coverage]:
    world = World(args)
    by_province = args.by_province
    strata = map_strata.make_strata(world.counts, world.classes, by_province, False, args.seed)
    area = np.array([s.hectares for s in strata])
    pixels = np.array([s.pixels for s in strata])
    sizes = sample_sizes.allocate(
        args.points, area / area.sum(), pixels, args.allocation, args.minimum
    )
    print(f"strata: {len(strata)}, points: {sizes.sum()} ({', '.join(map(str, sizes))})")
    found: dict[tuple[str, str], Coverage] = {}
    for (measure, name), value in world.true_accuracies().items():
        found[measure, name] = Coverage(value)
    whole = dict(zip(world.map.names, world.hectares.sum(0), strict=False))
    found |= {("area", name): Coverage(value) for name, value in whole.items()}
    for place, own in zip(world.counts.provinces, world.hectares, strict=True):
        if place:
            of = zip(world.map.names, own, strict=False)
            found |= {(f"area, {place}", n): Coverage(v) for n, v in of if v}
    for draw in tqdm(range(args.draws), mininterval=10):
        areas, accuracies = estimate(world, strata, sizes, args.seed + draw)
        for row in accuracies:
            keys = ("value", "low", "high", "margin")
            found[row["measure"], row["class"]].add(*(row[k] for k in keys))
        for row in areas:
            key = (f"area, {row['province']}" if row["province"] else "area", row["class"])
            if key in found:
                keys = ("estimated_ha", "low_ha", "high_ha", "margin_ha")
                found[key].add(*(row[k] for k in keys))
    return found


def main(argv: list[str]) -> dict:
    """Draws, estimates and counts; prints and returns the coverage of each figure."""
    parser = report.make_parser("area", __doc__)
    parser.add_argument("--map", required=True, help="folder that predict wrote")
    parser.add_argument("--truth", required=True, help="folder of the truth of its cubes")
    parser.add_argument("--provinces", default="", help="file of provinces")
    parser.add_argument("--provinces_column", default="")
    parser.add_argument("--by_province", action="store_true", help="strata are of provinces, too")
    parser.add_argument("--draws", type=int, default=200, help="samples")
    parser.add_argument("--points", type=int, default=640, help="of a sample")
    parser.add_argument("--minimum", type=int, default=50, help="points of a stratum")
    parser.add_argument("--allocation", default="compromise", choices=sample_sizes.ALLOCATIONS)
    parser.add_argument("--seed", type=int, default=0, help="of the first sample")
    args = parser.parse_args(argv)
    args.draws = 3 if args.quick else args.draws
    rows, groups = [], collections.defaultdict(list)
    for (what, name), one in run(args).items():
        *figures, count = one.row()
        if count:
            group = what.partition(",")[0] + (" of a province" if "," in what else "")
            groups[group].append((figures[2], figures[3], count))
        formats = ("{:.4g}", "{:+.1f}", "{:.1f}", "{:.1f}", "{:.3g}", "{:.3g}")
        shown = [f.format(v) for f, v in zip(formats, figures, strict=True)]
        rows.append([what, name, *shown, str(count)])
    header = ["figure", "class", "truth", "bias %", "held %", "normal held %", "±", "normal ±", "n"]
    lines = [report.table(header, rows), ""]
    for what, own in groups.items():
        held, normal, count = np.array(own).T
        lines.append(
            f"{what}: {np.average(held, weights=count):.1f} % held ({held.min():.1f} to "
            f"{held.max():.1f}); estimate ± 1.96 standard errors "
            f"{np.average(normal, weights=count):.1f} % ({normal.min():.1f} to {normal.max():.1f})"
        )
    return report.finish("area", args, "\n".join(lines), {"rows": rows})


if __name__ == "__main__":
    main(sys.argv[1:])
