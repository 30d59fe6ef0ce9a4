//! A machine that we talk to in any way, lent to programs that speak SSH: each of their commands is run
//! there as one of ours.

use std::sync::Arc;

use async_trait::async_trait;
use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

use super::ssh::share::{self, SessionRequest, Upstream};
use crate::component::{Access, Command, Communicator, Sharing};
use crate::event::Stream;
use crate::guest::GuestOutput;

/// How much of a command's input waits for it.
const WAITING: usize = 256 * 1024;

/// The kind of extended data that is error output.
const STDERR: u32 = 1;

/// What `ssh` itself ends with where it could not do what it should.
const FAILED: u32 = 255;

/// Runs the machine's own server for SFTP, wherever its system keeps it.
const SFTP: &str = "for s in /usr/lib/openssh /usr/lib/ssh /usr/libexec/openssh /usr/lib /usr/libexec; do \
                    [ -x \"$s/sftp-server\" ] && exec \"$s/sftp-server\" -e; done; \
                    echo \"the machine has no sftp-server\" >&2; exit 127";

/// How other programs of this machine get to `machine`, where our user is `user`: through an SSH
/// server of ours.
pub async fn lend(
    machine: Arc<dyn Communicator>,
    user: &str,
    sharing: &Sharing,
) -> anyhow::Result<Access> {
    share::open(Arc::new(Lent(machine)), user, sharing).await
}

struct Lent(Arc<dyn Communicator>);

#[async_trait]
impl Upstream for Lent {
    async fn session(&self, theirs: Channel<Msg>, reply: ChannelOpenHandle, asked: SessionRequest) {
        reply.accept().await;
        let id = theirs.id();
        let (mut from, to) = theirs.split();
        let Some(command) = command(&mut from, id, &asked).await else { return };
        let (mut input, writer) = duplex(WAITING);
        let mut output = Output(&to);
        let run = self.0.run_fed(Command::Template(&command), &mut input, &mut output);
        tokio::select! {
            exit = run => {
                let status = match exit {
                    Ok(exit) => exit.status(),
                    Err(error) => {
                        let why = format!("{error:#}\n");
                        output.chunk(Stream::Stderr, why.as_bytes()).await;
                        FAILED
                    }
                };
                // Who has hung up needs no status.
                let _ = to.exit_status(status).await;
                let _ = to.eof().await;
            }
            () = feed(&mut from, writer) => {}
        }
        let _ = to.close().await;
    }
}

/// The command that a session asks for; `None` if it ends before. What belongs to a terminal is taken
/// and changes nothing: there is none.
async fn command(
    from: &mut ChannelReadHalf,
    id: russh::ChannelId,
    asked: &SessionRequest,
) -> Option<String> {
    while let Some(message) = from.wait().await {
        let (wants_reply, command) = match message {
            ChannelMsg::Exec { want_reply, command } => {
                (want_reply, Some(String::from_utf8_lossy(&command).into_owned()))
            }
            ChannelMsg::RequestSubsystem { want_reply, name } if name == "sftp" => {
                (want_reply, Some(asked.sftp_command.clone().unwrap_or_else(|| SFTP.to_owned())))
            }
            ChannelMsg::RequestPty { want_reply, .. } => (want_reply, None),
            ChannelMsg::RequestShell { .. } | ChannelMsg::RequestSubsystem { .. } => {
                // Who has hung up needs no answer, here and below.
                let _ = asked.replies.channel_failure(id).await;
                continue;
            }
            ChannelMsg::Close => return None,
            _ => continue,
        };
        if wants_reply {
            let _ = asked.replies.channel_success(id).await;
        }
        if command.is_some() {
            return command;
        }
    }
    None
}

/// Gives the command what the program sends, until the program hangs up.
async fn feed(from: &mut ChannelReadHalf, to: DuplexStream) {
    let mut to = Some(to);
    while let Some(message) = from.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                // A command that reads no more may still have something to say.
                if let Some(open) = &mut to
                    && open.write_all(&data).await.is_err()
                {
                    to = None;
                }
            }
            ChannelMsg::Eof => to = None,
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

/// What a command prints goes to the program.
struct Output<'a>(&'a ChannelWriteHalf<Msg>);

#[async_trait]
impl GuestOutput for Output<'_> {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        // Who has hung up hears no more; that ends the command.
        let _ = match stream {
            Stream::Stdout => self.0.data(bytes).await,
            Stream::Stderr => self.0.extended_data(STDERR, bytes).await,
        };
    }
}
