"""Seconds, MB and packages of the base install and of each extra, each in a fresh environment.

    python -m benchmarks.install
    python -m benchmarks.install --extras ,fields --json install.json

Builds the wheel, and for each extra makes a virtual environment, installs the wheel with it by
pip, with constraints.txt on Python 3.11, counts and removes the environment. Seconds hold what pip
downloads and compiles, so they are of this machine and its index. MB are the sizes of the files of
site-packages, of which pip and setuptools are left out. Extras that bring CUDA, TPU or PyTorch
are not installed.
"""

import argparse
import configparser
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = (
    *("cropmap_jax", "configs", "datasets", "experiments"),
    *("setup.cfg", "pyproject.toml", "README.md", "LICENSE"),
)
TOO_LARGE = ("cuda12", "cuda13", "tpu", "torch")
NOT_COUNTED = ("pip", "setuptools", "pkg_resources", "_distutils_hack")


def extras() -> list[str]:
    """Names of the extras of setup.cfg, "" for none first."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return ["", *(e for e in config["options.extras_require"] if e not in TOO_LARGE)]


def measure(wheel: pathlib.Path, extra: str, folder: pathlib.Path) -> dict[str, float]:
    """Installs a wheel with an extra into a fresh environment, which is removed again.

    Returns:
      seconds, CPU seconds, MB and packages.
    """
    env = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", env], check=True)
    python = env / "bin" / "python"
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", what]
    if sys.version_info[:2] == (3, 11):
        command += ["-c", ROOT / "constraints.txt"]
    began, cpu = time.perf_counter(), _children()
    subprocess.run(command, check=True)
    seconds, cpu = time.perf_counter() - began, _children() - cpu
    (site,) = (env / "lib").glob("python*/site-packages")
    infos = [p for p in site.glob("*.dist-info") if p.name.split("-")[0] not in NOT_COUNTED]
    size = sum(
        file.stat().st_size
        for top in site.iterdir()
        if top.name.split("-")[0] not in NOT_COUNTED
        for file in ([top] if top.is_file() else top.rglob("*"))
        if file.is_file()
    )
    shutil.rmtree(env)
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "megabytes": round(size / 1e6),
        "packages": len(infos),
    }


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--extras", help="names, commas between, nothing for the base; all if not")
    parser.add_argument("--json", help="file to write the figures to as well")
    args = parser.parse_args()
    names = extras() if args.extras is None else args.extras.split(",")
    unknown = [name for name in names if name not in extras()]
    if unknown:
        raise SystemExit(f"error: --extras: expected {', '.join(extras()[1:])}, found {unknown[0]}")
    found = {}
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        # A copy: what an earlier build has left in the checkout is no part of the wheel.
        (folder / "source").mkdir()
        for name in SOURCES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / "source" / name)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
        subprocess.run([*build, folder / "source"], check=True, capture_output=True)
        (wheel,) = folder.glob("*.whl")
        print("| install | s | CPU s | packages | MB |\n|---|---|---|---|---|")
        for name in names:
            one = found[name] = measure(wheel, name, folder)
            label = f"`'.[{name}]'`" if name else "`pip install .`"
            print(
                f"| {label} | {one['seconds']:.0f} | {one['cpu_seconds']:.0f} | "
                f"{one['packages']} | {one['megabytes']:,} |",
                flush=True,
            )
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
