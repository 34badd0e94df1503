"""The completion scripts: they hand what was typed to ``qcfeed __complete`` and offer its answer.

Each asks the very program that stands on the line, once a TAB, and lets nothing of it be seen but
the answer.
"""

from __future__ import annotations

BASH = """\
# TAB for qcfeed in bash 4.0 or later. Written by `qcfeed completion bash`.
_qcfeed() {
    local program=${1/#\\~\\//$HOME/} answer line
    COMPREPLY=()
    answer=$("$program" __complete bash "$COMP_WORDBREAKS" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null) || return 0
    if [[ $answer == :files ]]; then
        compopt -o default -o filenames
        return 0
    fi
    while IFS= read -r line; do
        [[ -z $line ]] || COMPREPLY+=("$line")
    done <<<"$answer"
}
complete -F _qcfeed qcfeed
"""

ZSH = """\
#compdef qcfeed
# TAB for qcfeed in zsh. Written by `qcfeed completion zsh`.
_qcfeed() {
    local program=${(Q)words[1]/#\\~\\//$HOME/} answer
    local -a found
    answer=$("$program" __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null) || return 1
    if [[ $answer == :files ]]; then
        [[ $PREFIX == --*=* ]] && compset -P '*='
        _files
        return
    fi
    [[ -n $answer ]] || return 1
    found=("${(@f)answer}")
    _describe qcfeed found
}
if [[ $funcstack[1] == _qcfeed ]]; then
    _qcfeed "$@"
else
    compdef _qcfeed qcfeed
fi
"""

FISH = """\
# TAB for qcfeed in fish. Written by `qcfeed completion fish`.
function __qcfeed_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' $HOME/ -- $words[1])
    set -e words[1]
    set -l answer ($program __complete fish $words "$current" 2>/dev/null)
    if test "$answer" = :files
        __fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current")
    else
        printf '%s\\n' $answer
    end
end
complete -c qcfeed -f -a '(__qcfeed_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
