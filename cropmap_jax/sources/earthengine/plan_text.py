"""A plan as a user reads it."""

import collections
from collections.abc import Mapping

from cropmap_jax.geo.periods import Period, month_periods
from cropmap_jax.sources import sentinel1
from cropmap_jax.sources.earthengine import planner, service
from cropmap_jax.sources.places import hours_text, size_text


def text(plan: planner.Plan) -> str:
    """The plan in some twenty lines, and tables of scenes where they were counted."""
    fewest, most = plan.periods
    hours = hours_text(plan.hours)
    each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    dealt = ", ".join(f"{n:,} {name}" for name, n in plan.splits.items())
    lines = [
        f"cubes       {plan.cubes:,}, {plan.km2:,.0f} km2: {dealt}",
        f"periods     {each} per cube ({plan.kind}), {plan.first} to {plan.last}",
        "",
        *_request_lines(plan),
        "",
        f"disk        {size_text(plan.disk)} of cubes, as simulated ones compress",
        f"time        {hours}, {plan.in_flight} requests at once; {_rate_note(plan)}",
        *_eecu_lines(plan),
    ]
    if plan.scenes:
        lines += ["", *_scene_lines(plan.scenes)]
    return "\n".join([*lines, "", *_pass_lines(plan), *plan.notes])


def _request_lines(plan: planner.Plan) -> list[str]:
    lines = ["                requests   seconds each      to move"]
    for kind, n in plan.requests.items():
        size = size_text(plan.moved[kind]) if kind in plan.moved else "-"
        mark = "  measured" if kind in plan.measured else ""
        lines.append(f"  {kind:<10}{n:>12,}{plan.seconds[kind]:>15.1f}{size:>13}{mark}")
    total, size = sum(plan.requests.values()), size_text(sum(plan.moved.values()))
    return [*lines, f"  {'all':<10}{total:>12,}{'':>15}{size:>13}"]


def _rate_note(plan: planner.Plan) -> str:
    if plan.measured >= set(plan.requests):
        return "seconds as a pilot measured"
    if plan.measured:
        return f"seconds of {', '.join(sorted(plan.measured))} measured, the rest assumed"
    return "seconds assumed until a pilot has run"


def _eecu_lines(plan: planner.Plan) -> list[str]:
    (low, high), (least, most) = plan.eecu_hours, planner.EECU_S
    if plan.eecu_measured:
        head = [f"EECU-hours  {low:,.1f}, from what a pilot used"]
    else:
        scenes = f"{planner.SCENES['s2']} S2 and {planner.SCENES['s1']} S1 scenes a month"
        head = [
            f"EECU-hours  {low:,.1f} to {high:,.1f}: a guess, until a pilot is looked up in Cloud "
            "Monitoring. It",
            f"            assumes {scenes} and {least} to {most} EECU-seconds per million "
            "values read",
        ]
    for i, tier in enumerate(service.TIERS):
        share = _percent(low / tier.eecu_hours)
        if low < high:
            share += f" to {_percent(high / tier.eecu_hours)}"
        name = f"{tier.name} ({tier.eecu_hours:,.0f})"
        head.append(f"            {'of a month' if i == 0 else '':<10}  {name:<19}  {share}")
    return head


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _scene_lines(scenes: Mapping[str, Mapping[Period, int]]) -> list[str]:
    lines = ["Sentinel-2 scenes that touch a place (0: the composite will be missing)"]
    lines += _table({name: {p: str(n) for p, n in row.items()} for name, row in scenes.items()})
    empty = [f"{name} {p.name}" for name, row in scenes.items() for p, n in row.items() if not n]
    return lines + ([f"  no scene at all: {', '.join(empty)}"] if empty else [])


def _pass_lines(plan: planner.Plan) -> list[str]:
    """Sentinel-1 per month and satellite: what was counted, else what may be expected."""
    if not plan.passes:
        rows = {
            name: {p: f"{n:.1f}" for p, n in row.items()} for name, row in plan.expected.items()
        }
        often = f"once in {sentinel1.REPEAT_DAYS} days of each satellite"
        return [f"Sentinel-1 passes of one orbit, at most: {often}", *_table(rows)]
    rows, empty = {}, []
    for place, row in plan.passes.items():
        for name in sorted({name for own in row.values() for name in own}):
            rows[f"{place} {name}"] = {p: str(own.get(name, 0)) for p, own in row.items()}
        empty += [f"{place} {p.name}" for p, own in row.items() if not own]
    lines = [
        "Sentinel-1 passes over a place, of all its orbits (a cube takes those of one direction)"
    ]
    lines += _table(rows)
    return lines + ([f"  no pass at all: {', '.join(empty)}"] if empty else [])


def _table(rows: Mapping[str, Mapping[Period, str]]) -> list[str]:
    """A table per list of periods: a row per name, a column per period."""
    tables = collections.defaultdict(list)
    for name, row in rows.items():
        tables[tuple(sorted(row))].append(name)
    width = max(map(len, rows), default=0)
    lines = []
    for spans, names in tables.items():
        months = all(span in month_periods(span.start, span.start) for span in spans)
        years = [f"{p.start:%Y}" for p in spans]
        # A year stands over its first column only.
        top = [y if y not in years[:i] else "" for i, y in enumerate(years)]
        for name, cells in (
            ("", top),
            ("", [f"{p.start:{'%m' if months else '%m-%d'}}" for p in spans]),
            *((name, [rows[name][p] for p in spans]) for name in names),
        ):
            line = "".join(f"{cell:>6}" for cell in cells)
            lines.append(f"  {name:<{width}}{line}".rstrip())
    return lines
