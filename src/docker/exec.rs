//! Commands in a container.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures::StreamExt as _;

use super::engine::{Engine, EngineError};
use crate::component::Exit;
use crate::event::Stream;
use crate::guest::GuestOutput;

/// How large a piece of output may be that is read at once.
const CHUNK: usize = 64 * 1024;

/// How often the status of a command is asked for whose output has ended, and how long to wait in
/// between: the engine hears of the end a moment later.
const LOOKS: usize = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A command to run.
#[derive(Clone, Debug)]
pub struct Exec<'a> {
    /// The container.
    pub container: &'a str,
    /// The program and its arguments.
    pub words: Vec<&'a str>,
    /// As whom; as the container's own user if nobody is named.
    pub user: Option<&'a str>,
    /// Whether it gets a terminal, so that there is but one stream of output.
    pub tty: bool,
}

impl Engine {
    /// Runs a command; what it prints goes to `output` as it comes.
    pub async fn exec(
        &self,
        exec: Exec<'_>,
        output: &mut dyn GuestOutput,
    ) -> Result<Exit, EngineError> {
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(exec.tty),
            cmd: Some(exec.words),
            user: exec.user,
            ..CreateExecOptions::default()
        };
        let id = self.client.create_exec(exec.container, options).await?.id;
        let start = StartExecOptions { detach: false, tty: exec.tty, output_capacity: Some(CHUNK) };
        // What a terminal prints bears no mark of its stream, and may look like one.
        if let StartExecResults::Attached { output: mut printed, input } =
            self.client.start_exec(&id, Some(start)).await?
        {
            // Dropped, it would be taken for the end of the connection.
            let _open = input;
            while let Some(chunk) = printed.next().await {
                let (stream, bytes) = match chunk? {
                    LogOutput::StdErr { message } => (Stream::Stderr, message),
                    LogOutput::StdOut { message }
                    | LogOutput::StdIn { message }
                    | LogOutput::Console { message } => (Stream::Stdout, message),
                };
                output.chunk(stream, &bytes).await;
            }
        }
        self.exit_of(&id).await
    }

    async fn exit_of(&self, id: &str) -> Result<Exit, EngineError> {
        for _ in 0..LOOKS {
            let found = self.client.inspect_exec(id).await.map_err(EngineError::from);
            let found = match found {
                // It went with its container.
                Err(error) if error.is_not_found() => return Ok(Exit::Disconnected),
                found => found?,
            };
            if found.running != Some(true) {
                let status = found.exit_code.and_then(|status| u32::try_from(status).ok());
                return Ok(status.map_or(Exit::Disconnected, Exit::Status));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(Exit::Disconnected)
    }
}
