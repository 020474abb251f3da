"""Notes on scores: pixels and fields that are not scored, scores that mean little."""

from collections.abc import Collection, Iterable, Iterator

from cropmap_jax.evaluation.evaluate import Chosen, undefined
from cropmap_jax.evaluation.metrics import CropTally, Tally
from cropmap_jax.geo.sensors import Sensor

FEW_FIELDS = 2
"""With fewer fields of a crop than this, a score means nothing for other fields."""


def score_notes(
    split: str,
    names: list[str],
    tallies: list[CropTally],
    leads: list[tuple[int, int] | None],
    chosen: list[Chosen],
    sensors: Iterable[Sensor],
) -> list[str]:
    """Notes on the scores of one method; those of another are the same, pixel for pixel.

    Args:
      split: that was scored.
      names: of the crops.
      tallies, leads: of each crop, from `evaluate.tally_split`.
      chosen: of each crop, from `evaluate.choose_thresholds`.
      sensors: that the network takes.

    Returns:
      One line per note, which begins with the crops that it is about.
    """
    found: dict[str, list[str]] = {}
    for name, tally, lead, choice in zip(names, tallies, leads, chosen, strict=True):
        for note in _of_crop(split, tally, lead, choice, sensors):
            found.setdefault(note, []).append(name)
    return [f"{_listed(crops)}: {note}" for note, crops in found.items()]


def _of_crop(
    split: str,
    tally: CropTally,
    lead: tuple[int, int] | None,
    choice: Chosen,
    sensors: Iterable[Sensor],
) -> Iterator[str]:
    unseen, pixels, fields = tally.unseen, tally.pixels, tally.fields
    if unseen["pixels"]:
        yield (
            f"{unseen['pixels']:,} of {pixels.total + unseen['pixels']:,} annotated pixels and "
            f"{unseen['fields']:,} of {fields.total + unseen['fields']:,} fields of {split} are "
            f"without any image in the window and not scored"
        )
    reasons = {unit: undefined(tally, unit) for unit in ("pixels", "fields")}
    if reasons["pixels"]:
        yield f"{reasons['pixels']} in {split}: {_lost(pixels)}"
    elif reasons["fields"] and fields.total + unseen["fields"]:
        yield f"{reasons['fields']} in {split}: {_lost(fields)}"
    if choice.reason:
        yield f"threshold {choice.value:.2f} by default, not chosen ({choice.reason})"
    yield from _of_images(split, tally, sensors)
    if pixels.positives and fields.positives < FEW_FIELDS:
        count = "no field" if not fields.positives else f"{fields.positives} field"
        yield f"{count} of it in {split} was seen; scores of so few fields mean little"
    if lead and lead[0] < 0:
        yield f"as of up to {-lead[0]} days after its harvest began"


def _of_images(split: str, tally: CropTally, sensors: Iterable[Sensor]) -> Iterator[str]:
    """What is not in the windows that were scored."""
    for sensor, name in ((s.name, s.title) for s in sensors):
        if tally.pixels.total and sensor not in tally.sensors:
            yield f"no {name} value in the window anywhere in {split}"
        elif cubes := tally.lacking.get(sensor):
            yield f"no {name} value in the window of {_cubes(cubes)} of {split}"
    if tally.gaps:
        yield (
            f"the last periods of {_cubes(tally.gaps)} of {split} hold no value: the last image is "
            f"up to {max(tally.gaps.values())} days older than its lead says"
        )


def _cubes(names: Collection[str]) -> str:
    few = ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} cube{'s' * (len(names) > 1)} ({few})"


def _lost(counted: Tally) -> str:
    """Which scores have no value, and why that is better than one."""
    if not counted.total:
        return 'there are no scores ("-")'
    if not counted.negatives:
        lost = "accuracy, true-negative rate, precision and F1"
        return f'{lost} are "-", since nothing could be mistaken for it'
    return 'recall, precision and F1 are "-", since there is nothing to find'


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
