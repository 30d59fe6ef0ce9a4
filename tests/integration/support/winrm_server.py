"""A WinRM service for tests: MS-WSMV's shells over HTTP or HTTPS, Basic and NTLM (pyspnego).

    winrm.py PORT-FILE ROOT LOG SCRIPTS [--cert FILE] [--no-basic] [--delay SECONDS] [--idle SECONDS]
        [--envelope BYTES] [--shells COUNT]

It serves the user `vagrant` with the password of NTLM_USER_FILE. ROOT is the machine's drive C:.
LOG gets one line for each request and each command. SCRIPTS are directories of the PowerShell
texts that imgbake sends: the service knows exactly these, and what they do. All of them, and the
scripts and command lines for PowerShell, are checked by tree-sitter's grammar of it. Other lines
go to a `cmd` of its own, which knows `echo`, `set`, `exit`, `ver`, `wait`, `del`, `cat`,
`if exist`, `shutdown` and files of such lines, and to a PowerShell that sets variables, prints
them (`Write-Output`), throws and exits. A restart drops all shells and connections for two seconds.
A shell that nobody asks anything of ends after its IdleTimeOut, or after --idle if that is less,
and with it what runs in it: what Windows removes at the end of a process is removed then, what a
`finally` of a script would remove is not. Scheduled tasks outlive the shell that has made them.
"""

import argparse, base64, fnmatch, gzip, hashlib, http.server, io, json, os, queue, re, shutil, socket, ssl, sys, tempfile, threading
import time, uuid, xml.etree.ElementTree as ET, zipfile

import spnego, tree_sitter, tree_sitter_powershell

RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
TYPE = "application/soap+xml;charset=UTF-8"
ENVELOPE = 512000
# Servers say this where nothing was printed in the time that a receiver waits.
TIMED_OUT, NO_SHELL = "2150858793", "2150858843"


class Fault(Exception):
    pass


def plain(text):
    """A script as it is sent: without what its lines begin with."""
    return "".join(line.lstrip() for line in text.splitlines(True)).strip()


POWERSHELL = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


def must_be_powershell(text):
    """An error unless `text` follows PowerShell's grammar: no PowerShell reads it here."""
    text = text.removeprefix("\ufeff")
    nodes = [POWERSHELL.parse(text.encode()).root_node]
    while nodes:
        node = nodes.pop()
        if node.is_missing or node.type == "ERROR":
            where, what = node.start_point, node.text.decode(errors="replace")[:80]
            raise Exception(f"this is no PowerShell, in line {where.row + 1}: {what}")
        nodes.extend(node.children if node.has_error else [])


class Command:
    def __init__(self, shell, line):
        self.shell, self.line, self.id = shell, line, str(uuid.uuid4()).upper()
        self.input, self.output, self.status = queue.Queue(), queue.Queue(), None
        self.ended = threading.Event()
        self.stopped = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            status = MACHINE.run(self, self.line)
        except BrokenPipeError:
            status = 1
        except Exception as error:
            self.print("stderr", f"{error}\n".encode())
            status = 1
        self.output.put(("end", status))

    def print(self, stream, data):
        if self.stopped.is_set():
            raise BrokenPipeError
        self.output.put((stream, data))

    def parts(self):
        """The input, as it comes."""
        while True:
            try:
                data, last = self.input.get(timeout=0.1)
            except queue.Empty:
                if self.stopped.is_set():
                    raise BrokenPipeError
                continue
            yield data
            if last:
                return

    def read(self):
        """All of the input."""
        return b"".join(self.parts())


class Machine:
    def __init__(self, root, scripts, log):
        self.root, self.log_file, self.lock = root, open(log, "a", buffering=1), threading.Lock()
        self.shells, self.down_until, self.connections, self.pending = {}, 0, set(), 2
        self.scripts, self.tasks, self.used = {}, {}, {}
        for directory in scripts.split(":"):
            for name in os.listdir(directory):
                if name.endswith(".ps1"):
                    self.scripts[plain(open(os.path.join(directory, name)).read())] = name[:-4]
        threading.Thread(target=self.reap, daemon=True).start()

    def reap(self):
        """Ends the shells that nobody asks anything of."""
        while True:
            time.sleep(0.2)
            for shell, (last, idle) in list(self.used.items()):
                if time.time() - last > min(idle, ARGUMENTS.idle) and shell in self.shells:
                    self.log(f"idle {shell}")
                    self.do_Delete(shell, None)

    def log(self, text):
        with self.lock:
            self.log_file.write(text.replace("\n", "\\n") + "\n")

    def path(self, text):
        text = re.sub(r"\$env:(\w+)", r"%\1%", text)
        text = text.replace("%TEMP%", "C:/Users/vagrant/Temp").replace("\\", "/")
        relative = re.sub(r"^[A-Za-z]:", "", text).lstrip("/")
        return os.path.join(self.root, *[part for part in relative.split("/") if part])

    def run(self, command, line):
        found = re.fullmatch(r"(?:powershell|pwsh)(?:\.exe)? .*-EncodedCommand (\S+)", line, re.I)
        if found:
            return self.powershell(command, base64.b64decode(found[1]).decode("utf-16-le"))
        words = r"(?: -(?:noprofile|noninteractive|executionpolicy \w+))*"
        found = re.match(rf"(?:powershell|pwsh){words} -file \"?([^\"]+)", line, re.I)
        if found:
            self.log(f"powershell file {found[1]}")
            return self.script_file(command, found[1], {})
        found = re.match(rf"(?:powershell|pwsh)(?:\.exe)?{words}(?: -command)? (.+)", line, re.I | re.S)
        if found:
            text = found[1]
            must_be_powershell(text[1:-1] if text.startswith('"') else text)
        found = re.search(r"\. (\S+); &'([^']+)'; exit", line)
        if found:
            self.log(f"powershell files {found[1]} {found[2]}")
            variables = {}
            self.script_file(command, found[1], variables)
            return self.script_file(command, found[2], variables)
        if line.startswith("powershell ") and "restarted." in line:
            command.print("stdout", b"TEST restarted.\r\n")
            return 0
        if re.match("powershell(?:.exe)? ", line) and re.search("Install-Project|Invoke-WebRequest|Start-Process|Remove-Item|bootstrap-salt", line):
            self.log(f"installs {line}")
            return 0
        if line.startswith("powershell ") and "Test-Path" in line:
            self.pending -= 1
            command.print("stdout", b"True\r\n" if self.pending > 0 else b"False\r\n")
            return 0
        self.log(f"cmd {line}")
        try:
            return self.cmd(command, line, {})
        except SystemExit as exit:
            return exit.code

    def powershell(self, command, text):
        values, whole = {}, text
        while plain(text) not in self.scripts:
            found = re.match(r"\$(\w+) = '((?:[^']|'')*)'\n", text)
            if not found:
                break
            values[found[1]] = found[2].replace("''", "'")
            text = text[found.end():]
        name = self.scripts.get(plain(text))
        self.log(f"powershell {name} {sorted(values.items())}")
        if name is None:
            # What others than imgbake send, as far as it prints a word.
            found = re.search(r"Write-Output '?([\w-]+)'?", text)
            if found:
                command.print("stdout", (found[1] + "\r\n").encode())
                return 0
            raise Exception("this machine does not know the script: " + text[:60])
        must_be_powershell(whole)
        return getattr(self, "script_" + name)(command, **values)

    def script_file(self, command, path, variables):
        """Runs a file of PowerShell, as far as it is known here."""
        text = open(self.path(path), encoding="utf-8-sig", newline="").read()
        must_be_powershell(text)
        if "Remove-Item -LiteralPath $MyInvocation.MyCommand.Path" in text:
            os.remove(self.path(path))
        for elevated, name in self.scripts.items():
            if name == "elevated" and plain(text).endswith(elevated):
                values = dict(re.findall(r"^\$(\w+) = '((?:[^']|'')*)'$", text, re.M))
                user, password = values["user"], values["password"].replace("''", "'")
                if user != "SYSTEM" and [user, password] != USER:
                    raise Exception("the user name or password is incorrect")
                return self.elevated(command, values["name"], user, values["command"].replace("''", "'"))
            if name == "run" and plain(text).endswith(elevated):
                values = re.findall(r"^\$([\w:]+) = '((?:[^']|'')*)'$", text, re.M)
                values = {name: value.replace("''", "'") for name, value in values}
                line = values.pop("command")
                variables = {name.removeprefix("env:").upper(): value for name, value in values.items()}
                self.log(f"cmd {line}")
                try:
                    return self.cmd(command, line, variables)
                except SystemExit as exit:
                    return exit.code
        for name, value in re.findall(r'\$env:(\w+)="((?:[^"`]|`.)*)"; ', text, re.S):
            variables[name] = re.sub(r"`(.)", r"\1", value, flags=re.S)
        self.log("variables " + json.dumps(variables))
        for line in re.split(r"\r?\n", text):
            word, _, rest = line.partition(" ")
            if word == "Write-Output":
                for name in rest.split():
                    value = variables.get(name.removeprefix("$env:"), "")
                    command.print("stdout", (value + "\r\n").encode())
            elif word == "Start-Sleep":
                if command.stopped.wait(float(rest)):
                    raise BrokenPipeError
            elif word == "throw":
                command.print("stderr", (rest.strip("'") + "\r\n").encode())
                return 1
            elif word == "exit" and rest.isdigit():
                return int(rest)
        return 0

    def elevated(self, command, name, user, line):
        """Runs a scheduled task. A script that is killed takes nothing away."""
        for old in [old for old, runs in self.tasks.items() if not runs]:
            self.remove_task(old)
        self.log(f"task {name} as {user}")
        self.tasks[name] = True
        open(self.task_log(name), "w").close()
        try:
            status = self.run(command, line)
        except BrokenPipeError:
            self.tasks[name] = False
            raise
        self.remove_task(name)
        return status

    def task_log(self, name):
        return self.path(f"C:/Windows/Temp/{name}.out")

    def remove_task(self, name):
        self.log(f"task {name} is gone")
        self.tasks.pop(name, None)
        if os.path.exists(self.task_log(name)):
            os.remove(self.task_log(name))

    def script_hello(self, command):
        command.print("stdout", b"WinRM connected.\r\n")
        return 0

    def held(self):
        """A file that goes with the process which has it."""
        os.makedirs(self.path("%TEMP%"), exist_ok=True)
        return tempfile.NamedTemporaryFile(dir=self.path("%TEMP%"), prefix="imgbake-")

    def script_receive(self, command, to, unpacks, name=""):
        place = self.path(to)
        if not unpacks and os.path.isdir(place):
            command.print("stderr", f"{to} is a directory\r\n".encode())
            return 64
        with self.held() as held:
            text = b""
            for part in command.parts():
                text += part
                held.write(part)
                held.flush()
            data = gzip.decompress(base64.b64decode(text, validate=True))
            if os.path.exists(os.path.join(self.root, "corrupt")):
                data = data[:-1] + b"?"
            if unpacks:
                if name and os.path.isdir(place):
                    place = os.path.join(place, name)
                os.makedirs(place, exist_ok=True)
                with zipfile.ZipFile(io.BytesIO(data)) as packed:
                    packed.extractall(place)
            else:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place, "wb") as file:
                    file.write(data)
        command.print("stdout", hashlib.sha256(data).hexdigest().encode())
        return 0

    def script_hold(self, command, to):
        place = self.path(to)
        if os.path.isdir(place):
            command.print("stderr", f"{to} is a directory\r\n".encode())
            return 64
        with self.held() as held:
            command.print("stdout", f"{held.name}\r\n".encode())
            command.read()
            data = held.read()
            if os.path.exists(os.path.join(self.root, "corrupt")):
                data = data[:-1] + b"?"
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "wb") as file:
                file.write(data)
        command.print("stdout", hashlib.sha256(data).hexdigest().encode())
        return 0

    def script_part(self, command, held, at):
        data = gzip.decompress(base64.b64decode(command.read(), validate=True))
        with open(held, "r+b") as file:
            file.seek(int(at))
            file.write(data)
        return 0

    def script_send(self, command, packs, **values):
        path = values["from"]
        if packs:
            held = io.BytesIO()
            if not self.pack(command, path.replace("\\", "/"), held):
                return 1
            data = held.getvalue()
        else:
            source = self.path(path)
            if os.path.isdir(source):
                command.print("stderr", f"{path} is a directory\r\n".encode())
                return 64
            data = open(source, "rb").read()
        text = base64.b64encode(data)
        for at in range(0, len(text), 100001):
            command.print("stdout", text[at:at + 100001])
        command.print("stderr", hashlib.sha256(data).hexdigest().encode())
        return 0

    def pack(self, command, source, archive):
        is_pattern = re.search(r"[*?\[]", source)
        base = self.path(os.path.dirname(source) if is_pattern else source)
        pattern = os.path.basename(source) if is_pattern else "*"
        if not os.path.isdir(base):
            command.print("stderr", f"{source} is no directory\r\n".encode())
            return False
        with zipfile.ZipFile(archive, "w") as packed:
            for name in sorted(fnmatch.filter(os.listdir(base), pattern)):
                packed.write(os.path.join(base, name), name)
                for at, directories, files in os.walk(os.path.join(base, name)):
                    for inside in directories + files:
                        path = os.path.join(at, inside)
                        packed.write(path, os.path.relpath(path, base))
        return True

    def cmd(self, command, line, variables):
        """The status of one line; `exit` ends the file that it stands in."""
        known = {"TEMP": "C:/Users/vagrant/Temp", **variables}
        line = re.sub(r"%(\w+)%", lambda name: known.get(name[1].upper(), ""), line)
        status = 0
        for part in re.split(r' &&? ?(?=(?:[^"]*"[^"]*")*[^"]*$)', line):
            part = part.strip()
            if part.startswith("("):
                part = part[1:].removesuffix(")")
            word = part.split(" ")[0].lower()
            rest = part[len(word):].strip()
            if word == "echo" and ">>" in rest:
                text, _, path = rest.rpartition(">>")
                with open(self.path(path.strip().strip('"')), "a") as file:
                    file.write(text.rstrip())
            elif word == "echo":
                stream = "stderr" if rest.endswith("1>&2") else "stdout"
                command.print(stream, (rest.removesuffix("1>&2").rstrip() + "\r\n").encode())
            elif word == "set":
                name, value = rest.strip('"').split("=", 1)
                variables[name.upper()] = value
            elif word == "exit":
                raise SystemExit(int(rest.split(" ")[-1] or 0))
            elif word == "ver":
                command.print("stdout", b"Microsoft Windows [Version 10.0.20348]\r\n")
            elif word == "wait":
                if command.stopped.wait(float(rest)):
                    raise BrokenPipeError
            elif word == "cat":
                command.print("stdout", command.read())
            elif word == "del":
                for path in re.findall(r'"([^"]+)"', rest):
                    if os.path.isfile(self.path(path)):
                        os.remove(self.path(path))
            elif word == "if":
                path = self.path(re.search(r'"([^"]+)"', rest)[1])
                if "exit 1" in rest and not os.path.isdir(path):
                    raise SystemExit(1)
                if " mkdir " in rest:
                    os.makedirs(path, exist_ok=True)
                if " rmdir " in rest:
                    shutil.rmtree(path, ignore_errors=True)
            elif word == "move":
                source, to = [self.path(path) for path in re.findall(r'"([^"]+)"', rest)]
                os.rename(source, to)
            elif word == "cd":
                self.log(f"cd {rest}")
            elif word in ("puppet", "salt-call") or "chef\\bin" in word:
                self.log(f"tool {part}")
                self.log("variables " + json.dumps(variables))
                for path in re.findall(r'"?([^"\s=;]+)"?', rest):
                    if os.path.isfile(self.path(path)):
                        self.log(f"has {path} {open(self.path(path)).read()}")
            elif word == "schtasks":
                self.log(f"schtasks {rest}")
                if "/delete" in rest:
                    self.tasks.pop(rest.split("/tn ")[1].split(" ")[0], None)
            elif word == "shutdown":
                if "/t 0" in rest:
                    self.reboot()
            elif os.path.isfile(self.path(part.strip('"'))):
                status = self.batch(command, self.path(part.strip('"')), variables)
            elif part and not part.startswith("@"):
                command.print("stderr", f"'{word}' is not recognized as an internal or external command\r\n".encode())
                status = 1
            if status:
                return status
        return status

    def batch(self, command, path, variables):
        status = 0
        self.log("variables " + json.dumps(variables))
        for line in open(path).read().splitlines():
            try:
                status = self.cmd(command, line, variables)
            except SystemExit as exit:
                return exit.code
        return status

    def reboot(self):
        self.log("reboot")
        self.down_until = time.time() + 2
        self.shells.clear()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # What a client asks for.

    def answer(self, text):
        if len(text) > ARGUMENTS.envelope:
            raise Fault("2150858818", "the envelope is too large")
        header, body = ET.fromstring(text)
        of = {node.tag.split("}")[1]: node for node in header.iter()}
        action = of["Action"].text.rsplit("/", 1)[1]
        selector = of.get("Selector")
        shell = selector.text if selector is not None else None
        if shell is not None and shell not in self.shells:
            raise Fault(NO_SHELL, "the shell was not found")
        self.log(f"{action}")
        try:
            self.use(shell)
            return action, getattr(self, "do_" + action)(shell, body)
        finally:
            self.use(shell)

    def use(self, shell):
        if shell in self.used:
            self.used[shell] = (time.time(), self.used[shell][1])

    def do_Create(self, _, body):
        if len(self.shells) >= ARGUMENTS.shells:
            raise Fault("2150859174", "this user has as many shells as it may")
        shell = str(uuid.uuid4()).upper()
        self.shells[shell] = {}
        idle = body.find(f".//{{{RSP}}}IdleTimeOut")
        idle = 7200 if idle is None else float(re.fullmatch(r"PT([\d.]+)S", idle.text)[1])
        self.used[shell] = (time.time(), idle)
        reference = f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>'
        return (
            '<t:ResourceCreated xmlns:t="http://schemas.xmlsoap.org/ws/2004/09/transfer"><a:ReferenceParameters>'
            f"<w:ResourceURI>{RSP}/cmd</w:ResourceURI>{reference}</a:ReferenceParameters></t:ResourceCreated>"
            f"<rsp:Shell><rsp:ShellId>{shell}</rsp:ShellId></rsp:Shell>"
        )

    def do_Command(self, shell, body):
        line = body.find(f".//{{{RSP}}}Command").text
        arguments = [node.text or "" for node in body.iter(f"{{{RSP}}}Arguments")]
        command = Command(shell, " ".join([line] + arguments))
        self.shells[shell][command.id] = command
        return f"<rsp:CommandResponse><rsp:CommandId>{command.id}</rsp:CommandId></rsp:CommandResponse>"

    def command(self, shell, node):
        found = self.shells[shell].get(node.get("CommandId"))
        if found is None:
            raise Fault(NO_SHELL, "the command was not found")
        return found

    def do_Receive(self, shell, body):
        command = self.command(shell, body.find(f".//{{{RSP}}}DesiredStream"))
        try:
            found = [command.output.get(timeout=5)]
        except queue.Empty:
            raise Fault(TIMED_OUT, "nothing was printed")
        size = len(found[0][1]) if found[0][0] != "end" else 0
        while size < 100000:
            try:
                found.append(command.output.get_nowait())
            except queue.Empty:
                break
            if found[-1][0] != "end":
                size += len(found[-1][1])
        answer = ""
        for stream, data in found:
            if stream == "end":
                answer += f'<rsp:CommandState CommandId="{command.id}" State="{RSP}/CommandState/Done"><rsp:ExitCode>{data}</rsp:ExitCode></rsp:CommandState>'
            else:
                data = base64.b64encode(data).decode()
                answer += f'<rsp:Stream Name="{stream}" CommandId="{command.id}">{data}</rsp:Stream>'
        return f"<rsp:ReceiveResponse>{answer}</rsp:ReceiveResponse>"

    def do_Send(self, shell, body):
        stream = body.find(f".//{{{RSP}}}Stream")
        last = stream.get("End", "false").lower() in ("true", "1")
        self.command(shell, stream).input.put((base64.b64decode(stream.text or ""), last))
        return "<rsp:SendResponse/>"

    def do_Signal(self, shell, body):
        command = self.command(shell, body.find(f".//{{{RSP}}}Signal"))
        command.stopped.set()
        return "<rsp:SignalResponse/>"

    def do_Delete(self, shell, body):
        self.used.pop(shell, None)
        for command in self.shells.pop(shell).values():
            command.stopped.set()
        return ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    context, is_in = None, False

    def setup(self):
        super().setup()
        MACHINE.connections.add(self.connection)

    def finish(self):
        MACHINE.connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if time.time() < MACHINE.down_until:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        time.sleep(ARGUMENTS.delay)
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if ARGUMENTS.kerberos:
            return self.refuse()
        if scheme == "Basic":
            self.is_in = not ARGUMENTS.no_basic and base64.b64decode(token).decode() == ":".join(USER)
        elif scheme in ("Negotiate", "NTLM"):
            return self.negotiate(scheme, base64.b64decode(token), body)
        if not self.is_in:
            return self.refuse()
        self.serve(body)

    def refuse(self, token=None):
        self.send_response(401)
        if token is None:
            if ARGUMENTS.kerberos:
                self.send_header("WWW-Authenticate", "Kerberos")
            for offer in [] if ARGUMENTS.kerberos else ["Negotiate"] + [] if ARGUMENTS.no_basic else ["Negotiate", 'Basic realm="WSMAN"']:
                self.send_header("WWW-Authenticate", offer)
        else:
            self.send_header("WWW-Authenticate", token)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def negotiate(self, scheme, token, body):
        if self.context is None or self.context.complete:
            options = spnego.NegotiateOptions.use_ntlm
            protocol = "ntlm" if token.startswith(b"NTLMSSP\0") else "negotiate"
            self.context = spnego.server(protocol=protocol, options=options)
        try:
            answer = self.context.step(token)
        except Exception as error:
            MACHINE.log(f"refused {error}")
            self.context = None
            return self.refuse()
        answer = f"{scheme} {base64.b64encode(answer or b'').decode()}"
        if not self.context.complete:
            return self.refuse(answer)
        self.is_in = True
        MACHINE.log(f"ntlm {self.context.client_principal}")
        self.serve(body, answer)

    def serve(self, body, token=None):
        sealed = "multipart/encrypted" in (self.headers.get("Content-Type") or "")
        if sealed:
            body = self.open(body)
        elif body and self.context is not None and not ARGUMENTS.cert:
            # What Windows does: AllowUnencrypted is false.
            self.send_error(415)
            return
        status, text = 200, b""
        if body:
            status, text = self.soap(body)
        kind = TYPE
        if sealed and text:
            kind, text = self.seal(text)
        self.send_response(status)
        if token:
            self.send_header("WWW-Authenticate", token)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        try:
            self.wfile.write(text)
        except OSError:
            self.close_connection = True

    def open(self, body):
        part = body.split(b"application/octet-stream\r\n", 1)[1]
        part = part[: part.rindex(b"--Encrypted Boundary--")]
        length = int.from_bytes(part[:4], "little")
        return self.context.unwrap_winrm(part[4 : 4 + length], part[4 + length :])

    def seal(self, text):
        header, data, padding = self.context.wrap_winrm(text)
        head = (
            "--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
            f"\tOriginalContent: type={TYPE};Length={len(text) + padding}\r\n"
            "--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
        ).encode()
        kind = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
        return kind, head + len(header).to_bytes(4, "little") + header + data + b"--Encrypted Boundary--\r\n"

    def soap(self, body):
        related = next(ET.fromstring(body).iter("{http://schemas.xmlsoap.org/ws/2004/08/addressing}MessageID")).text
        try:
            action, answer = MACHINE.answer(body)
            kind = "http://schemas.xmlsoap.org/ws/2004/09/transfer" if action in ("Create", "Delete") else RSP
            status, action = 200, f"{kind}/{action}Response"
        except Fault as fault:
            code, text = fault.args
            status, action = 500, "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
            answer = (
                "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:Fault</s:Value></s:Subcode></s:Code>"
                f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail><f:WSManFault '
                f'xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}" Machine="test">'
                f"<f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>"
            )
        text = (
            '<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
            'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
            f'xmlns:w="{WSMAN}" xmlns:rsp="{RSP}"><s:Header><a:Action>{action}</a:Action>'
            f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID><a:RelatesTo>{related}</a:RelatesTo></s:Header><s:Body>{answer}</s:Body></s:Envelope>"
        )
        return status, text.encode()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass


parser = argparse.ArgumentParser()
for name in ["port_file", "root", "log", "scripts"]:
    parser.add_argument(name)
parser.add_argument("--cert")
parser.add_argument("--no-basic", action="store_true")
parser.add_argument("--envelope", type=int, default=ENVELOPE)
parser.add_argument("--shells", type=int, default=30)
parser.add_argument("--kerberos", action="store_true")
parser.add_argument("--delay", type=float, default=0)
parser.add_argument("--idle", type=float, default=7200)
ARGUMENTS = parser.parse_args()
USER = open(os.environ["NTLM_USER_FILE"]).read().strip().split(":")[-2:]
MACHINE = Machine(ARGUMENTS.root, ARGUMENTS.scripts, ARGUMENTS.log)
server = Server(("127.0.0.1", 0), Handler)
if ARGUMENTS.cert:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ARGUMENTS.cert)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(ARGUMENTS.port_file + ".new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(ARGUMENTS.port_file + ".new", ARGUMENTS.port_file)
server.serve_forever()
