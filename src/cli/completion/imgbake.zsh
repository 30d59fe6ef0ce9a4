#compdef imgbake
# Completes the words of imgbake in zsh.
_imgbake() {
    local -a found
    found=(${(f)"$(imgbake __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then
        # `_describe` parts words from their meaning by a colon.
        found=("${(@)found//:/\\:}")
        found=("${(@)found/$'\t'/:}")
        _describe imgbake found
    else
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _imgbake imgbake
