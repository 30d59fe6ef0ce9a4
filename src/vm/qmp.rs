//! A small client of QMP, QEMU's control protocol: JSON lines over a socket.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc};

/// How long QEMU may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that may give commands.
#[derive(Debug)]
pub struct Qmp(Mutex<Line>);

#[derive(Debug)]
struct Line {
    commands: OwnedWriteHalf,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// How many of them are still to come. QEMU answers in order.
    owed: usize,
}

/// One message from QEMU.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Return(Value),
    Error { desc: String },
    Event(String),
}

impl Qmp {
    /// Greets the QEMU at the other end of `stream`.
    pub async fn greet(stream: UnixStream) -> anyhow::Result<Self> {
        let (messages, commands) = stream.into_split();
        let (sender, answers) = mpsc::unbounded_channel();
        tokio::spawn(listen(messages, sender));
        let qmp = Self(Mutex::new(Line { commands, answers, owed: 0 }));
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// A connection to nobody.
    #[cfg(test)]
    pub(super) fn unanswered(stream: UnixStream) -> Self {
        let (_, answers) = mpsc::unbounded_channel();
        Self(Mutex::new(Line { commands: stream.into_split().1, answers, owed: 0 }))
    }

    /// Gives one command and waits for its answer.
    ///
    /// # Errors
    /// When QEMU refuses the command, does not answer in time, or is gone.
    pub async fn execute(&self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        self.execute_within(PATIENCE, command, arguments).await
    }

    /// The same, where QEMU may take so long.
    pub async fn execute_within(
        &self,
        patience: Duration,
        command: &str,
        arguments: Value,
    ) -> anyhow::Result<Value> {
        let mut line = self.0.lock().await;
        let text = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        let answer = tokio::time::timeout(patience, async {
            line.owed += 1;
            line.commands.write_all(text.as_bytes()).await?;
            loop {
                let answer = line.answers.recv().await.context("QEMU closed the connection")?;
                line.owed -= 1;
                // Whoever gave a command and was interrupted has left its answer.
                if line.owed == 0 {
                    return anyhow::Ok(answer);
                }
            }
        });
        let answer = answer.await.context("QEMU does not answer").flatten();
        match answer.with_context(|| format!("the QMP command `{command}` failed"))? {
            Answer::Return(value) => Ok(value),
            Answer::Error { desc } => bail!("QEMU refused the QMP command `{command}`: {desc}"),
            other => bail!("unexpected answer to the QMP command `{command}`: {other:?}"),
        }
    }
}

/// Passes answers on, until QEMU or the client hangs up.
async fn listen(messages: OwnedReadHalf, answers: mpsc::UnboundedSender<Answer>) {
    let mut lines = BufReader::new(messages).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match message(&line) {
            Some(Answer::Event(event)) => tracing::debug!("QEMU event {event}"),
            None => {}
            Some(answer) => {
                // Whoever asked may have gone.
                let _ = answers.send(answer);
            }
        }
    }
}

/// The message in `line`: the member that says its kind, without those beside it. The greeting is
/// none.
fn message(line: &str) -> Option<Answer> {
    let Ok(Value::Object(members)) = serde_json::from_str(line) else {
        tracing::warn!("QEMU sent what is no QMP message: {line}");
        return None;
    };
    let known = ["return", "error", "event"];
    let (kind, value) = members.into_iter().find(|(name, _)| known.contains(&name.as_str()))?;
    serde_json::from_value(json!({ kind: value })).ok()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// A QEMU that greets, takes the handshake, and then answers each line with the next answer.
    async fn fake(stream: UnixStream, answers: &'static [&'static str]) {
        let (commands, mut messages) = stream.into_split();
        messages.write_all(b"{\"QMP\": {\"version\": {}}}\n").await.unwrap();
        let mut commands = BufReader::new(commands).lines();
        let handshake = commands.next_line().await.unwrap().unwrap();
        assert!(handshake.contains("qmp_capabilities"));
        messages.write_all(b"{\"return\": {}}\n").await.unwrap();
        for answer in answers {
            commands.next_line().await.unwrap().unwrap();
            messages.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_answer_to_a_command_that_nobody_waits_for_is_not_the_next_ones() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let answers = &["{\"return\": 1}", "{\"return\": 2}"];
        let server = tokio::spawn(fake(theirs, answers));
        let qmp = Qmp::greet(ours).await.unwrap();
        assert!(qmp.execute("first", json!({})).now_or_never().is_none());
        assert_eq!(qmp.execute("second", json!({})).await.unwrap(), json!(2));
        server.await.unwrap();
    }

    #[tokio::test]
    async fn answers_are_told_from_events_and_errors_say_what_was_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let answers = &[
            "{\"event\": \"STOP\", \"timestamp\": {}}\n{\"return\": {\"running\": true}}",
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}",
        ];
        let server = tokio::spawn(fake(theirs, answers));
        let qmp = Qmp::greet(ours).await.unwrap();
        let status = qmp.execute("query-status", json!({})).await.unwrap();
        assert_eq!(status, json!({ "running": true }));
        let error = qmp.execute("nonsense", json!({})).await.unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused the QMP command `nonsense`: no such thing");
        server.await.unwrap();
        let error = qmp.execute("quit", json!({})).await.unwrap_err();
        assert!(format!("{error:#}").starts_with("the QMP command `quit` failed"), "{error:#}");
    }
}
