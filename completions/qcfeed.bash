# TAB for qcfeed in bash 4.0 or later. Written by `qcfeed completion bash`.
_qcfeed() {
    local program=${1/#\~\//$HOME/} answer line
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
