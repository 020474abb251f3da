"""Rows to calibrate on, of fields whose pixels are alike, and networks that are too sure or not."""

import numpy as np

from cropmap_jax.evaluation.dated import Outputs, Sample


def make(
    temperature=1.0,
    fields=300,
    blocks=6,
    exclusive=True,
    classes=3,
    seed=0,
    shares=None,
    distort=None,
) -> Sample:
    """Rows whose right probabilities are known.

    Args:
      temperature: that the network's probabilities lack: its logits are those of the right ones
        times this.
      shares: of the classes and none of these, of a Dirichlet distribution of mean `shares`.
      distort: from right probabilities [N, columns] to what the network says; instead of the above.
    """
    rng = np.random.default_rng(seed)
    mean = np.full(classes + 1, 1 / (classes + 1)) if shares is None else np.asarray(shares)
    sizes = rng.integers(1, 9, fields)
    right = rng.dirichlet(2 * mean, fields)
    field = np.repeat(np.arange(fields), sizes)
    truth = np.array([rng.choice(classes + 1, p=row) for row in right])[field]
    right = np.clip(right, 1e-9, 1)[field]
    if distort is not None:
        said = distort(right)
    elif exclusive:
        said = right**temperature
        said /= said.sum(1, keepdims=True)
    else:
        odds = (right / (1 - right)) ** temperature
        said = odds / (1 + odds)
    columns = classes + exclusive
    return Sample(
        Outputs(classes, exclusive, exclusive),
        said[:, :columns].astype(np.float32),
        np.ones((len(field), classes), bool),
        truth,
        1 / np.sqrt(sizes[field]),
        field,
        field % blocks,
        np.zeros(len(field), np.int64),
        (tuple(range(classes)),),
    )
