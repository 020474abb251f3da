"""How near exports come to the rate that the service allows, and what memory they take.

    python -m benchmarks.export
    python -m benchmarks.export --quick

The real client and download loop ask a server on this machine, in a process of its own, that
answers every request after 200 ms with pixels of the size that Earth Engine's have. Ideal is
requests x latency / requests in flight. What falls short may be the server's own doing, above all
where answers are large and cores few: hence the same requests from a client that does nothing but
read, and the processor time of each side.
"""

import contextlib
import dataclasses
import datetime as dt
import http.client
import io
import json
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from benchmarks import report
from cropmap_jax.geo import grid, legend, periods
from cropmap_jax.sources.earthengine import assembly, auth, download, export, pieces
from cropmap_jax.sources.earthengine import options as options_lib
from cropmap_jax.sources.earthengine.client import Client
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.targets import Target

_SERVER = pathlib.Path(__file__).resolve().parents[1] / "tests" / "sources" / "earthengine"
PROJECT = "benchmark"
JANUARY_MS = 1_514_764_800_000  # 2018
SCENES = [
    [JANUARY_MS + day * 86_400_000, orbit, "ASCENDING", "A" if day % 12 else "B", 1.0]
    for day in range(0, 600, 6)
    for orbit in (88, 161)
]
"""Two orbits that see everything every six days, by two satellites in turn, as exports ask for."""
SERVED = {"label_dtype": "int16", "label_values": (0, 100, 211, 500), "value": SCENES}
SIZES = (("label", 1), ("s1", 7), ("s1", 19), ("s2", 7), ("s2", 12))
"""Sensor and months: 7 of configs/export_eucropmap.py, 12 to 19 of configs/export_isrc.py."""
SMALL_BYTES = (3 * 16 * 2 * 11, 16 * 2 * 11)
"""Limits that cut a cube of 16 px and three months into some twenty and sixty requests: what the
requests cost, then, not what the cube does."""
SLOW = 10
"""So many times the latency, for cubes of full size: still far from the service's many seconds."""
RUN_BYTES = 400e6
"""About so much is moved to time one size of answer."""


@dataclasses.dataclass(frozen=True)
class Rate:
    """What a number of requests took.

    Args:
      what: name of the row.
      bytes: of an answer, on average.
      requests: that were answered.
      share: of the ideal rate.
      server: the same where the client does nothing but read; None where it was not tried.
      client_ms, server_ms: processor time per request.
    """

    what: str
    bytes: float
    requests: int
    share: float
    server: float | None
    client_ms: float
    server_ms: float


@dataclasses.dataclass(frozen=True)
class Setting:
    """The server, and how it is asked."""

    server: object
    latency_s: float
    in_flight: int

    def rate(self, what: str, nbytes: float, ask: Callable[[], int], server=None) -> Rate:
        """Times `ask`, which returns how many requests it made."""
        pid = self.server.process.pid
        before, began = (time.process_time(), _cpu_s(pid)), time.monotonic()
        count = ask()
        seconds = time.monotonic() - began
        own, other = time.process_time() - before[0], _cpu_s(pid) - before[1]
        ideal = count * self.latency_s / self.in_flight
        each = (1e3 * own / count, 1e3 * other / count)
        return Rate(what, nbytes, count, ideal / seconds, server, *each)


def _cpu_s(pid: int) -> float:
    """Processor seconds that a process has used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib() -> float:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def serve(latency_s: float, in_flight: int) -> Iterator[Setting]:
    """The tests' fault server without faults; `ee` is made ready with its list of algorithms."""
    sys.path.insert(0, str(_SERVER))
    import fault_server

    with tempfile.TemporaryDirectory() as folder:
        state = pathlib.Path(folder) / "server.json"
        with fault_server.FaultProcess(state, latency_s=latency_s, **SERVED) as server:
            auth.initialise(PROJECT, server.url, "anonymous")
            yield Setting(server, latency_s, in_flight)


def make_target(i: int, size: int, months: int) -> Target:
    """A cube of so many months in a place of its own."""
    tile = grid.tile_geobox(32631, 380 + i % 100, 4000 + i // 100)
    first = dt.date(2018, 1, 1)
    spans = periods.month_periods(first, first + dt.timedelta(days=30 * months - 15))
    block = grid.block_id(tile)
    return Target(
        f"2018_{i:05d}", tile[:size, :size], spans, "2018", block, "train", "", {},
        legend.EUCROPMAP,
    )  # fmt: skip


# One request after the other in each thread


def in_threads(count: int, threads: int, ask: Callable[[], Callable[[int], None]]) -> int:
    """Calls `ask()(i)` for i < count; each thread has its own `ask()`."""
    numbers, lock, errors = iter(range(count)), threading.Lock(), []

    def work():
        try:
            own = ask()
            while True:
                with lock:
                    i = next(numbers, None)
                if i is None:
                    return
                own(i)
        except Exception as error:
            errors.append(error)

    crew = [threading.Thread(target=work) for _ in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    if errors:
        raise errors[0]
    return count


def reader(url: str) -> Callable[[bytes], None]:
    """Sends bodies over one connection and reads the answers, into the same memory each time."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(2**23))

    def ask(body: bytes) -> None:
        head = f"POST /v1/projects/{PROJECT}/image:computePixels HTTP/1.1\r\nHost: {host}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        have = 0
        while (end := bytes(buffer[: min(have, 4096)]).find(b"\r\n\r\n")) < 0:
            have += connection.recv_into(buffer[have:])
        total = end + 4 + _length(bytes(buffer[: end + 4]))
        while have < total:
            have += connection.recv_into(buffer[have:])

    return ask


def _length(head: bytes) -> int:
    """Content-Length of an answer, of which `head` comes before the body."""
    stream = io.BytesIO(head)
    status = stream.readline()
    if status.split()[1:2] != [b"200"]:
        raise ValueError(f"expected an answer 200, found {status.strip().decode()!r}")
    return int(http.client.parse_headers(stream)["Content-Length"])


def answer_rates(setting: Setting, sizes, run_bytes: float) -> list[Rate]:
    """A row per size of answer: the real client, and the server alone."""
    rows = []
    for sensor, months in sizes:
        own = make_target(0, 128, months)
        (piece,) = pieces.pieces_of(own, {sensor: ""}, count=True)
        where = pieces.grid_of(piece, own.geobox)
        # Whole rounds: with a part of one left over, some threads would have nothing to do.
        rounds = round(min(16, max(3, run_bytes / piece.nbytes / setting.in_flight)))
        count = rounds * setting.in_flight
        client = make_client(setting)
        body = json.dumps(
            {"expression": {}, "fileFormat": "NPY", "bandIds": piece.bands, "grid": where}
        ).encode()

        def fetch():
            return lambda _: client.fetch({}, piece.bands, where)  # noqa: B023

        def read():
            ask = reader(setting.server.url)
            return lambda _: ask(body)  # noqa: B023

        what = f"{sensor}, {months} months" if sensor != pieces.LABEL else sensor
        run = [
            setting.rate(what, piece.nbytes, lambda: in_threads(count, setting.in_flight, ask))  # noqa: B023
            for ask in (read, fetch)
        ]
        rows.append(dataclasses.replace(run[1], server=run[0].share))
    return rows


def make_client(setting: Setting) -> Client:
    """As an export's, but for the pace: the service allows half as many a second as are tried."""
    return Client(setting.server.url, PROJECT, per_second=None, max_in_flight=setting.in_flight)


# Exports


def run_export(setting: Setting, count: int, size: int, months: int, most_bytes: int | None = None):
    """Exports cubes, which are removed as they come.

    Returns:
      (Rate of all requests, MiB resident after each cube).
    """
    options = options_lib.Options()
    limits = None if most_bytes is None else pieces.Limits(bytes=most_bytes)
    found = [make_target(i, size, months) for i in range(count)]
    client, memory = make_client(setting), []
    with tempfile.TemporaryDirectory() as folder, Manifest(folder) as book:

        def watch(outcomes, **_):
            for row in outcomes:
                shutil.rmtree(pathlib.Path(folder) / row.cube)
                memory.append(_resident_mib())
                yield row

        def go() -> int:
            source = export.GraphSource(options, client, book)
            done = download.run(
                found, options, source, client, book, folder, watch,
                in_flight=setting.in_flight, limits=limits,
            )  # fmt: skip
            if done.whole + done.flagged != count:
                raise ValueError(f"expected {count} cubes, found {done.text()}")
            return client.counts.requests

        own = pieces.pieces_of(
            found[0], dict.fromkeys(assembly.sensors_of(options), ""), limits, count=True
        )
        requests = len(own) + 1
        what = f"{size} px, {months} months, {requests} requests a cube, {setting.latency_s:g} s"
        rate = setting.rate(what, sum(p.nbytes for p in own) / requests, go)
    return rate, memory


# All of it


def measure(quick: bool, latency_s: float, in_flight: int, cubes: int) -> tuple[str, dict]:
    """Text and figures of everything."""
    sizes, run_bytes, few, slow = SIZES, RUN_BYTES, (60, 30), 80
    if quick:
        cubes, sizes, run_bytes, few, slow = 3, SIZES[:2], 1e6, (4, 2), 3
    load = os.getloadavg()[0]
    with serve(latency_s, in_flight) as setting:
        # First, so that the memory is that of an export and of nothing before it.
        full, memory = run_export(setting, cubes, 128, 12)
        exports = [full]
        for count, most in zip(few, SMALL_BYTES, strict=True):
            exports.append(run_export(setting, count, 16, 3, most)[0])
        answers = answer_rates(setting, sizes, run_bytes)
        setting = dataclasses.replace(setting, latency_s=SLOW * latency_s)
        setting.server.set(latency_s=setting.latency_s)
        exports.insert(1, run_export(setting, slow, 128, 12)[0])
    early = memory[min(19, len(memory) - 1)]
    text = "\n\n".join(
        [
            _table("one size of answer, the client alone", answers),
            _table("whole exports", exports),
            f"memory: {early:.0f} MiB resident at cube {min(20, cubes)}, {memory[-1]:.0f} at cube "
            f"{cubes}, {max(memory):.0f} at most; cubes of 128 px, 12 months, S1, S2 and label",
            f"load before it all: {load:.1f}",
        ]
    )
    figures = {
        "answers": [dataclasses.asdict(row) for row in answers],
        "exports": [dataclasses.asdict(row) for row in exports],
        "resident_mib": memory,
        "load_before": load,
    }
    return text, figures


def _table(title: str, rows: list[Rate]) -> str:
    header = [
        title,
        "MB",
        "requests",
        "of ideal",
        "server alone",
        "of that",
        "client ms",
        "server ms",
    ]
    cells = [
        [
            row.what,
            row.bytes / 1e6,
            row.requests,
            f"{row.share:.0%}",
            "" if row.server is None else f"{row.server:.0%}",
            "" if row.server is None else f"{row.share / row.server:.0%}",
            row.client_ms,
            row.server_ms,
        ]
        for row in rows
    ]
    return report.table(header, cells)


def main(argv: list[str] | None = None) -> int:
    parser = report.make_parser("export", __doc__)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds of every answer")
    parser.add_argument("--in_flight", type=int, default=40, help="requests at once")
    parser.add_argument("--cubes", type=int, default=200, help="full-size cubes, for the memory")
    args = parser.parse_args(argv)
    return report.run(
        "export", args, lambda: measure(args.quick, args.latency, args.in_flight, args.cubes)
    )


if __name__ == "__main__":
    sys.exit(main())
