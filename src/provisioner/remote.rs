//! What provisioners share that put files on a machine, run them there, and take them away again.

use std::future::Future;
use std::mem;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::component::{Command, Exit, ProvisionContext, Upload};
use crate::config::GoDuration;
use crate::guest;
use crate::guest::shell::Shell;
use crate::retry::{self, Backoff, Permanent, or_cancelled};

/// Waits between tries of one thing.
const TRIES: Backoff =
    Backoff { first: Duration::from_millis(200), factor: 2.0, longest: Duration::from_secs(2) };

/// How long cleaning up after a failed or interrupted run may take. The machine is about to go away
/// as a rule; where it lives on, nothing secret may stay.
const LAST_CLEANUP: Duration = Duration::from_secs(5);

/// For how long cleaning up is tried after a run that was well: what stays goes into the image, and the
/// machine may be restarting.
const CLEANUP: Duration = Duration::from_secs(60);

/// The machine, as one provisioner works on it.
pub(super) struct Remote<'a> {
    cx: &'a ProvisionContext,
    /// For how long a thing is tried again; `None`: once is enough.
    within: Option<GoDuration>,
    /// For how long cleaning up is tried after a run that was well.
    cleanup: Duration,
}

impl<'a> Remote<'a> {
    /// What fails fails at once.
    pub(super) fn new(cx: &'a ProvisionContext) -> Self {
        Self { cx, within: None, cleanup: CLEANUP }
    }

    /// What cannot be started is tried again for so long: the machine may be rebooting.
    pub(super) fn patient(cx: &'a ProvisionContext, within: GoDuration) -> Self {
        Self { cx, within: Some(within), cleanup: CLEANUP }
    }

    /// What the commands for it are written in.
    pub(super) fn shell(&self) -> &'a dyn Shell {
        self.cx.communicator.shell()
    }

    /// Uploads `what`, in words like "upload the variables", to the file `to`.
    pub(super) async fn upload(
        &self,
        what: &str,
        from: Upload<'_>,
        to: &str,
    ) -> anyhow::Result<()> {
        let what = format!("{what} to {to}");
        self.started(&what, || self.cx.communicator.upload(from, to, &self.cx.ui)).await
    }

    /// Runs `command` and shows what it prints.
    pub(super) async fn run(&self, what: &str, command: Command<'_>) -> anyhow::Result<Exit> {
        self.started(what, || self.cx.communicator.run_shown(command, &self.cx.ui)).await
    }

    /// Runs a command of ours, again where the connection is lost. Its output matters only where
    /// it fails.
    pub(super) async fn must_succeed(&self, what: &str, command: &str) -> anyhow::Result<()> {
        let ended = self.started(what, || async {
            let (exit, output) = self.cx.communicator.run_captured(command).await?;
            match exit {
                Exit::Status(status) => Ok((status, output)),
                Exit::Disconnected => bail!("the connection was lost during `{command}`"),
            }
        });
        let (status, output) = ended.await?;
        if status != 0 {
            let said = guest::harmless(&output.stderr);
            bail!("cannot {what}: `{command}` exited with status {status}: {said}");
        }
        Ok(())
    }

    /// Runs a command that takes away what `run` has needed on the machine.
    pub(super) async fn clean_up(&self, run: &anyhow::Result<()>, command: &str) {
        match run {
            Ok(()) => self.clean_up_for_good(command).await,
            Err(_) => self.clean_up_once(command).await,
        }
    }

    /// Tries that once, after a run that has failed: the run's error is the one to report.
    pub(super) async fn clean_up_once(&self, command: &str) {
        let cleaning = self.cx.communicator.run_captured(command);
        let _ = tokio::time::timeout(LAST_CLEANUP, cleaning).await;
    }

    /// Tries that for a while, after a run that was well, and says if it does not work.
    pub(super) async fn clean_up_for_good(&self, command: &str) {
        let mut last = "it has not ended".to_owned();
        let mut waits = TRIES.waits();
        let mut tries = async || {
            loop {
                match self.cx.communicator.run_captured(command).await {
                    Ok((Exit::Status(0), _)) => return,
                    Ok((Exit::Status(status), output)) => {
                        let said = guest::harmless(&output.stderr);
                        let why = format!("it exited with status {status}: {}", said.trim());
                        return self.cannot_clean_up(command, &why);
                    }
                    Ok((Exit::Disconnected, _)) => last = "the connection was lost".to_owned(),
                    Err(error) => last = format!("{error:#}"),
                }
                tokio::time::sleep(waits.next().unwrap_or(TRIES.longest)).await;
            }
        };
        let tried = tokio::time::timeout(self.cleanup, tries());
        match or_cancelled(&self.cx.cancel, tried).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.cannot_clean_up(command, &last),
            // The machine may live on.
            Err(_) => self.clean_up_once(command).await,
        }
    }

    fn cannot_clean_up(&self, command: &str, why: &str) {
        self.cx.ui.error(format!(
            "Warning: what was uploaded is still on the machine, and goes into the image (`{command}`: {why})"
        ));
    }

    /// Waits as long as `pause_after` says.
    pub(super) async fn pause_after(&self, pause: GoDuration) -> anyhow::Result<()> {
        if pause.is_zero() {
            return Ok(());
        }
        self.cx.ui.say(format!("Pausing {pause} after this provisioner..."));
        retry::sleep(&self.cx.cancel, pause.get()).await?;
        Ok(())
    }

    /// Calls `attempt` until the machine takes it, refuses it for good, or the time is over: an
    /// error here is never one of what runs there.
    async fn started<T, F>(&self, what: &str, mut attempt: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let begun = Instant::now();
        let mut waits = TRIES.waits();
        let mut told = false;
        loop {
            let error = match or_cancelled(&self.cx.cancel, attempt()).await? {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let within = self.within.filter(|_| !error.is::<Permanent>());
            let Some(within) = within else { return Err(error.context(format!("cannot {what}"))) };
            let wait = waits.next().unwrap_or(TRIES.longest);
            if begun.elapsed() + wait >= within.get() {
                return Err(error.context(format!("cannot {what} (tried for {within})")));
            }
            if !mem::replace(&mut told, true) {
                let text = format!("Cannot {what} yet: {error:#}. Trying for up to {within}...");
                self.cx.ui.say(text);
            }
            retry::sleep(&self.cx.cancel, wait).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provisioner::fake::{self, Answer, Machine};

    #[tokio::test]
    async fn what_is_uploaded_is_removed_when_the_machine_is_back_or_it_is_said() {
        let run = async |answers: Vec<Answer>, run: anyhow::Result<()>| {
            let machine = Machine::answering(answers);
            let (cx, mut said) = fake::context(machine.clone());
            let cleanup = Duration::from_secs(2);
            Remote { cleanup, ..Remote::new(&cx) }.clean_up(&run, "rm -f x").await;
            (machine.log().len(), fake::said(&mut said).join("\n"))
        };
        let restarting = || vec![Answer::Disconnect, Answer::Refuse, Answer::Exit(0)];
        assert_eq!(run(restarting(), Ok(())).await, (3, String::new()));
        let failed = Err(anyhow::anyhow!("failed"));
        assert_eq!(run(restarting(), failed).await, (1, String::new()));
        for (answers, why) in [
            (vec![Answer::Refuse, Answer::Hang], "(`rm -f x`: no route to host)"),
            (vec![Answer::Exit(5)], "(`rm -f x`: it exited with status 5: )"),
        ] {
            let (_, said) = run(answers, Ok(())).await;
            assert!(said.contains("is still on the machine, and goes into the image"), "{said}");
            assert!(said.contains(why), "{said}");
        }
    }
}
