//! The console at a terminal: lines are edited, and remembered from one session to the next.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::{
    Cmd, ConditionalEventHandler, Config, DefaultEditor, Event, EventContext, EventHandler,
    KeyEvent, Movement, RepeatCount,
};

use super::{After, Console};
use crate::cli::{Exit, Session};

const PROMPT: &str = "> ";

/// Lines that are remembered.
const HISTORY: usize = 1000;

pub(super) fn run(console: &mut Console<'_>) -> Exit {
    let history = history_file(console.session);
    let mut editor = match editor(history.as_deref()) {
        Ok(editor) => editor,
        Err(error) => return refuse(console.session, &error),
    };
    let exit = loop {
        match editor.readline(PROMPT) {
            Ok(line) => {
                // A secret that was typed is not kept. Without a history, the console still works.
                let kept = console.session.redactor.redact(&line);
                let _ = editor.add_history_entry(kept.as_ref());
                match console.answer(&line) {
                    After::Leave => break Exit::Success,
                    After::Unread => break Exit::Failure,
                    After::Success | After::Failure => {}
                }
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => break Exit::Success,
            Err(error) => break refuse(console.session, &error),
        }
    };
    if let Some(history) = history {
        remember(&mut editor, &history);
    }
    exit
}

fn editor(history: Option<&Path>) -> rustyline::Result<DefaultEditor> {
    let config = Config::builder().max_history_size(HISTORY)?.history_ignore_space(true).build();
    let mut editor = DefaultEditor::with_config(config)?;
    let clear = EventHandler::Conditional(Box::new(ClearLine));
    editor.bind_sequence(KeyEvent::ctrl('C'), clear);
    if let Some(history) = history {
        // The first time, there is none.
        let _ = editor.load_history(history);
    }
    Ok(editor)
}

/// Ctrl-C: clears the line; on an empty line it does what it always does.
struct ClearLine;

impl ConditionalEventHandler for ClearLine {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, at: &EventContext<'_>) -> Option<Cmd> {
        (!at.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

/// Where lines are kept: `imgbake/console_history` under `XDG_STATE_HOME`.
fn history_file(session: &Session) -> Option<PathBuf> {
    Some(session.environment.state_dir()?.join("console_history"))
}

/// Writes the history, for nobody else to read. That it cannot be written is not worth a word.
fn remember(editor: &mut DefaultEditor, history: &Path) {
    let made =
        history.parent().map(|dir| DirBuilder::new().recursive(true).mode(0o700).create(dir));
    if let Some(Ok(())) = made {
        let _ = editor.save_history(history);
    }
}

fn refuse(session: &Session, error: &ReadlineError) -> Exit {
    super::refuse(session, &format!("Error: the terminal cannot be used: {error}"))
}
