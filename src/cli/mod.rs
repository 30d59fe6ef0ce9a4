//! One file per command: arguments in, exit code out.

pub mod arguments;
pub mod build;
mod exit;
pub mod front;
mod version;

use std::ffi::OsString;
use std::io::Write as _;
use std::sync::Arc;

use self::arguments::{Command, Refusal};
pub use self::exit::Exit;
use crate::env::Environment;
use crate::secret::Redactor;

/// What every command is given beside its own arguments.
#[derive(Clone, Debug)]
pub struct Session {
    /// The environment and the clock.
    pub environment: Arc<Environment>,
    /// `-machine-readable`: records instead of text for people.
    pub machine_readable: bool,
    /// Knows the secrets that no output may show.
    pub redactor: Redactor,
}

/// Runs the program with its arguments (without its own name).
pub fn main(args: Vec<OsString>) -> Exit {
    let invocation = match arguments::parse(args) {
        Ok(invocation) => invocation,
        Err(refusal) => return explain(&refusal),
    };
    let environment = match Environment::of_process() {
        Ok(environment) => Arc::new(environment),
        Err(error) => {
            return explain(&Refusal {
                text: format!("Error: the working directory cannot be found out: {error}\n"),
                exit: Exit::Failure,
            });
        }
    };
    let session = Session {
        environment,
        machine_readable: invocation.machine_readable,
        redactor: Redactor::default(),
    };
    run(&session, &invocation.command)
}

fn run(session: &Session, command: &Command) -> Exit {
    match command {
        Command::Build(arguments) => build::run(session, arguments),
        Command::Version => version::run(session),
    }
}

/// Prints help, on the stream that says whether it was asked for.
fn explain(refusal: &Refusal) -> Exit {
    let text = refusal.text.as_bytes();
    // Whoever closed the stream does not want to read it.
    let _ = match refusal.exit {
        Exit::Success => std::io::stdout().write_all(text),
        _ => std::io::stderr().write_all(text),
    };
    refusal.exit
}
