# Completes the words of imgbake in bash.
_imgbake() {
    local line=${COMP_LINE:0:COMP_POINT} words last
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    last=${words[${#words[@]} - 1]}
    local IFS=$'\n'
    COMPREPLY=($(imgbake __complete -- "${words[@]:1}" 2>/dev/null | cut -f1))
    # What stands before a `=` is a word of its own to bash.
    [[ $last == *=* ]] && COMPREPLY=("${COMPREPLY[@]#*=}")
}
complete -o bashdefault -o default -F _imgbake imgbake
