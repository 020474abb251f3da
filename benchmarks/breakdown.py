"""Where the time of our step goes, by kind of layer and by direction.

    python -m benchmarks.breakdown --json breakdown.json

A trace of some steps shows when each operation of the compiled program ran, the program of which
layer it is. What XLA added itself (copies, transposes) counts for the operation that it is there
for. Where several ran at once, each gets its share of that time, so that all adds up to a step.
"""

import collections
import pathlib
import re
import sys
import tempfile

import jax

from benchmarks import networks, report

KINDS = (  # of an operation, by the first of these marks that its name contains
    ("/time_conv/conv/", "convolutions over time"),
    ("/conv/", "other convolutions"),
    ("/upsample", "upsampling"),
    ("/norm/", "normalisation, ReLU"),
    ("(relu)", "normalisation, ReLU"),
    ("DualUNet3D", "pooling, concatenation, head"),
    ("", "Adam, loss, scaling"),
)
PARTS = ("forward", "gradient", "other")
UNNAMED = "transpose(jvp(DualUNet3D))/conv/"


def main(argv: list[str]) -> dict:
    """Traces steps; prints and returns milliseconds a step by kind of layer.

    Raises:
      SystemExit: the trace does not name the program's operations.
    """
    parser = report.make_parser("breakdown", __doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--width", type=int, default=32, help="of the network")
    parser.add_argument("--rounds", type=int, default=5, help="steps that are traced")
    parser.add_argument("--predict", action="store_true", help="inference, not a training step")
    args = parser.parse_args(argv)
    sizes = networks.Sizes(args.batch, width=args.width)
    if args.quick:
        sizes, args.rounds = networks.Sizes(2, 2, 16, 2), 1
        args.batch, args.width = sizes.batch, sizes.width
    form = networks.ours(sizes, args.dtype, not args.predict)
    names = _names(form.program())
    for _ in range(2):
        form.step()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(args.rounds):
                form.step()
        (trace,) = pathlib.Path(folder).rglob("*.xplane.pb")
        spans = _spans(jax.profiler.ProfileData.from_file(str(trace)), names)
    if not spans:
        raise SystemExit("error: expected a trace of the program's operations, found none of them")
    shares, idle = _shares(spans)
    kinds = {kind: dict.fromkeys(PARTS, 0.0) for _, kind in KINDS}
    for operation, share in shares.items():
        kind, part = _kind(names[operation])
        kinds[kind][part] += share / 1e6 / args.rounds
    kinds["nothing"] = dict.fromkeys(PARTS, 0.0) | {"other": idle / 1e6 / args.rounds}
    step = sum(sum(parts.values()) for parts in kinds.values())
    rows = [
        [kind, *(parts[p] or None for p in PARTS), f"{sum(parts.values()) / step:.0%}"]
        for kind, parts in kinds.items()
    ]
    text = (
        f"{networks.device()}, batch {args.batch}, {args.dtype}, width {args.width}; "
        f"{step:,.0f} ms a step while it is traced\n\n"
        + report.table(["ms a step", *PARTS, "of the step"], rows)
    )
    return report.finish("breakdown", args, text, {"milliseconds": step, "kinds": kinds})


def _names(program: str) -> dict[str, str]:
    """Where each operation of a compiled program's text comes from, as JAX named it.

    On a CPU XLA makes convolutions without a name of the gradients to kernels. What else has none
    gets that of the first operation that uses it, or else that it uses.
    """
    entry = program[program.index("\nENTRY ") :]
    names, uses, users = {}, {}, collections.defaultdict(list)
    for line in entry.splitlines():
        if not (found := re.match(r"\s+(?:ROOT )?%([\w.-]+) = (.*)", line)):
            continue
        operation, rest = found.groups()
        named = re.findall(r'op_name="([^"]*)"', rest)
        named += [UNNAMED] if " convolution(" in rest else [""]
        names[operation] = named[0]
        uses[operation] = re.findall(r"%([\w.-]+)", rest.partition("metadata=")[0])
        for used in uses[operation]:
            users[used].append(operation)
    for neighbours, order in ((users, reversed(names)), (uses, names)):
        # In order: what it leads to has got its name already.
        for operation in list(order):
            near = (names.get(n, "") for n in neighbours.get(operation, ()))
            names[operation] = names[operation] or next(filter(None, near), "")
    return names


def _spans(data, names: dict) -> list[tuple[float, float, str]]:
    """When (ns, from and to) which of the operations ran."""
    begun, ended = [], {}
    for plane in data.planes:
        for event in (event for line in plane.lines for event in line.events):
            stats, end = dict(event.stats), event.start_ns + event.duration_ns
            if stats.get("hlo_op") in names:
                begun.append((event.start_ns, end, stats["hlo_op"], stats.get("_p")))
            elif event.name.startswith("end: "):
                ended[stats.get("_c")] = end
    # On a CPU an operation that others carry on ends when a later event says so.
    return [(start, max(end, ended.get(key, 0)), name) for start, end, name, key in begun]


def _shares(spans: list[tuple[float, float, str]]) -> tuple[collections.Counter, float]:
    """Nanoseconds of each operation, its share of those it has with others; and of none."""
    moments = [(start, 1, name) for start, _, name in spans]
    moments = sorted(moments + [(end, -1, name) for _, end, name in spans])
    shares, running, idle = collections.Counter(), collections.Counter(), 0.0
    last = moments[0][0]
    for moment, change, name in moments:
        together = running.total()
        for other, count in running.items():
            shares[other] += count / together * (moment - last) if together else 0
        idle += 0 if together else moment - last
        running[name] += change
        last = moment
    return shares, idle


def _kind(name: str) -> tuple[str, str]:
    """Kind of layer, and part of the step, of an operation with this name."""
    kind = next(kind for mark, kind in KINDS if mark in name)
    if "DualUNet3D" not in name:
        return kind, "other"
    return kind, "gradient" if "transpose(" in name else "forward"


if __name__ == "__main__":
    main(sys.argv[1:])
