# Completes the words of imgbake in fish.
complete -c imgbake -a '(imgbake __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
