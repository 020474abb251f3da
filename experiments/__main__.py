"""The front door: `cropmap VERB --flags` is `python -m experiments.VERB --flags`.

cropmap                       lists the verbs
cropmap VERB --help           lists a verb's flags
cropmap --version
cropmap --completion bash     prints completion for bash, zsh or fish
"""

import runpy
import sys

from experiments import _pipes, _verbs


def main() -> None:
    with _pipes.end_quietly():
        _main()


def _main() -> None:
    words = sys.argv[1:]
    first = words[0] if words else "--help"
    if first in ("--help", "-h", "help"):
        print(_verbs.listing())
    elif first == "--version":
        import cropmap_jax

        print(f"cropmap_jax {cropmap_jax.__version__}")
    elif first.partition("=")[0] == "--completion":
        shell = first.partition("=")[2] or " ".join(words[1:])
        _end(lambda: print(_completion(shell), end=""))
    elif first.startswith("-"):
        _end(lambda: _fail(_verbs.first(words)))
    else:
        verb = first.replace("-", "_")
        if verb not in _verbs.names():
            _end(lambda: _fail(_verbs.unknown(first)))
        sys.argv = [f"cropmap {verb}", *words[1:]]
        runpy.run_module(f"experiments.{verb}", run_name="__main__", alter_sys=True)


def _completion(shell: str) -> str:
    from experiments import _completion

    return _completion.script(shell)


def _fail(why: str) -> None:
    raise ValueError(why)


def _end(work) -> None:
    try:
        work()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
