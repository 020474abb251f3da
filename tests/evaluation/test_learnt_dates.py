"""Dates that training never drew are said."""

import dataclasses
import types

import numpy as np
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.evaluation import as_of_plan, learnt_dates
from cropmap_jax.runs import combined

LABEL = np.zeros((8, 8), np.uint8)


def made():
    data = small_data.make_dataset([Ground("train", LABEL), Ground("test", LABEL)])
    return dataclasses.replace(data, fingerprint="own")


def run(dataset="own", **config):
    recipe = types.SimpleNamespace(lead_days=30)
    return types.SimpleNamespace(config=config, dataset=dataset, recipe=recipe)


def test_training_draws_harvest_minus_lead_or_a_given_range():
    data = made()
    # Harvests on 1 July, August and September: as of 1 June, 2 July and 2 August.
    assert learnt_dates.ends(run(), data) == {(6, 1), (7, 1), (8, 1)}
    assert learnt_dates.ends(run(as_of_jitter=2), data) == {(5, 1), (6, 1), (7, 1), (8, 1)}
    assert learnt_dates.ends(run(max_lead_days=32), data) == {(5, 1), (6, 1), (7, 1), (8, 1)}
    given = run(as_of=["2022-04-01", "2022-05-30"])
    assert learnt_dates.ends(given, data) == {(4, 1), (5, 1)}
    # Before the first image there is nothing to learn.
    early = run(as_of=["2022-01-01", "2022-02-10"])
    assert learnt_dates.ends(early, data) == {(2, 1)}
    assert learnt_dates.ends(run("another"), data) is None
    none = dataclasses.replace(data, harvest=0 * data.harvest)
    assert learnt_dates.ends(run(), none) is None


def test_columns_outside_are_named_by_their_window():
    data = made()
    learnt = frozenset({(6, 1), (8, 1)})
    plan = as_of_plan.for_leads(data, [0, 2], [90, 30, 0], ["test"])
    # Rye as of 2 April, 1 June and 1 July; oats as of 3 June, 2 August and 1 September.
    inside = learnt_dates.of_columns(plan, data, "test", learnt)
    assert inside == [False, True, True, True, False, False]
    words = learnt_dates.note(plan, ["rye", "oats"], inside)
    assert words.endswith(": rye at 90 d, 0 d; oats at 0 d")
    assert learnt_dates.note(plan, ["rye", "oats"], [True] * 6) is None
    # As of 30 August, July is the last whole month, as on 2 August.
    near = as_of_plan.single([2], np.full((2, 1), day("2022-08-30")), as_of_plan.Step(2))
    assert learnt_dates.of_columns(near, data, "test", learnt) == [True]


def test_combined_runs_have_learnt_what_their_members_have():
    data = made()
    members = {"a": run(as_of=["2022-04-01", "2022-05-30"]), "b": run()}
    recipe = types.SimpleNamespace(lead_days=30)
    both = combined.Combined(
        {}, {}, recipe, {"dataset": "cubes/small"}, 0, "combined", "own", members=members
    )
    assert learnt_dates.ends(both, data) == {(4, 1), (5, 1), (6, 1), (7, 1), (8, 1)}
    # Of one member it cannot be told: nor of both.
    members["b"] = run("another")
    assert learnt_dates.ends(both, data) is None
