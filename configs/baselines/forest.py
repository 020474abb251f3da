"""A random forest on bands, indices and neighbourhood means, kept for `evaluate` and `predict`.

python -m experiments.baseline --config configs/baselines/forest.py --workdir W \
    --config.data_dir=DIR --config.dataset=isrc
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data_dir = ""  # folder of datasets
    config.dataset = "isrc"  # "<kind>" or "<kind>/<name>"
    config.fold = config_dict.placeholder(int)  # of a dataset with folds, the one that is tested
    config.fields_per_class = 0  # that are known, outside of test (docs/training.md); 0: all
    config.fields_draw = 0  # which draw of them
    config.sensors = ("s1", "s2")  # whose pixels it takes
    config.seed = 0  # of the drawn pixels and of the method

    # What a pixel is: bands in all periods of the window, and
    config.num_periods = 6
    config.indices = ("all",)  # or names; "all": those whose bands are there; () for none
    config.means = (3, 7)  # sides in pixels of the squares that are averaged; () for none
    config.dates = True  # the date of the window

    # Which pixels it learns from, and as of when.
    config.draw_by = "field"  # fields count as the root of their pixels; or "place", or "all"
    config.most_pixels = 200_000  # with the dates as of which they are seen
    # Of these, pixels that only a land-cover map of the cubes says are none of the classes
    # (docs/training.md).
    config.weak_share = 0.0
    config.weak_weight = 1.0  # in learning, where an annotated pixel weighs 1
    config.lead_days = 30  # as-of date = a harvest start - lead_days; -366 to 366
    # Above 0, leads are drawn from lead_days to this: for maps earlier in the season, too.
    config.max_lead_days = 0
    config.as_of = ()  # or (first, last) ISO dates, for data without a calendar

    # How it learns.
    config.method = "forest"  # or "boosting", "logistic", "dates": each has a config of its own
    config.arguments = ConfigDict()
    config.arguments.trees = 300  # more are steadier and slower
    config.arguments.least_in_leaf = 1  # pixels
    # That a split chooses from; 0: the root of their number.
    config.arguments.share_of_features = 0.0
    return config
