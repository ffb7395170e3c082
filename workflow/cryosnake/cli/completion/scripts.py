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
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" first=1 at="$COMP_CWORD" job
{table}    COMPREPLY=()
    if [[ " $named " == *" $before "* ]]; then
        argument=@jobs
    elif [[ " $values " == *" $before "* ]]; then
        return  # a value: files
    elif [[ "$word" == -* ]]; then
        argument="$options"
    fi
    COMPREPLY=($(compgen -W "${{argument//@jobs/}}" -- "$word"))
    if [[ "$argument" == *@jobs* ]]; then
        while read -r job; do COMPREPLY+=("$job"); done \\
            < <("${{COMP_WORDS[0]/#\\~/$HOME}}" completion jobs "$word" 2>/dev/null)
    fi
}}
complete -o default -F _cryosnake cryosnake
"""

_ZSH = """\
#compdef cryosnake
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit }}
_cryosnake() {{
    local word="${{words[CURRENT]}}" before="${{words[CURRENT-1]}}" first=2 at="$CURRENT"
{table}    if [[ " $named " == *" $before "* ]]; then
        argument=@jobs
    elif [[ " $values " == *" $before "* ]]; then
        _files
        return
    elif [[ "$word" == -* ]]; then
        argument="$options"
    fi
    [[ -n "$argument" ]] || _files
    compadd -- ${{=argument//@jobs/}}
    if [[ "$argument" == *@jobs* ]]; then
        compadd -- ${{(f)"$(cryosnake completion jobs "$word" 2>/dev/null)"}}
    fi
}}
compdef _cryosnake cryosnake
"""

_JOBS = "@jobs"  # in the table, in the place of what differs by project


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
    words = [str(choice) for action in positional for choice in action.choices or ()]
    words += [_JOBS] if any(map(_is_job, positional)) else []
    return " ".join([*parts, f"argument={shlex.quote(' '.join(words))}"])


def _is_job(action: argparse.Action) -> bool:
    name = action.metavar or action.dest
    return isinstance(name, str) and name.upper().startswith("JOB")
