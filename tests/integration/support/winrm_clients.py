"""Runs commands on the service at URL with two public clients, which show that it is right:
    winrm_clients.py URL USER PASSWORD basic|ntlm"""

import sys

import pypsrp.shell, pypsrp.wsman, winrm

url, user, password, how = sys.argv[1:]
lines = ["echo hello", "exit 3", "echo gone 1>&2", "ver"]


def with_pywinrm(line):
    session = winrm.Session(url, auth=(user, password), transport=how, server_cert_validation="ignore")
    result = session.run_cmd(line)
    return result.std_out, result.std_err, result.status_code


def with_pypsrp(line):
    host, port = url.split("/")[2].split(":")
    wsman = pypsrp.wsman.WSMan(
        host, port=int(port), username=user, password=password, auth=how, ssl=url.startswith("https"),
        cert_validation=False, encryption="auto" if how == "ntlm" else "never",
    )
    with wsman, pypsrp.shell.WinRS(wsman) as shell:
        process = pypsrp.shell.Process(shell, line)
        process.invoke()
        process.signal(pypsrp.shell.SignalCode.CTRL_C)
        return process.stdout, process.stderr, process.rc


for run in [with_pywinrm, with_pypsrp]:
    for line in lines:
        print(run.__name__, line, *run(line))
