"""Completion of verbs and flags for bash, zsh and fish; it is a file, made once."""

from experiments import _verbs

SHELLS = ("bash", "zsh", "fish")

_BASH = """\
# cropmap completion for bash: keep as ~/.local/share/bash-completion/completions/cropmap
_cropmap() {
  local word=${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "VERBS" -- "$word"))
    return
  fi
  local flags=
  case ${COMP_WORDS[1]} in
CASES
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _cropmap cropmap
"""

_ZSH = """\
#compdef cropmap
# cropmap completion for zsh: keep as _cropmap in a folder of $fpath
_cropmap() {
  local -a flags
  if (( CURRENT == 2 )); then
    compadd VERBS
    return
  fi
  case ${words[2]} in
CASES
  esac
  if [[ ${words[CURRENT]} == -* ]]; then
    compadd -- $flags
  else
    _files
  fi
}
_cropmap "$@"
"""


def script(shell: str) -> str:
    """A completion script.

    Args:
      shell: one of `SHELLS`.

    Raises:
      ValueError: another shell.
    """
    if shell not in SHELLS:
        raise ValueError(f"--completion: expected one of {', '.join(SHELLS)}, found {shell!r}")
    own = {verb: _flags(verb) for verb in _verbs.names()}
    if shell == "fish":
        return _fish(own)
    if shell == "bash":
        cases = [f'    {verb}) flags="{" ".join(flags)}" ;;' for verb, flags in own.items()]
        text = _BASH
    else:
        cases = [f"    {verb}) flags=({' '.join(flags)}) ;;" for verb, flags in own.items()]
        text = _ZSH
    return text.replace("VERBS", " ".join(own)).replace("CASES", "\n".join(cases))


def _flags(verb: str) -> list[str]:
    found = [flag.name for flag in _verbs.flags_of(verb)]
    return [f"--{name}" for name in (*found, "help", "json", "quiet")]


def _fish(own: dict[str, list[str]]) -> str:
    lines = ["# cropmap completion for fish: keep as ~/.config/fish/completions/cropmap.fish"]
    for verb, flags in own.items():
        about = _verbs.summary(verb).replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"complete -c cropmap -n __fish_use_subcommand -f -a {verb} -d '{about}'")
        condition = f"'__fish_seen_subcommand_from {verb}'"
        lines += [
            f"complete -c cropmap -n {condition} -l {flag.removeprefix('--')}" for flag in flags
        ]
    return "\n".join(lines) + "\n"
