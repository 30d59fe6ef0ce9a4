//! Questions to the person at the terminal, read on a thread of its own so that nothing else waits.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver, Sender};

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use tokio::sync::oneshot;

/// Where one answer goes.
type Answer = oneshot::Sender<Option<String>>;

/// Hands questions to the reader of the terminal, who is found when the first one comes.
#[derive(Default)]
pub(super) struct Prompts {
    reader: Option<Result<Sender<Answer>, Unanswerable>>,
}

/// Nobody can be asked.
#[derive(Clone, Copy)]
struct Unanswerable;

impl Prompts {
    /// Waits for an answer to the question that was shown. Where nobody can answer, `answer` is
    /// dropped, and the first time the reason comes back.
    pub fn ask(&mut self, answer: Answer) -> Result<(), String> {
        let known = self.reader.is_some();
        match self.reader.get_or_insert_with(start) {
            // The reader ends with its terminal; then dropping the answer says so.
            Ok(reader) => {
                let _ = reader.send(answer);
                Ok(())
            }
            Err(_) if known => Ok(()),
            Err(_) => Err("there is no terminal to ask at; going on without an answer".to_owned()),
        }
    }
}

/// Starts the reader.
fn start() -> Result<Sender<Answer>, Unanswerable> {
    let terminal = terminal().ok_or(Unanswerable)?;
    let (questions, asked) = mpsc::channel();
    std::thread::spawn(move || read(BufReader::new(terminal), &asked));
    Ok(questions)
}

/// Standard input if it is a terminal, else the controlling terminal; never one that belongs to
/// another job, which would stop us.
fn terminal() -> Option<File> {
    let stdin = io::stdin();
    let terminal = if stdin.is_terminal() {
        File::from(stdin.as_fd().try_clone_to_owned().ok()?)
    } else {
        File::options().read(true).open("/dev/tty").ok()?
    };
    (tcgetpgrp(&terminal).ok()? == getpgrp()).then_some(terminal)
}

/// Gives each line to the first question that still waits for its answer.
fn read(mut terminal: impl BufRead, asked: &Receiver<Answer>) {
    while let Ok(mut answer) = asked.recv() {
        let mut line = String::new();
        if !matches!(terminal.read_line(&mut line), Ok(1..)) {
            return;
        }
        while answer.is_closed() {
            match asked.recv() {
                Ok(next) => answer = next,
                Err(_) => return,
            }
        }
        // A question that was withdrawn just now has no use for its answer.
        let _ = answer.send(Some(line.trim_end().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_to_the_question_that_still_waits() {
        let (questions, asked) = mpsc::channel();
        let (withdrawn, gone) = oneshot::channel();
        drop(gone);
        let (first, first_answer) = oneshot::channel();
        let (second, second_answer) = oneshot::channel();
        for question in [withdrawn, first, second] {
            questions.send(question).unwrap();
        }
        drop(questions);
        read("r\n".as_bytes(), &asked);
        drop(asked);
        assert_eq!(first_answer.blocking_recv().unwrap().unwrap(), "r");
        assert!(second_answer.blocking_recv().is_err(), "the terminal has ended");
    }
}
