"""How `review_labels` and `visit` look at fields: a small forest that sees the whole season.

python -m experiments.review_labels --config configs/review.py --out REVIEW \
    --config.data_dir=DIR --config.dataset=isrc
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data_dir = ""  # folder of datasets
    config.dataset = "isrc"  # "<kind>" or "<kind>/<name>"
    config.sensors = ("s1", "s2")  # whose pixels it takes
    config.seed = 0  # of the deal of blocks and of each model
    # Each field is predicted by a model that has seen nothing of its fold. A dataset that was built
    # with folds keeps its own; in others, blocks are dealt out.
    config.folds = 5

    # What a pixel is: bands in all periods of its cube, and
    config.indices = ("all",)  # or names; "all": those whose bands are there; () for none
    config.means = ()  # sides in pixels of the squares that are averaged

    # Which pixels a model learns from, and how. Any method of configs/baselines.
    config.draw_by = "field"  # fields count as the root of their pixels; or "place", or "all"
    config.most_pixels = 30_000  # that a model learns from
    config.method = "forest"  # or "boosting", "logistic"
    config.arguments = ConfigDict()
    config.arguments.trees = 100  # of a forest; other methods have arguments of their own
    return config
