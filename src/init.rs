//! Being the first process of a container: the kernel gives it no default handlers for signals, and
//! whatever loses its parent becomes its child. So the work is done by a child of its own; here
//! signals are passed on, and whoever ends is seen off.

use std::env::ArgsOs;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus};

use rustix::process::{Pid, WaitOptions, kill_process, wait};
use tokio::signal::unix::{self, SignalKind};

use crate::cli::signals::{ENDING, listen, next};

/// Whether this process is the first one of its container.
pub fn is_needed() -> bool {
    std::process::id() == 1
}

/// Does what the arguments (with the program's own name) say in a child, and ends as that does.
pub fn run(args: ArgsOs) -> ExitCode {
    match supervise(args) {
        Ok(code) => ExitCode::from(code),
        // There is nobody to report to yet; the code says that the program was not run.
        Err(_) => ExitCode::from(126),
    }
}

fn supervise(args: ArgsOs) -> io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the child is there: nothing that is sent from now on is lost.
        let mut ended = unix::signal(SignalKind::child())?;
        let mut signals = Vec::new();
        for (signal, _) in ENDING {
            signals.push((listen(signal)?, signal));
        }
        let child = start(args)?;
        loop {
            tokio::select! {
                Some(()) = ended.recv() => {
                    if let Some(status) = see_off(&child)? {
                        return Ok(code(status));
                    }
                }
                signal = next(&mut signals) => {
                    // It may have ended in this moment.
                    let _ = kill_process(pid(&child), signal);
                }
            }
        }
    })
}

/// The same program with the same name and arguments.
fn start(mut args: ArgsOs) -> io::Result<Child> {
    let name = args.next().unwrap_or_else(|| "imgbake".into());
    Command::new("/proc/self/exe").arg0(name).args(args).spawn()
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Takes note of all who have ended: how `child` has, if it is among them.
fn see_off(child: &Child) -> io::Result<Option<ExitStatus>> {
    while let Some((ended, status)) = wait(WaitOptions::NOHANG)? {
        if ended == pid(child) {
            return Ok(Some(ExitStatus::from_raw(status.as_raw())));
        }
    }
    Ok(None)
}

/// The exit code, as shells have it for a process that a signal has ended.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
