"""The commands that there are: their names, first sentences and flags."""

import ast
import difflib
import importlib
import pathlib
import pkgutil
import shlex
import sys
from collections.abc import Sequence

GROUPS = {
    "a first look": ("demo",),
    "pixels and labels": ("prepare", "export", "fetch", "ingest", "simulate", "build", "audit"),
    "training": ("pretrain", "finetune", "baseline", "combine", "calibrate"),
    "how good is it?": ("evaluate", "compare", "crossvalidate", "learning_curve"),
    "maps": ("predict", "view", "area", "sample_points", "visit", "review_labels"),
    "handing a model on": ("convert",),
}
"""Verbs in the order of the work; those that are in no group come last."""


def names() -> list[str]:
    """All verbs, sorted."""
    found = (module.name for module in pkgutil.iter_modules([str(pathlib.Path(__file__).parent)]))
    return sorted(name for name in found if not name.startswith("_"))


def grouped() -> dict[str, list[str]]:
    """All verbs by what they are for, each once."""
    known = names()
    out = {title: [name for name in group if name in known] for title, group in GROUPS.items()}
    rest = [name for name in known if not any(name in group for group in GROUPS.values())]
    return out | ({"more": rest} if rest else {})


def summary(verb: str) -> str:
    """The first line of a command's description, without running or importing it."""
    file = pathlib.Path(__file__).with_name(f"{verb}.py")
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def listing() -> str:
    """What `cropmap` prints without a verb."""
    lines = ["cropmap VERB --flags, the same as python -m experiments.VERB --flags", ""]
    for title, verbs in grouped().items():
        lines += [f"{title}:", *(f"  {verb:16}{summary(verb)}" for verb in verbs), ""]
    lines.append("cropmap VERB --help lists its flags; --json and --quiet are of every verb")
    return "\n".join(lines)


def unknown(verb: str) -> str:
    """One line about a verb that there is not."""
    near = difflib.get_close_matches(verb.replace("-", "_"), names(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "cropmap without a verb lists them"
    return f"expected a verb, found {verb!r}; {hint}"


def first(words: Sequence[str]) -> str:
    """One line about flags that stand where a verb is expected, with the words in their order.

    Args:
      words: those after `cropmap`, of which the first is a flag.
    """
    known = names()
    place = next((i for i, word in enumerate(words) if word.replace("-", "_") in known), None)
    verb = "VERB" if place is None else words[place]
    before = words[:1] if place is None else words[:place]
    after = [] if place is None else words[place + 1 :]
    hint = "; cropmap without a verb lists them" if place is None else ""
    return (
        f"expected a verb first, found {words[0]!r}: flags go after it, as in "
        f"{shlex.join(['cropmap', verb, *before, *after])}{hint}"
    )


def flags_of(verb: str) -> list:
    """The flags of a command, as absl has them, sorted by name; those of every command excluded."""
    from absl import flags

    from experiments import _cli

    known = flags.FLAGS
    before, imported = set(known), set(sys.modules)
    importlib.import_module(f"experiments.{verb}")
    found = [known[name] for name in known if name not in before]
    _cli.forget_flags()
    # What defines flags for several commands has to do so again for the next.
    for name in set(sys.modules) - imported:
        if name.startswith("experiments."):
            del sys.modules[name]
            vars(sys.modules[__package__]).pop(name.removeprefix("experiments."), None)
    return sorted(found, key=lambda flag: flag.name)
