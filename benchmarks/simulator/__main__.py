"""Measures simulated landscapes against real ones.

python -m benchmarks.simulator believable --real DIR --cubes SIM/cubes --out docs/pictures
"""

import argparse
import sys

from benchmarks.simulator import believable, hardness, mapped_ground, priors

# Each subcommand is a module with `add_arguments(parser)` and `run(args)`.
SUBCOMMANDS = {
    "believable": believable,
    "hardness": hardness,
    "mapped_ground": mapped_ground,
    "priors": priors,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.simulator", description=__doc__)
    subparsers = parser.add_subparsers(dest="subcommand", required=True)
    for name, module in SUBCOMMANDS.items():
        title = module.__doc__.splitlines()[0]
        module.add_arguments(subparsers.add_parser(name, help=title, description=module.__doc__))
    args = parser.parse_args(argv)
    try:
        SUBCOMMANDS[args.subcommand].run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
