//! The log for those who look for a mistake: `PACKER_LOG` on standard error, `PACKER_LOG_PATH` into
//! a file. No secret reaches either.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::env::Environment;
use crate::event::{Message, Ui};
use crate::secret::Redactor;

/// The target of what was shown to people, which the file repeats and standard error does not.
pub(super) const UI: &str = "imgbake::ui";

/// Whether the log goes to standard error.
pub(super) fn on_stderr(environment: &Environment) -> bool {
    environment.get("PACKER_LOG").is_some_and(|value| value != "0")
}

/// Starts logging, if the environment asks for it; an error if the file cannot be written.
/// Panics are logged instead of printed: they may hold secrets.
pub fn start(environment: &Environment, redactor: &Redactor) -> io::Result<()> {
    let stderr = on_stderr(environment).then(|| Destination::new(io::stderr(), redactor));
    start_with(stderr, environment, redactor)
}

/// The same, for whoever reads it where everything else is read: `ui` says it, if there is one.
pub fn start_said(
    ui: Option<Ui>,
    environment: &Environment,
    redactor: &Redactor,
) -> io::Result<()> {
    let said = ui.map(|ui| Destination::new(Said(ui), redactor));
    start_with(said, environment, redactor)
}

/// Says each entry.
struct Said(Ui);

impl Write for Said {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.0.send(Message::Debug(String::from_utf8_lossy(entry).into_owned()));
        Ok(entry.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start_with(
    people: Option<Destination>,
    environment: &Environment,
    redactor: &Redactor,
) -> io::Result<()> {
    let file = match environment.get("PACKER_LOG_PATH") {
        Some(path) => Some(Destination::new(File::create(environment.cwd.join(path))?, redactor)),
        None => None,
    };
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    if people.is_none() && file.is_none() {
        return Ok(());
    }
    let layers = [(people, LevelFilter::OFF), (file, LevelFilter::TRACE)];
    let layers: Vec<_> = layers
        .into_iter()
        .filter_map(|(destination, ui)| {
            let filter = EnvFilter::builder().parse_lossy(format!("info,imgbake=trace,{UI}={ui}"));
            Some(layer().with_ansi(false).with_writer(destination?).with_filter(filter))
        })
        .collect();
    // A second start in one process (a test) keeps the first log.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(())
}

/// Where log lines go, through the redactor.
#[derive(Clone)]
struct Destination {
    stream: Arc<Mutex<dyn Write + Send>>,
    redactor: Redactor,
}

impl Destination {
    fn new(stream: impl Write + Send + 'static, redactor: &Redactor) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), redactor: redactor.clone() }
    }
}

impl<'a> MakeWriter<'a> for Destination {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry { destination: self, text: Vec::new() }
    }
}

/// One entry of the log; written when it is complete, so that no secret slips through in parts.
struct Entry<'a> {
    destination: &'a Destination,
    text: Vec<u8>,
}

impl Write for Entry<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let clean = self.destination.redactor.redact(&text);
        let mut stream = self.destination.stream.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written must not end a build.
        let _ = stream.write_all(clean.as_bytes());
    }
}
