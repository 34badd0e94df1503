#compdef qcfeed
# TAB for qcfeed in zsh. Written by `qcfeed completion zsh`.
_qcfeed() {
    local program=${(Q)words[1]/#\~\//$HOME/} answer
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
