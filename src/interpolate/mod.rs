//! The `{{ … }}` language: Go's text templates, as legacy templates and many options use them.
//!
//! [`Template::parse`] checks the grammar, [`Template::render`] makes the text. What a function may
//! know is a [`Scope`]; what `.Field` means is a [`Dot`].

mod builtin;
mod eval;
mod fields;
mod functions;
mod lex;
mod parse;
mod parts;
mod printf;
#[cfg(test)]
mod tests;
pub(crate) mod time;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(test)]
use jiff::Timestamp;

pub use self::fields::Fields;
pub use self::parts::{Part, Term, parts};
use crate::budget::{Budget, Exceeded};
use crate::diagnostic::{Code, Diagnostic, code};
use crate::env::Environment;

/// What went wrong in a template text, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Byte offset in the template text.
    pub offset: usize,
    /// What is wrong there.
    pub message: String,
    /// What to do, where that can be said.
    pub help: Option<String>,
    /// Whether it is only that the text asks for too much.
    pub is_too_much: bool,
}

impl Error {
    /// A second line of the message is what to do.
    fn new(offset: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        let (message, help) = match message.split_once('\n') {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (message, None),
        };
        Self { offset, message, help, is_too_much: false }
    }

    fn too_much(offset: usize, exceeded: Exceeded) -> Self {
        Self { offset, message: exceeded.to_string(), help: None, is_too_much: true }
    }

    /// `diagnostic`, because of this.
    pub fn explain(self, diagnostic: Diagnostic) -> Diagnostic {
        let help = self.help.or(diagnostic.help);
        Diagnostic { cause: Some(self.message), help, ..diagnostic }
    }

    /// The code of a diagnostic about it, which is `otherwise` unless the text asks for too much.
    pub fn code_or(&self, otherwise: Code) -> Code {
        if self.is_too_much { code::TOO_MUCH } else { otherwise }
    }
}

/// The fields that `.Name` reaches: set by the component that renders.
pub type Dot = BTreeMap<String, serde_json::Value>;

/// Facts about a build that only a running machine knows: `build.ID`, `{{ build `Host` }}` ….
pub type BuildData = BTreeMap<String, serde_json::Value>;

/// What every builder knows of its machine once it runs.
pub const BUILD_DATA: &[&str] = &[
    "ID",
    "Host",
    "Port",
    "User",
    "Password",
    "ConnType",
    "PackerRunUUID",
    "PackerHTTPPort",
    "PackerHTTPIP",
    "PackerHTTPAddr",
    "SSHPublicKey",
    "SSHPrivateKey",
    "WinRMPassword",
];

/// What only a provisioner of a running machine knows beside [`BUILD_DATA`].
pub const CONNECTION_DATA: &[&str] = &["SSHPrivateKeyFile", "SSHAgentAuth"];

/// What the functions may know.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Process environment and the run's clock.
    pub environment: Arc<Environment>,
    /// `{{user}}`: the user variables. HCL2 has none: there, what the JSON language has its own
    /// words for is refused, with the word that HCL2 has.
    pub user_variables: Option<Arc<BTreeMap<String, String>>>,
    /// Whether the text is itself in the `variables` section, where `env` is allowed and an unknown
    /// user variable is an error.
    pub in_variables: bool,
    /// `{{build_name}}`.
    pub build_name: Option<String>,
    /// `{{build_type}}`.
    pub build_type: Option<String>,
    /// `{{template_dir}}`.
    pub template_dir: Option<PathBuf>,
    /// `{{build "X"}}`: `None` where the language has no such data (builders), empty before the
    /// machine runs (then `{{build "X"}}` stands for itself).
    pub build_data: Option<BuildData>,
    /// The names that the builder adds to those which every machine has.
    pub generated: Arc<[String]>,
    /// What rendering is paid from.
    pub budget: Budget,
}

/// A parsed text.
#[derive(Clone, Debug)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

impl Template {
    /// Checks the grammar of `text`, and that the functions and variables in it exist.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self { nodes: parse::parse(text)? })
    }

    /// The text with its functions called and its fields filled in. What has no value is an error.
    pub fn render(&self, scope: &Scope, dot: &Dot) -> Result<String, Error> {
        eval::render(&self.nodes, scope, dot)
    }
}

impl Scope {
    /// The names that `{{build}}` may ask for.
    pub fn build_names(&self) -> impl Iterator<Item = &str> {
        let every = BUILD_DATA.iter().chain(CONNECTION_DATA).copied();
        every.chain(self.generated.iter().map(String::as_str))
    }

    /// The scope of a text that belongs to no build.
    pub fn new(environment: Arc<Environment>) -> Self {
        Self {
            environment,
            user_variables: None,
            in_variables: false,
            build_name: None,
            build_type: None,
            template_dir: None,
            build_data: None,
            generated: Arc::default(),
            budget: Budget::default(),
        }
    }
}

#[cfg(test)]
impl Scope {
    /// A scope that knows nothing, at the start of the epoch.
    pub fn for_tests() -> Self {
        let environment =
            Environment::new(BTreeMap::new(), PathBuf::from("/"), Timestamp::UNIX_EPOCH);
        Self::new(Arc::new(environment))
    }
}
