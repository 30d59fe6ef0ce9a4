//! A proxy in front of moto that can lose answers and hold states back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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
    /// It is passed on; in the answer, these words are replaced by those.
    Rewritten(&'static str, &'static str),
}

/// Decides by the call's name and how many of this name came before.
pub type Rule = Box<dyn Fn(&str, usize) -> Fate + Send + Sync>;

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    calls: Arc<Mutex<HashMap<String, usize>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// In front of `upstream` (`http://…`).
    pub async fn start(upstream: String, rule: Rule) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let (seen, rule) = (calls.clone(), Arc::new(rule));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, rule) = (seen.clone(), rule.clone());
                let (client, upstream) = (client.clone(), upstream.clone());
                // A client that goes away ends only its own connection.
                tokio::spawn(async move { serve(stream, &client, &upstream, &seen, &rule).await });
            }
        });
        Self { address, calls, task }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often `action` was called.
    pub fn count(&self, action: &str) -> usize {
        self.calls.lock().unwrap().get(action).copied().unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection until a call is lost or the client goes.
async fn serve(
    mut stream: TcpStream,
    client: &reqwest::Client,
    upstream: &str,
    seen: &Mutex<HashMap<String, usize>>,
    rule: &Rule,
) -> Option<()> {
    loop {
        let (head, body) = read_request(&mut stream).await?;
        let text = String::from_utf8_lossy(&body);
        let action = text.split('&').find_map(|pair| pair.strip_prefix("Action="))?.to_owned();
        let before = {
            let mut seen = seen.lock().unwrap();
            let count = seen.entry(action.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let fate = rule(&action, before);
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
        let mut request = client.post(format!("{upstream}/")).body(body.clone());
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
            Fate::Rewritten(from, to) => text = text.replace(from, to),
            _ => {}
        }
        write_answer(&mut stream, status.as_u16(), &text).await?;
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
