"""What a report is made of: the dict that `evaluate --report` keeps as `report.json`.

JSON-ready, without NaN; `render.render` makes a page of it and of nothing else. A *figure* is
{"value", "low", "high", "reason"}, see `intervals.Figure`.

    schema       "report/1"
    created      the day, ISO
    settings     what was scored, as in all JSON of `evaluate`: workdir, method, step, digest,
                 dataset, fingerprint, fold, split, threshold_split, lead_days, as_of, until,
                 smooth, trained_on, ...
    crops        a list, in the order of the legend: name, title, colour, pattern (of
                 `pictures.look`), scored (whether the curve is of it)
    step         number of the point of the curve that tables are about
    curve        see `lead_time`
    one_date     {"dates": [first, last] or null, "rule": how they were chosen, in words,
                 "reason": why there is no such map or null, "confusion": a list of what
                 `confusion.summary` makes, each with method, unit, lead_days, as_of and
                 without_image; empty where there is no such map}
    reliability  {"calibration": in words or null, "map": {"before", "after"} of
                 `MapReliability.to_json` or null, "crops": `CropReliability.to_json` or null};
                 "after" is there where the run has a calibration
    blocks       see `by_block.table`
    compare      optional: what `evaluate --compare` found, see `comparison`
    maps         axis {"kind", "values"} as in the curve; calibrated; confidence, colours from 0
                 to 100 %; left_out, in words or null; places, a list:
      id, block, province, season, where, width_m, height_m, crop (name of the main one or null),
      harvest (ISO or null), annotated, pixels
      width, height, every   of the pictures in pixels; each shows every so many pixels
      known        picture of what is known, a data URL
      marks        numbers of classes on it: {"class", "x", "y", "size"}
      steps        one per value of the axis: lead_days, as_of, date (of the prediction) and
                   reason; without a reason also window_end, seen (share of the pixels), image,
                   prediction and confidence (data URLs), right (share of known pixels whose
                   crop is planted by then, or null), sure, sure_right, sure_wrong (mean
                   confidence of all, and of those that are right and wrong), not_planted
                   (names)
    provenance   command, workdir, folder, config, versions
    notes        in words
"""

from typing import Any

SCHEMA = "report/1"
Report = dict[str, Any]


def check(report: Report) -> None:
    """Requires a report of this schema.

    Raises:
      ValueError: another one, or something else.
    """
    found = report.get("schema") if isinstance(report, dict) else None
    if found != SCHEMA:
        raise ValueError(f"report: expected schema {SCHEMA!r}, found {found!r}")
