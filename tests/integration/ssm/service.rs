//! AWS Systems Manager for the tests: the API and the WebSockets of its sessions. What is for other
//! services goes on to moto.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use futures::StreamExt as _;
use serde_json::{Value as Json, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response as Accepted};

use super::agent::{Agent, Script, Seen};

/// A running service.
pub struct Service {
    shared: Arc<Shared>,
    api: u16,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    script: Script,
    /// Where the machine's SSH server is: the port that agents connect to, whatever they are told.
    port: u16,
    /// How often the instance's agent is not connected yet.
    absences: usize,
    /// What the API says instead of answering, by action.
    refusals: HashMap<&'static str, &'static str>,
    sockets: u16,
    state: Mutex<Known>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Known {
    calls: Vec<(String, Json)>,
    sessions: Vec<Session>,
}

struct Session {
    id: String,
    target: String,
    reason: String,
    /// Opens its data channel, once.
    token: Option<String>,
    sockets: mpsc::Sender<WebSocketStream<TcpStream>>,
    kills: mpsc::Sender<()>,
    is_active: bool,
}

/// How the service is.
#[derive(Default)]
pub struct Manner {
    pub script: Script,
    pub absences: usize,
    pub refusals: Vec<(&'static str, &'static str)>,
}

impl From<Script> for Manner {
    fn from(script: Script) -> Self {
        Self { script, ..Self::default() }
    }
}

impl Service {
    /// In front of `upstream`; all instances are the machine whose SSH server is at `port`.
    pub async fn start(upstream: String, port: u16, manner: impl Into<Manner>) -> Self {
        let manner = manner.into();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let sockets = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let shared = Arc::new(Shared {
            upstream,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            script: manner.script,
            port,
            absences: manner.absences,
            refusals: manner.refusals.into_iter().collect(),
            sockets: sockets.local_addr().unwrap().port(),
            state: Mutex::default(),
            seen: Arc::default(),
        });
        let api = listener.local_addr().unwrap().port();
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let accepting = tokio::spawn(accept(sockets, shared.clone()));
        Self { shared, api, tasks: vec![serving, accepting] }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// How often an action was called.
    pub fn count(&self, action: &str) -> usize {
        self.calls(action).len()
    }

    /// What an action of Systems Manager was called with, each time.
    pub fn calls(&self, action: &str) -> Vec<Json> {
        let known = self.shared.known();
        let calls = known.calls.iter().filter(|(name, _)| name == action);
        calls.map(|(_, parameters)| parameters.clone()).collect()
    }

    /// The sessions that nobody has ended.
    pub fn active(&self) -> usize {
        self.shared.known().sessions.iter().filter(|session| session.is_active).count()
    }

    /// What the agents saw.
    pub fn seen(&self) -> Seen {
        *self.shared.seen.lock().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap()
    }

    /// The answer to a call of Systems Manager, or the code of an error and its words.
    fn call(self: &Arc<Self>, action: &str, asked: &Json) -> Result<Json, (String, String)> {
        let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        let refuse = |code: &str, why: String| Err((code.to_owned(), why));
        self.known().calls.push((action.to_owned(), asked.clone()));
        if let Some(code) = self.refusals.get(action) {
            return refuse(code, format!("refused: {action}"));
        }
        match action {
            "StartSession" => {
                let target = text("Target");
                let tries = self.known().calls.iter().filter(|(name, _)| name == action).count();
                if tries <= self.absences {
                    return refuse("TargetNotConnected", format!("{target} is not connected."));
                }
                Ok(self.start_session(target, text("Reason")))
            }
            "ResumeSession" => {
                let mut known = self.known();
                let id = text("SessionId");
                match known.sessions.iter_mut().find(|one| one.id == id && one.is_active) {
                    Some(session) => {
                        session.token = Some(uuid::Uuid::new_v4().to_string());
                        Ok(self.door(session))
                    }
                    None => refuse("DoesNotExistException", format!("no session {id}")),
                }
            }
            "TerminateSession" => {
                let mut known = self.known();
                let id = text("SessionId");
                for session in known.sessions.iter_mut().filter(|session| session.id == id) {
                    session.is_active = false;
                    let _ = session.kills.try_send(());
                }
                Ok(json!({"SessionId": id}))
            }
            "DescribeSessions" => Ok(self.describe_sessions(asked)),
            other => refuse("UnknownOperationException", format!("no {other} here")),
        }
    }

    fn start_session(self: &Arc<Self>, target: String, reason: String) -> Json {
        let (sockets, new_sockets) = mpsc::channel(4);
        let (kills, killed) = mpsc::channel(1);
        let mut known = self.known();
        let session = Session {
            id: format!("me-{:017x}", known.sessions.len() + 1),
            target,
            reason,
            token: Some(uuid::Uuid::new_v4().to_string()),
            sockets,
            kills,
            is_active: true,
        };
        let answer = self.door(&session);
        let id = session.id.clone();
        known.sessions.push(session);
        let mut script = self.script.clone();
        // A machine reboots once, and time is up once.
        if known.sessions.len() > 1 {
            (script.dies, script.closes) = (None, None);
        }
        let agent = Agent::new(script, self.port, new_sockets, killed, self.seen.clone());
        let shared = self.clone();
        tokio::spawn(async move {
            agent.run().await;
            let mut known = shared.known();
            let ended = known.sessions.iter_mut().filter(|session| session.id == id);
            ended.for_each(|session| session.is_active = false);
        });
        answer
    }

    fn door(&self, session: &Session) -> Json {
        let url = format!("ws://127.0.0.1:{}/v1/data-channel/{}", self.sockets, session.id);
        let url = format!("{url}?role=publish_subscribe");
        json!({"SessionId": session.id, "StreamUrl": url, "TokenValue": session.token})
    }

    fn describe_sessions(&self, asked: &Json) -> Json {
        assert_eq!(asked["State"], "Active");
        let filter = &asked["Filters"][0];
        let value = filter["value"].as_str().unwrap();
        let is_meant = |session: &&Session| match filter["key"].as_str().unwrap() {
            "Target" => session.target == value,
            "SessionId" => session.id == value,
            other => panic!("sessions have no {other}"),
        };
        let known = self.known();
        let found = known.sessions.iter().filter(|session| session.is_active).filter(is_meant);
        let found = found.map(|session| {
            json!({"SessionId": session.id, "Target": session.target, "Reason": session.reason})
        });
        json!({"Sessions": found.collect::<Vec<_>>()})
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    if let Some(action) = target.and_then(|target| target.strip_prefix("AmazonSSM.")) {
        let asked = serde_json::from_slice(&body).unwrap();
        let (status, answer) = match shared.call(action, &asked) {
            Ok(answer) => (200, answer),
            Err((code, why)) => (400, json!({"__type": code, "message": why})),
        };
        let answer = Response::builder().status(status).body(Body::from(answer.to_string()));
        return answer.unwrap();
    }
    let form = url::form_urlencoded::parse(&body);
    if let Some((_, action)) = form.into_iter().find(|(name, _)| name == "Action") {
        shared.known().calls.push((action.into_owned(), Json::Null));
    }
    headers.remove("host");
    headers.remove("content-length");
    let url = format!("{}{uri}", shared.upstream);
    let answer = shared.http.request(method, url).headers(headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name == "content-type") {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

/// Takes WebSockets, and gives them to the agents of their sessions.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(admit(stream, shared.clone()));
    }
}

async fn admit(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut path = String::new();
    let read_path = |request: &Request, accepted: Accepted| {
        request.uri().path().clone_into(&mut path);
        Ok(accepted)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, read_path).await.ok()?;
    let id = path.strip_prefix("/v1/data-channel/").unwrap();
    let Frame::Text(words) = socket.next().await?.ok()? else { panic!("a text comes first") };
    let words: Json = serde_json::from_str(&words).unwrap();
    assert_eq!(words["MessageSchemaVersion"], "1.0");
    for id in ["RequestId", "ClientId"] {
        uuid::Uuid::parse_str(words[id].as_str().unwrap()).unwrap();
    }
    let sockets = {
        let mut known = shared.known();
        let session = known.sessions.iter_mut().find(|session| session.id == id)?;
        let token = session.token.take().expect("a token is good for one socket");
        assert_eq!(words["TokenValue"], token);
        session.sockets.clone()
    };
    sockets.send(socket).await.ok()
}
