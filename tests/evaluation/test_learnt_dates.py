"""Dates that training never drew are said."""

import dataclasses
import types

import numpy as np
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.evaluation import as_of_plan, learnt_dates

LABEL = np.zeros((8, 8), np.uint8)


def made():
    data = small_data.make_dataset([Ground("train", LABEL), Ground("test", LABEL)])
    return dataclasses.replace(data, fingerprint="own")


def run(dataset="own", **config):
    recipe = types.SimpleNamespace(lead_days=30)
    return types.SimpleNamespace(config=config, dataset=dataset, recipe=recipe)


def test_training_draws_harvest_minus_lead_or_a_given_range():
    data = made()
    # Harvests from 1 July to 1 September.
    assert learnt_dates.span(run(), data) == (day("2022-06-01"), day("2022-08-02"))
    assert learnt_dates.span(run(as_of_jitter=10), data) == (day("2022-05-22"), day("2022-08-12"))
    given = run(as_of=["2022-04-01", "2022-05-01"])
    assert learnt_dates.span(given, data) == (day("2022-04-01"), day("2022-05-01"))
    assert learnt_dates.span(run("another"), data) is None
    none = dataclasses.replace(data, harvest=0 * data.harvest)
    assert learnt_dates.span(run(), none) is None


def test_columns_outside_are_named_by_their_window():
    data = made()
    learnt = (day("2022-06-01"), day("2022-08-02"))
    plan = as_of_plan.for_leads(data, [0, 2], [90, 30, 0], ["test"])
    # Rye as of 2 April, 1 June and 1 July; oats as of 3 June, 2 August and 1 September.
    inside = learnt_dates.of_columns(plan, data, "test", learnt)
    assert inside == [False, True, True, True, True, False]
    words = learnt_dates.note(plan, ["rye", "oats"], inside, learnt)
    assert "2022-06-01 to 2022-08-02" in words and "rye at 90 d; oats at 0 d" in words
    assert learnt_dates.note(plan, ["rye", "oats"], [True] * 6, learnt) is None
    # As of 30 August, July is the last whole month, as on 2 August.
    near = as_of_plan.single([2], np.full((2, 1), day("2022-08-30")), as_of_plan.Step(2))
    assert learnt_dates.of_columns(near, data, "test", learnt) == [True]
