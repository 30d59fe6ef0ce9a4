//! The `imgbake` program: arguments in, exit code out.

use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use imgbake::env::{self, sealed};
use imgbake::{action, cli, init, plugin};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(why) = env::allow_files() {
        return cli::refuse(why).into();
    }
    let args: Vec<OsString> = args_os().collect();
    let entry = args.first().and_then(|name| action::Entry::named(name));
    if entry.is_some() && !sealed::is_done() {
        let error = sealed::again(&args);
        return cli::refuse(format!("Error: the environment cannot be hidden: {error}\n")).into();
    }
    if init::is_needed() {
        return init::run(args_os());
    }
    let exit = match entry {
        Some(entry) => action::main(entry),
        None => cli::main(args.into_iter().skip(1).collect()),
    };
    plugin::end_all();
    exit.into()
}
