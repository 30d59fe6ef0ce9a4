//! What a plugin says, as our `Ui`: `Say`, `Ask`, progress.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rmpv::Value;

use super::pack::{self, field, text};
use super::rpc::{Service, no_such_method};
use super::runtime::guard;
use crate::event::{Message, Progress, Stream, Ui};
use crate::guest::harmless;

/// How many transfers of one plugin are shown at a time.
const TRANSFERS: usize = 64;

/// How often the progress of one is told.
const PACE: Duration = Duration::from_millis(100);

/// Serves `Ui` to a plugin.
#[derive(Debug)]
pub struct Voice {
    ui: Ui,
    transfers: Mutex<HashMap<String, Transfer>>,
}

#[derive(Debug)]
struct Transfer {
    what: String,
    done: u64,
    total: Option<u64>,
    told: Instant,
}

impl Voice {
    /// Speaks through `ui`.
    pub fn new(ui: Ui) -> Self {
        Self { ui, transfers: Mutex::default() }
    }

    fn transfers(&self) -> MutexGuard<'_, HashMap<String, Transfer>> {
        guard(&self.transfers)
    }

    fn begin(&self, argument: &Value) -> Value {
        let source = harmless(pack::text_in(argument, "Src").as_bytes());
        let number = |name| field(argument, name).and_then(Value::as_u64);
        let mut transfers = self.transfers();
        let token = format!("{source}{}", uuid::Uuid::new_v4().simple());
        if transfers.len() < TRANSFERS {
            let transfer = Transfer {
                what: source,
                done: number("CurrentSize").unwrap_or_default(),
                total: number("TotalSize").filter(|total| *total > 0),
                told: Instant::now(),
            };
            self.tell(&transfer, false);
            transfers.insert(token.clone(), transfer);
        }
        token.into()
    }

    fn tell(&self, Transfer { what, done, total, .. }: &Transfer, finished: bool) {
        let (what, done, total) = (what.clone(), *done, *total);
        self.ui.send(Message::Progress(Progress { what, done, total, finished }));
    }

    /// Each `Add` waits for its answer, so nothing is drawn for most of them.
    fn add(&self, token: &str, bytes: u64) {
        let mut transfers = self.transfers();
        let Some(transfer) = transfers.get_mut(token) else { return };
        transfer.done = transfer.done.saturating_add(bytes);
        if transfer.told.elapsed() >= PACE {
            transfer.told = Instant::now();
            self.tell(transfer, false);
        }
    }

    fn end(&self, token: &str) {
        if let Some(transfer) = self.transfers().remove(token) {
            self.tell(&transfer, true);
        }
    }

    async fn plain(&self, method: &str, argument: Value) -> Result<Value, String> {
        let said = || harmless(text(&argument).unwrap_or_default().as_bytes());
        match method {
            "Say" => self.ui.say(said()),
            // What a guest or a tool printed comes this way: a flood of it waits for its reader.
            "Message" => self.ui.output(Stream::Stdout, said()).await,
            "Error" => self.ui.error(said()),
            "Machine" => {
                let arguments = field(&argument, "Args").map(pack::texts).unwrap_or_default();
                let category = record_type(&pack::text_in(&argument, "Category"));
                let fields = arguments.iter().map(|field| harmless(field.as_bytes())).collect();
                self.ui.send(Message::Record(category.into(), fields));
            }
            "Ask" => {
                let answer = self.ui.ask(said()).await;
                return answer.map(Value::from).ok_or("there is nobody to answer".to_owned());
            }
            "NewTrackProgress" => return Ok(self.begin(&argument)),
            _ => return no_such_method("Ui", method),
        }
        Ok(Value::Nil)
    }
}

/// The type of a record as a plugin names it, which is a field of a line: what could end either is `_`.
fn record_type(named: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    named.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

#[async_trait]
impl Service for Voice {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        let Some(token) = service.strip_prefix("Ui").filter(|token| !token.is_empty()) else {
            return self.plain(method, argument).await;
        };
        match method {
            "Add" => self.add(token, argument.as_u64().unwrap_or_default()),
            "Close" => self.end(token),
            _ => return no_such_method(service, method),
        }
        Ok(Value::Nil)
    }
}
