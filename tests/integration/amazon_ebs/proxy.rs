//! A proxy in front of moto that can lose answers, hold calls back, and change what answers say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on, and so is the answer.
    Passes,
    /// It is passed on, but nobody hears the answer.
    LosesAnswer,
    /// It never arrives.
    Vanishes,
    /// It never arrives; the answer is an error of this code.
    Refused(&'static str),
    /// It is passed on; in the answer, what this pattern matches is replaced by those words.
    Rewritten(&'static str, &'static str),
    /// It and all calls after it wait for [`Proxy::release`], and are then passed on.
    Held,
    /// It is passed on; its answer and all calls after it wait for [`Proxy::release`].
    HeldAfter,
}

/// Decides by the call's name and how many of this name came before.
pub type Rule = Box<dyn Fn(&str, usize) -> Fate + Send + Sync>;

/// A call that came.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name, e.g. `RunInstances`.
    pub action: String,
    /// The access key that signed it, if one did.
    pub key: Option<String>,
    /// Its parameters.
    pub parameters: Vec<(String, String)>,
}

impl Call {
    fn new(head: &str, body: &[u8]) -> Option<Self> {
        let parameters: Vec<(String, String)> =
            url::form_urlencoded::parse(body).into_owned().collect();
        let action = parameters.iter().find(|(name, _)| name == "Action")?.1.clone();
        let key = head.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
        Some(Self { action, key: key.map(str::to_owned), parameters })
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What the connections of a proxy share.
struct Shared {
    upstream: String,
    client: reqwest::Client,
    rule: Rule,
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
    /// In front of `upstream` (`http://…`).
    pub async fn start(upstream: String, rule: Rule) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (calls, held) = (Mutex::default(), watch::Sender::new(false));
        let shared = Arc::new(Shared { upstream, client, rule, calls, held });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                // A client that goes away ends only its own connection.
                tokio::spawn(async move { serve(stream, &shared).await });
            }
        });
        Self { address, shared, task }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
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
        let (head, body) = read_request(&mut stream).await?;
        let call = Call::new(&head, &body)?;
        let action = call.action.clone();
        let before = {
            let mut calls = shared.calls.lock().unwrap();
            let before = calls.iter().filter(|known| known.action == action).count();
            calls.push(call);
            before
        };
        let fate = (shared.rule)(&action, before);
        if fate == Fate::Held {
            shared.held.send_replace(true);
        }
        released(&stream, shared).await?;
        if fate == Fate::Vanishes {
            return None;
        }
        if let Fate::Refused(code) = fate {
            let text = format!(
                "<Response><Errors><Error><Code>{code}</Code><Message>refused</Message></Error>\
                 </Errors><RequestID>1</RequestID></Response>"
            );
            write_answer(&mut stream, 400, &text).await?;
            continue;
        }
        let mut request = shared.client.post(format!("{}/", shared.upstream)).body(body.clone());
        for line in head.lines().skip(1) {
            let Some((name, value)) = line.split_once(": ") else { continue };
            if !["content-length", "connection"].contains(&name.to_lowercase().as_str()) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.ok()?;
        let status = answer.status();
        let mut text = answer.text().await.ok()?;
        match fate {
            Fate::LosesAnswer => return None,
            Fate::HeldAfter => {
                shared.held.send_replace(true);
                released(&stream, shared).await?;
            }
            Fate::Rewritten(from, to) => {
                let pattern = regex::Regex::new(from).unwrap();
                text = pattern.replace_all(&text, regex::NoExpand(to)).into_owned();
            }
            _ => {}
        }
        write_answer(&mut stream, status.as_u16(), &text).await?;
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

async fn write_answer(stream: &mut TcpStream, status: u16, text: &str) -> Option<()> {
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(text.as_bytes()).await.ok()
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
    });
    let mut body = bytes.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}
