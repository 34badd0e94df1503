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
        printf '%s\n' $answer
    end
end
complete -c qcfeed -f -a '(__qcfeed_complete)'
