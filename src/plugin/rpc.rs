//! Calls over a channel: Go's `net/rpc`, its messages written as MessagePack.
//!
//! A message is a header and a body, two values without a length before them. Answers may come in
//! any order, and many calls may be open at a time, in both directions: every call that is not answered
//! at once has a task of its own.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use rmpv::Value;
use tokio::io::{AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf, split};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::mux::{Accept, Channel};
use super::pack::{self, field, text};
use super::runtime::{self, guard};

/// How many calls of one channel are served at a time.
const CALLS: usize = 1024;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The other side refused it, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The connection ended.
    #[error("the connection has ended")]
    Gone,
    /// No answer came in time.
    #[error("no answer within {}", crate::config::GoDuration::from(*.0))]
    Late(Duration),
    /// What came is no answer.
    #[error("its answer cannot be read: {0}")]
    Garbled(String),
}

type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Result<Value, CallError>>>>>>;

/// The end of a channel that calls.
#[derive(Debug)]
pub struct Client {
    writer: Arc<AsyncMutex<WriteHalf<Channel>>>,
    pending: Pending,
    next: AtomicU64,
    _reader: Option<AbortOnDropHandle<()>>,
}

impl Client {
    /// Calls over `channel`.
    pub fn new(channel: Channel) -> Self {
        let (reader, writer) = split(channel);
        let pending = Arc::new(Mutex::new(Some(HashMap::new())));
        let reader = runtime::spawn(take_answers(BufReader::new(reader), pending.clone()));
        Self {
            writer: Arc::new(AsyncMutex::new(writer)),
            pending,
            next: AtomicU64::new(0),
            _reader: reader.map(AbortOnDropHandle::new),
        }
    }

    /// Calls `method` and waits at most `limit` for the answer.
    pub async fn call(
        &self,
        method: &str,
        argument: Value,
        limit: Duration,
    ) -> Result<Value, CallError> {
        let answer = tokio::time::timeout(limit, self.call_unlimited(method, argument));
        answer.await.unwrap_or(Err(CallError::Late(limit)))
    }

    /// Calls `method`, whose answer may take as long as a build does.
    pub async fn call_unlimited(&self, method: &str, argument: Value) -> Result<Value, CallError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        match guard(&self.pending).as_mut() {
            Some(pending) => pending.insert(id, sender),
            None => return Err(CallError::Gone),
        };
        let header = pack::object([("ServiceMethod", method.into()), ("Seq", id.into())]);
        let message = pack::write(&[header, argument]);
        let writer = self.writer.clone();
        // Whoever waits may stop waiting in the middle; a message may not stop in the middle.
        runtime::spawn(async move { send(&writer, &message).await });
        answer.await.unwrap_or(Err(CallError::Gone))
    }
}

async fn send(writer: &AsyncMutex<WriteHalf<Channel>>, message: &[u8]) -> io::Result<()> {
    let mut writer = writer.lock().await;
    writer.write_all(message).await?;
    writer.flush().await
}

async fn take_answers(mut reader: BufReader<ReadHalf<Channel>>, pending: Pending) {
    while let Ok(header) = pack::read(&mut reader).await
        && let Ok(body) = pack::read(&mut reader).await
    {
        let answer = match field(&header, "Error").and_then(text) {
            Some(error) if !error.is_empty() => Err(CallError::Refused(error)),
            _ => Ok(body),
        };
        let id = field(&header, "Seq").and_then(Value::as_u64);
        let waiting = guard(&pending).as_mut().zip(id).and_then(|(all, id)| all.remove(&id));
        // Whoever has stopped waiting does not want it.
        let _ = waiting.map(|waiting| waiting.send(answer));
    }
    guard(&pending).take();
}

/// What the other side may call.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// The answer to `service`.`method`, or why there is none.
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String>;
}

/// That nothing is called so.
pub fn no_such_method(service: &str, method: &str) -> Result<Value, String> {
    Err(format!("rpc: can't find method {service}.{method}"))
}

/// Serves one channel until this is dropped or the other side ends it.
#[derive(Debug)]
pub struct Served {
    _task: Option<AbortOnDropHandle<()>>,
}

impl Served {
    /// Answers what comes over the stream that the other side will dial.
    pub fn on(stream: Accept, service: Arc<dyn Service>) -> Self {
        let task = runtime::spawn(async move {
            // A connection that ends before has nothing to serve.
            if let Ok(channel) = stream.channel().await {
                serve(channel, service).await;
            }
        });
        Self { _task: task.map(AbortOnDropHandle::new) }
    }
}

async fn serve(channel: Channel, service: Arc<dyn Service>) {
    let (reader, writer) = split(channel);
    let (mut reader, writer) = (BufReader::new(reader), Arc::new(AsyncMutex::new(writer)));
    let room = Arc::new(Semaphore::new(CALLS));
    let mut open = tokio::task::JoinSet::new();
    while let Ok(header) = pack::read(&mut reader).await
        && let Ok(argument) = pack::read(&mut reader).await
    {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let (service, writer) = (service.clone(), writer.clone());
        let mut answering = Box::pin(async move { answer(&*service, &header, argument).await });
        // A plugin that tells its progress does so for each 32 KiB, and waits for the answer.
        // A caller that is gone needs none.
        match (&mut answering).now_or_never() {
            Some(message) => drop(send(&writer, &message).await),
            None => drop(open.spawn(async move {
                let _ = send(&writer, &answering.await).await;
                drop(place);
            })),
        }
        while open.try_join_next().is_some() {}
    }
    while open.join_next().await.is_some() {}
    let _ = writer.lock().await.shutdown().await;
}

async fn answer(service: &dyn Service, header: &Value, argument: Value) -> Vec<u8> {
    let called = field(header, "ServiceMethod").and_then(text).unwrap_or_default();
    let (name, method) = called.rsplit_once('.').unwrap_or(("", &called));
    let (error, body) = match service.call(name, method, argument).await {
        Ok(body) => (String::new(), body),
        Err(error) => (error, Value::Map(Vec::new())),
    };
    let sequence = field(header, "Seq").cloned().unwrap_or(Value::Nil);
    let header = pack::object([
        ("ServiceMethod", called.as_str().into()),
        ("Seq", sequence),
        ("Error", error.into()),
    ]);
    pack::write(&[header, body])
}
