//! What is asked of a machine, in the language of its shell.

use crate::guest::shell::{Posix, Shell, encoded_powershell, quote_powershell};

/// A command that succeeds where the answer is yes, and else says why not.
pub(super) enum Question<'a> {
    /// Whether some program listens on this TCP port.
    Listens(u16),
    /// Whether this URL answers with success.
    Gets(&'a str),
}

impl Question<'_> {
    /// The command, for a machine with this `shell`.
    pub(super) fn command(&self, shell: &dyn Shell) -> String {
        match (self, shell.is_posix()) {
            (Self::Listens(port), true) => listens(*port),
            (Self::Listens(port), false) => encoded_powershell(&listens_on_windows(*port)),
            (Self::Gets(url), true) => gets(url),
            (Self::Gets(url), false) => encoded_powershell(&gets_on_windows(url)),
        }
    }
}

/// As the kernel tells, whatever is installed.
fn listens(port: u16) -> String {
    let listens = format!(":{port:04X} [0-9A-F]+:0000 0A ");
    format!(
        "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -Eq {} || {{ echo nobody listens there >&2; exit 1; }}",
        Posix.word(&listens)
    )
}

/// As .NET tells: `Get-NetTCPConnection` is not in every Windows.
fn listens_on_windows(port: u16) -> String {
    format!(
        "$all = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners()\n\
         if ($all | Where-Object {{ $_.Port -eq {port} }}) {{ exit 0 }}\n\
         [Console]::Error.WriteLine('nobody listens there')\n\
         exit 1\n"
    )
}

fn gets(url: &str) -> String {
    let url = Posix.word(url);
    format!(
        "if command -v curl >/dev/null; then curl -fsS -o /dev/null --max-time 10 {url}; \
         elif command -v wget >/dev/null; then wget -q -O /dev/null -T 10 {url}; \
         else echo it has neither curl nor wget >&2; exit 1; fi"
    )
}

/// An old Windows speaks TLS 1.2 only where it is told to.
fn gets_on_windows(url: &str) -> String {
    let url = quote_powershell(url);
    format!(
        "$ProgressPreference = 'SilentlyContinue'\n\
         [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072\n\
         try {{ $null = Invoke-WebRequest -UseBasicParsing -TimeoutSec 10 -Uri {url}; exit 0 }}\n\
         catch {{ [Console]::Error.WriteLine($_.Exception.Message); exit 1 }}\n"
    )
}
