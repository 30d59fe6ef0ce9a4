//! What GitHub's runner makes of what a step prints and writes, as its own parsers do
//! (`ActionCommand`, `FileCommandManager`).

use std::collections::BTreeMap;

/// `NAME=VALUE`, or `NAME<<DELIMITER` and lines up to it.
pub fn entries(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.split('\n');
    while let Some(line) = lines.next() {
        let heredoc = line.find("<<").filter(|at| line.find('=').is_none_or(|other| *at < other));
        if let Some(at) = heredoc {
            let (name, delimiter) = (&line[..at], &line[at + 2..]);
            let mut value = Vec::new();
            loop {
                match lines.next().expect("the delimiter comes") {
                    end if end == delimiter => break,
                    line => value.push(line),
                }
            }
            found.insert(name.to_owned(), value.join("\n"));
        } else if let Some((name, value)) = line.split_once('=') {
            found.insert(name.to_owned(), value.to_owned());
        } else {
            assert!(line.is_empty(), "{line:?} is no entry");
        }
    }
    found
}

/// What the runner makes of what a step prints.
#[derive(Debug, Default)]
pub struct Log {
    /// Lines and groups as people see them, secrets masked.
    pub shown: Vec<Shown>,
    pub annotations: Vec<Annotation>,
    pub debug: Vec<String>,
    pub masks: Vec<String>,
    /// What else the runner was told to do: `set-output`, `add-path`, ….
    pub obeyed: Vec<String>,
    /// Every line, as it was printed.
    pub raw: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    Line(String),
    Group(String, Vec<String>),
}

/// `error` or `warning`, its properties and its message.
#[derive(Clone, Debug)]
pub struct Annotation {
    pub kind: String,
    pub properties: BTreeMap<String, String>,
    pub message: String,
}

const COMMANDS: [&str; 16] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "internal-set-repo-path",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

struct Command {
    name: String,
    properties: BTreeMap<String, String>,
    data: String,
}

/// Both forms of commands: at the start of a line, and anywhere in one.
fn parse(line: &str, token: Option<&str>) -> Option<Command> {
    let known = |name: &str| {
        COMMANDS.iter().any(|known| known.eq_ignore_ascii_case(name)) || token == Some(name)
    };
    let split = |info: &str, separator: char| {
        let (name, rest) = info.split_once(' ').unwrap_or((info, ""));
        let properties = rest.split(separator).filter_map(|pair| pair.trim().split_once('='));
        let properties = properties.map(|(key, value)| (key.to_owned(), unescape(value)));
        (name.to_owned(), properties.collect())
    };
    let trimmed = line.trim_start();
    if let Some(rest) = trimmed.strip_prefix("::")
        && let Some((info, data)) = rest.split_once("::")
    {
        let (name, properties) = split(info, ',');
        if known(&name) {
            return Some(Command { name, properties, data: unescape(data) });
        }
    }
    let (info, data) = line.split_once("##[")?.1.split_once(']')?;
    let (name, properties) = split(info, ';');
    known(&name).then(|| Command { name, properties, data: unescape(data) })
}

fn unescape(text: &str) -> String {
    let text = text.replace("%0D", "\r").replace("%0A", "\n");
    text.replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
}

impl Log {
    pub fn of(stdout: &str) -> Self {
        let mut log = Self { raw: stdout.to_owned(), ..Self::default() };
        let mut token: Option<String> = None;
        let mut group: Option<(String, Vec<String>)> = None;
        // A line ends with \n, \r\n, or \r alone.
        for line in stdout.replace("\r\n", "\n").split(['\n', '\r']) {
            let command = parse(line, token.as_deref());
            match (&token, command) {
                (Some(waited), Some(command)) if command.name == *waited => token = None,
                (None, Some(command)) if command.name == "stop-commands" => {
                    token = Some(command.data);
                }
                (None, Some(command)) => log.obey(command, &mut group),
                (_, _) => {
                    let masked = log.masked(line);
                    match &mut group {
                        Some((_, lines)) => lines.push(masked),
                        None => log.shown.push(Shown::Line(masked)),
                    }
                }
            }
        }
        assert!(token.is_none(), "the runner was left deaf: {stdout}");
        assert!(group.is_none(), "a group was left open: {stdout}");
        assert_eq!(log.shown.pop(), Some(Shown::Line(String::new())), "the last line has an end");
        log
    }

    fn masked(&self, text: &str) -> String {
        self.masks.iter().fold(text.to_owned(), |text, mask| text.replace(mask, "***"))
    }

    fn obey(&mut self, command: Command, group: &mut Option<(String, Vec<String>)>) {
        let Command { name, properties, data } = command;
        match name.as_str() {
            "add-mask" => self.masks.push(data),
            "debug" => self.debug.push(self.masked(&data)),
            "group" => {
                assert!(group.is_none(), "groups do not nest");
                *group = Some((self.masked(&data), Vec::new()));
            }
            "endgroup" => {
                let (title, lines) = group.take().expect("a group is open");
                self.shown.push(Shown::Group(title, lines));
            }
            "error" | "warning" => {
                let message = self.masked(&data);
                self.shown.push(Shown::Line(format!("{name}: {message}")));
                self.annotations.push(Annotation { kind: name, properties, message });
            }
            _ => self.obeyed.push(format!("{name} {properties:?} {data}")),
        }
    }

    /// The titles of all groups, without their durations.
    pub fn groups(&self) -> Vec<String> {
        let titles = self.shown.iter().filter_map(|shown| match shown {
            Shown::Group(title, _) => Some(title.as_str()),
            Shown::Line(_) => None,
        });
        let title = |title: &str| match title.rsplit_once(", ") {
            Some((title, took)) if took.ends_with('s') => title.to_owned(),
            _ => title.to_owned(),
        };
        titles.map(title).collect()
    }

    /// The lines of the group whose title begins so.
    pub fn group(&self, start: &str) -> &[String] {
        let found = self.shown.iter().find_map(|shown| match shown {
            Shown::Group(title, lines) if title.starts_with(start) => Some(lines.as_slice()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("there is no group {start}: {self:#?}"))
    }

    /// The lines that stand open.
    pub fn open(&self) -> String {
        let lines = self.shown.iter().filter_map(|shown| match shown {
            Shown::Line(line) => Some(line.as_str()),
            Shown::Group(..) => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
