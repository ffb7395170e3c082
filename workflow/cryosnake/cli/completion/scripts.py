"""The scripts: a table of the commands with their options, as both shells read it, and a function for each shell."""

from __future__ import annotations

import argparse
import shlex

from cryosnake import __version__

_HEAD = """\
# Completion of cryosnake {version} in {shell}; `cryosnake completion {shell}` made it. For the options of another
# version make it again.
"""

_TABLE = """\
    local command= options= values= named= argument= index
    for ((index = first; index < at; index++)); do
        [[ "{word}" == -* ]] || {{ command="{word}"; break; }}
    done
    case "$command" in
        '') argument={commands} options='--help --version' ;;
{cases}    esac
"""

_BASH = """\
_cryosnake() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" first=1 at="$COMP_CWORD"
{table}    COMPREPLY=()
    if [[ " $named " != *" $before "* ]]; then
        if [[ " $values " == *" $before "* ]]; then return; fi  # a value: files
        if [[ "$word" == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$word")); return; fi
        if [[ "$argument" != jobs ]]; then COMPREPLY=($(compgen -W "$argument" -- "$word")); return; fi
    fi
    mapfile -t COMPREPLY < <("${{COMP_WORDS[0]/#\\~/$HOME}}" completion jobs "$word" 2>/dev/null)
    if [[ ${{#COMPREPLY[@]}} == 1 && -z "${{COMPREPLY[0]}}" ]]; then COMPREPLY=(); fi
}}
complete -o default -F _cryosnake cryosnake
"""

_ZSH = """\
#compdef cryosnake
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit }}
_cryosnake() {{
    local word="${{words[CURRENT]}}" before="${{words[CURRENT-1]}}" first=2 at="$CURRENT"
{table}    if [[ " $named " != *" $before "* ]]; then
        if [[ " $values " == *" $before "* ]]; then _files; return; fi
        if [[ "$word" == -* ]]; then compadd -- ${{=options}}; return; fi
        if [[ "$argument" != jobs ]]; then compadd -- ${{=argument}}; [[ -n "$argument" ]] || _files; return; fi
    fi
    compadd -- ${{(f)"$(cryosnake completion jobs "$word" 2>/dev/null)"}}
}}
compdef _cryosnake cryosnake
"""


def script_for(shell: str) -> str:
    """Return the script for bash or zsh."""
    from cryosnake.cli import parser_of_all

    commands = parser_of_all()
    cases = "".join(f"        {name}) {_case(parser)} ;;\n" for name, parser in commands.items())
    word = "${COMP_WORDS[index]}" if shell == "bash" else "${words[index]}"
    table = _TABLE.format(word=word, commands=shlex.quote(" ".join(commands)), cases=cases)
    body = (_BASH if shell == "bash" else _ZSH).format(table=table)
    head = _HEAD.format(version=__version__, shell=shell)
    return head + body if shell == "bash" else body.replace("\n", f"\n{head}", 1)


def _case(parser: argparse.ArgumentParser) -> str:
    """Return what the table says of a command: options, those with a value, those with a job, other arguments."""
    actions = [action for action in parser._actions if action.option_strings]
    values = [action for action in actions if action.nargs != 0]
    lists = {"options": actions, "values": values, "named": [action for action in values if _is_job(action)]}
    parts = [f"{name}={shlex.quote(' '.join(word for action in listed for word in action.option_strings))}"
             for name, listed in lists.items()]
    positional = [action for action in parser._actions if not action.option_strings]
    words = next((" ".join(map(str, action.choices)) for action in positional if action.choices), "")
    if any(map(_is_job, positional)):
        words = "jobs"
    return " ".join([*parts, f"argument={shlex.quote(words)}"])


def _is_job(action: argparse.Action) -> bool:
    name = action.metavar or action.dest
    return isinstance(name, str) and name.upper().startswith("JOB")
