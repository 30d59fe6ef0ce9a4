//! The `imgbake` program: arguments in, exit code out.

use std::env::args_os;
use std::process::ExitCode;

use imgbake::{action, cli, env, init};

fn main() -> ExitCode {
    if let Err(why) = env::allow_files() {
        return cli::refuse(why).into();
    }
    if init::is_needed() {
        return init::run(args_os());
    }
    let mut args = args_os();
    let name = args.next().unwrap_or_default();
    match action::Entry::named(&name) {
        Some(entry) => action::main(entry).into(),
        None => cli::main(args.collect()).into(),
    }
}
