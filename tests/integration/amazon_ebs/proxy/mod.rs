//! A proxy in front of moto: it makes trouble, holds calls back, and is like EC2 where moto is not.
//!
//! | file | what is there |
//! |---|---|
//! | `fate` | what becomes of a call: by a script, or by a seed |
//! | `password` | a password that a machine has made |
//! | `registered` | AMIs that are registered from snapshots |
//! | `slow` | machines and images that take their time |
//! | `imports` | disks that become AMIs |
//! | `manners` | client tokens and names, as EC2 minds them |
//! | `wire` | just enough HTTP |

mod fate;
mod imports;
mod manners;
mod password;
mod registered;
mod slow;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub use self::fate::{Fate, Rule, passes, seeded};
use self::manners::Manners;
use self::password::Sealed;
use self::slow::Clock;
pub use self::slow::Times;
pub use self::wire::Call;
use self::wire::{Answer, Upstream};
use crate::support::{ACCESS_KEY, SECRET_KEY};

/// A proxy that is about to start.
pub struct Setup {
    upstream: String,
    rule: Rule,
    times: Times,
    has_manners: bool,
    password: Option<&'static str>,
}

impl Setup {
    /// What becomes of calls.
    pub fn with_rule(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// How long machines and images take.
    pub fn with_times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    /// Whether it minds tokens and names as EC2 does.
    pub fn with_manners(self) -> Self {
        Self { has_manners: true, ..self }
    }

    /// The password that its machines with Windows make for themselves.
    pub fn with_password(self, password: &'static str) -> Self {
        Self { password: Some(password), ..self }
    }

    pub async fn start(self) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: Upstream::new(self.upstream),
            rule: self.rule,
            clock: Clock::new(self.times),
            manners: self.has_manners.then(Manners::default),
            password: self.password.map(Sealed::new),
            calls: Mutex::default(),
            held: watch::Sender::new(false),
        });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                // A client that goes away ends only its own connection.
                tokio::spawn(async move { serve(stream, &shared).await });
            }
        });
        Proxy { address, shared, task }
    }
}

/// What the connections of a proxy share.
struct Shared {
    upstream: Upstream,
    rule: Rule,
    clock: Clock,
    manners: Option<Manners>,
    password: Option<Sealed>,
    calls: Mutex<Vec<Call>>,
    held: watch::Sender<bool>,
}

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// One in front of `upstream` (`http://…`) that does nothing yet.
    pub fn before(upstream: String) -> Setup {
        let rule: Rule = passes();
        Setup { upstream, rule, times: Times::default(), has_manners: false, password: None }
    }

    /// One in front of `upstream` that does what `rule` says.
    pub async fn start(upstream: String, rule: Rule) -> Self {
        Self::before(upstream).with_rule(rule).start().await
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What leads a program to it, with keys.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// How often `action` was called.
    pub fn count(&self, action: &str) -> usize {
        self.calls().iter().filter(|call| call.action == action).count()
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// When calls wait.
    pub async fn until_held(&self) {
        self.shared.held.subscribe().wait_for(|held| *held).await.expect("a proxy");
    }

    /// All calls from now on wait.
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// The calls that wait go on.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection until a call is lost or the client goes.
async fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    loop {
        let call = wire::read_call(&mut stream).await?;
        let before = shared.note(&call);
        let fate = (shared.rule)(&call.action, before);
        if fate == Fate::Held {
            shared.held.send_replace(true);
        }
        released(&stream, shared).await?;
        let answer = match fate {
            Fate::Vanishes => return None,
            Fate::Refused(code) => Answer::error(&call, code, "refused"),
            Fate::Answered(status, text) => Answer::new(status, text),
            Fate::Done => Answer::done(&call),
            _ => shared.answer(&call).await?,
        };
        match fate {
            Fate::LosesAnswer => return None,
            Fate::Slow(wait) => tokio::time::sleep(wait).await,
            Fate::HeldAfter => {
                shared.held.send_replace(true);
                released(&stream, shared).await?;
            }
            _ => {}
        }
        let answer = match fate {
            Fate::Rewritten(from, to) => answer.rewritten(from, to),
            _ => answer,
        };
        wire::write_answer(&mut stream, &answer).await?;
    }
}

impl Shared {
    /// How many calls of its name came before `call`.
    fn note(&self, call: &Call) -> usize {
        let mut calls = self.calls.lock().unwrap();
        let before = calls.iter().filter(|known| known.action == call.action).count();
        calls.push(call.clone());
        before
    }

    async fn answer(&self, call: &Call) -> Option<Answer> {
        // moto knows no Recycle Bin: this one is empty.
        match call.action.as_str() {
            "ListImagesInRecycleBin" => return Some(Answer::done(call)),
            "RestoreImageFromRecycleBin" => {
                return Some(Answer::error(call, "InvalidAMIID.NotFound", "not in the bin"));
            }
            // moto knows no screens.
            "GetConsoleScreenshot" => {
                let text = "<GetConsoleScreenshotResponse><imageData>/9j/4AAQSkZJRgABAQ==\
                            </imageData></GetConsoleScreenshotResponse>";
                return Some(Answer::new(200, text));
            }
            // moto says of all uploads that they were begun long ago.
            "ListMultipartUploads" => {
                let now = format!("<Initiated>{}", jiff::Timestamp::now());
                let answer = self.upstream.ask(call).await?;
                return Some(answer.rewritten("<Initiated>[^<]*", &now));
            }
            action if action.contains("Import") => {
                return imports::answer(call, &self.upstream).await;
            }
            _ => {}
        }
        if let Some(answer) = self.password.as_ref().and_then(|sealed| sealed.answer(call)) {
            return Some(answer);
        }
        let answer = match &self.manners {
            Some(manners) => manners.answer(call, &self.upstream).await?,
            None => registered::ask(call, &self.upstream).await?,
        };
        if let Some(sealed) = &self.password {
            sealed.hear(call, &answer);
        }
        Some(self.clock.rewritten(call, answer))
    }
}

/// Waits until no call is held, as long as the client waits, too: what it did not live to hear of
/// is not passed on.
async fn released(stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut held = shared.held.subscribe();
    let mut byte = [0];
    if !*held.borrow_and_update() {
        return Some(());
    }
    tokio::select! {
        biased;
        _ = stream.peek(&mut byte) => None,
        released = held.wait_for(|held| !held) => released.ok().map(|_| ()),
    }
}
