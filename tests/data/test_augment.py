"""Augmentation on the device against the same thing written plainly in numpy."""

import jax
import numpy as np
from training import small_data, small_runs

from cropmap_jax.data import augment, input_pipeline
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.training import parallel, steps


def make_batch(size: int = 16, side: int = 5) -> dict:
    rng = np.random.default_rng(0)
    return {
        "pixels": {
            "s1": rng.integers(-2500, 1000, (size, 3, side, side, 2)).astype(np.int16),
            "s2": rng.integers(0, 10_000, (size, 3, side, side, 10)).astype(np.int16),
        },
        "label": rng.integers(0, 256, (size, side, side)).astype(np.uint8),
        "lead": np.arange(size, dtype=np.int32),
    }


def images(a: dict, b: dict) -> list:
    """Pairs of arrays of two batches that are turned, and the axes of rows and columns."""
    pairs = [(a["pixels"][name], b["pixels"][name], (1, 2)) for name in b["pixels"]]
    return [*pairs, (a["label"], b["label"], (0, 1))]


def turned(image: np.ndarray, turn: int, axes: tuple[int, int]) -> np.ndarray:
    """Quarter turns to the left, then mirrored left to right."""
    image = np.rot90(image, turn % 4, axes)
    return np.flip(image, axes[1]) if turn >= 4 else image


def test_all_eight_turns_are_those_of_numpy_on_images_and_label_alike():
    batch = make_batch()
    turns = np.arange(16, dtype=np.int32) % 8
    found = jax.jit(augment.augment)(batch | {"turn": turns})
    assert found.keys() == batch.keys()
    for b, turn in enumerate(turns):
        for after, before, axes in images(found, batch):
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after[b], turned(before[b], turn, axes))
    assert len({np.asarray(turned(batch["label"][0], t, (0, 1))).tobytes() for t in range(8)}) == 8


def test_turns_by_hand():
    square = np.array([[0, 1], [2, 3]], np.uint8)
    found = augment.turn(np.stack([square] * 3), np.array([0, 1, 4], np.int32), (1, 2))
    # As it is; a quarter turn to the left; mirrored left to right.
    assert found.tolist() == [[[0, 1], [2, 3]], [[1, 3], [0, 2]], [[1, 0], [3, 2]]]


def test_without_draws_nothing_happens():
    batch = make_batch()
    assert all(augment.augment(batch)[k] is v for k, v in batch.items())


def test_a_training_step_sees_what_the_numpy_form_makes():
    recipe = small_runs.make_recipe(norm="group")
    train_config = small_runs.make_train_config(optimizer="sgd")
    optimizer = train_config.make_optimizer(10)
    data = small_data.make_dataset(
        [small_data.Ground("train", np.arange(64, dtype=np.uint8).reshape(8, 8) % 3)] * 4
    )
    config = SamplingConfig(num_periods=2)
    size = 4 * jax.local_device_count()
    batch = next(input_pipeline.training_input(data, config, size, size, 0).batches)
    plain = jax.tree.map(np.copy, batch) | {"turn": np.zeros(size, np.int32)}
    for b in range(size):
        for after, before, axes in images(plain, batch):
            after[b] = turned(before[b].copy(), batch["turn"][b], axes)
    assert any((a != b).any() for a, b, _ in images(plain, batch))

    variables = steps.init_variables(recipe, 0)
    state = {"step": np.zeros((), np.int32), "opt_state": optimizer.init(variables["params"])}
    state = jax.device_get(state | variables)
    results = []
    step = parallel.data_parallel(steps.make_train_step(recipe, optimizer, accumulate=2))
    for given in (batch, plain):
        after, metrics = step(parallel.replicate(state), parallel.shard(given))
        results.append(small_runs.leaves(parallel.unreplicate((after["params"], metrics))))
    for name, expected in results[1].items():
        np.testing.assert_allclose(results[0][name], expected, rtol=1e-6, err_msg=name)
    assert results[0]["[1]['grad_norm']"] > 1e-4
