//! The `imgbake` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgbake::cli::main(std::env::args_os().skip(1).collect()).into()
}
