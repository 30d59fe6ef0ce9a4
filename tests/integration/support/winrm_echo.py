"""Uploads as Packer does: base64 by an `echo` each, in lines of `cmd` as long as they may be, and a
shell for fifteen of them.

    winrm_echo.py URL USER PASSWORD FILE
"""

import base64, sys

import winrm.protocol

PER_SHELL = 15

url, user, password, path = sys.argv[1:]
protocol = winrm.protocol.Protocol(url, transport="basic", username=user, password=password)
target = r"%TEMP%\winrmcp-00000000-0000-0000-0000-000000000000.tmp"
chunk = (8000 - len(target)) // 4 * 3
commands, shell = 0, None
with open(path, "rb") as file:
    while data := file.read(chunk):
        if commands % PER_SHELL == 0:
            if shell:
                protocol.close_shell(shell)
            shell = protocol.open_shell()
        line = f'echo {base64.b64encode(data).decode()} >> "{target}"'
        command = protocol.run_command(shell, line, skip_cmd_shell=False)
        _, _, status = protocol.get_command_output(shell, command)
        protocol.cleanup_command(shell, command)
        assert status == 0, status
        commands += 1
protocol.close_shell(shell)
print(commands)
