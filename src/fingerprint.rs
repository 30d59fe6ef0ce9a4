//! What a build is made from, as one number. Builds of one number make the same image, whenever
//! they run: the clock is no part of it.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::config::{Node, NodeKind};
use crate::interpolate::{Dot, Scope, Template};
use crate::peer;
use crate::secret::Redactor;

/// The fingerprint of a build, if it has one. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    made_from: Ingredients,
    number: OnceCell<Option<String>>,
}

/// All that a build is made from, as it is collected.
#[derive(Debug, Default)]
pub struct Ingredients {
    /// Names, types and options; different ones have different texts.
    text: String,
    paths: Vec<PathBuf>,
}

/// Files that are larger are told apart by their size and age.
const LARGEST: u64 = 64 << 20;

impl From<Ingredients> for Fingerprint {
    fn from(made_from: Ingredients) -> Self {
        Self(Some(Arc::new(Shared { made_from, number: OnceCell::new() })))
    }
}

impl Fingerprint {
    /// The number, in hexadecimal digits; `None` if it has none, or a file cannot be read. Files
    /// are read at the first time.
    pub async fn number(&self) -> Option<String> {
        let shared = self.0.clone()?;
        let reader = shared.clone();
        let read = || async {
            let digest = tokio::task::spawn_blocking(move || reader.made_from.digest()).await;
            digest.ok()?.inspect_err(|error| tracing::warn!(%error, "no fingerprint")).ok()
        };
        shared.number.get_or_init(read).await.clone()
    }
}

impl Ingredients {
    /// Adds a text.
    pub fn add_text(&mut self, text: &str) {
        self.push('s', text);
    }

    /// Adds a component: its type and options, rendered in `scope` as far as that is possible
    /// before a machine runs.
    pub fn add(&mut self, kind: &str, options: &Node, scope: &Scope) {
        self.push('c', kind);
        self.add_node(options, scope);
    }

    /// Adds what is in files and directories.
    pub fn add_files(&mut self, paths: Vec<PathBuf>) {
        self.paths.extend(paths);
    }

    /// Whether `redactor` knows a secret that is among the texts.
    pub fn has_secret(&self, redactor: &Redactor) -> bool {
        redactor.redact(&self.text) != self.text
    }

    /// Leaves out what `redactor` knows.
    pub fn without_secrets(self, redactor: &Redactor) -> Self {
        Self { text: redactor.clean(self.text), ..self }
    }

    /// These, then `others`.
    pub fn and(mut self, others: Self) -> Self {
        self.text.push_str(&others.text);
        self.paths.extend(others.paths);
        self
    }

    fn add_node(&mut self, node: &Node, scope: &Scope) {
        match &node.kind {
            NodeKind::Null => self.text.push('-'),
            NodeKind::Unknown => self.text.push('?'),
            NodeKind::Bool(value) => self.text.push(if *value { 't' } else { 'f' }),
            NodeKind::Number(text) => self.push('n', text),
            NodeKind::String(text) => {
                let rendered = Template::parse(text);
                let rendered = rendered.and_then(|text| text.render(scope, &Dot::new()));
                self.push('s', rendered.as_deref().unwrap_or(text));
            }
            NodeKind::List(items) => {
                self.text.push('[');
                items.iter().for_each(|item| self.add_node(item, scope));
                self.text.push(']');
            }
            NodeKind::Map(entries) => {
                self.text.push('{');
                for (key, entry) in entries {
                    self.push('k', key);
                    self.add_node(&entry.value, scope);
                }
                self.text.push('}');
            }
        }
    }

    /// Adds `text` so that it is seen where it ends.
    fn push(&mut self, kind: char, text: &str) {
        self.text.push_str(&format!("{kind}{}:{text}", text.len()));
    }

    fn digest(&self) -> io::Result<String> {
        let mut digest = Sha256::new();
        digest.update(env!("CARGO_PKG_VERSION"));
        digest.update(&self.text);
        for path in &self.paths {
            for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
                add_file(&mut digest, path, entry?.path())?;
            }
        }
        Ok(hex::encode(digest.finalize()))
    }
}

/// Adds what is at `path`, which was found below `root`.
fn add_file(digest: &mut Sha256, root: &Path, path: &Path) -> io::Result<()> {
    let name = path.strip_prefix(root).unwrap_or(path).as_os_str();
    digest.update(name.len().to_le_bytes());
    digest.update(name.as_encoded_bytes());
    let facts = std::fs::metadata(path)?;
    if facts.is_dir() {
        return Ok(());
    }
    digest.update(facts.len().to_le_bytes());
    if facts.is_file() && facts.len() <= LARGEST {
        io::copy(&mut peer::open_regular(path)?.take(LARGEST), digest)?;
    } else {
        let age = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        digest.update(age.as_nanos().to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn number(options: Value, file: &Path) -> Option<String> {
        let mut ingredients = Ingredients::default();
        ingredients.add("shell", &Node::for_tests(&options), &Scope::for_tests());
        ingredients.add_files(vec![file.to_owned()]);
        Fingerprint::from(ingredients).number().await
    }

    #[tokio::test]
    async fn what_a_build_is_made_from_makes_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("a"), "one").unwrap();
        let mut seen = Vec::new();
        let mut is_new = async |options: Value| {
            let next = number(options.clone(), &files).await.unwrap();
            assert_eq!(next.len(), 64);
            assert_eq!(number(options, &files).await.as_ref(), Some(&next));
            assert!(!seen.contains(&next));
            seen.push(next);
        };
        is_new(json!({"inline": ["a", "b"]})).await;
        is_new(json!({"inline": ["ab"]})).await;
        is_new(json!({"inline": "ab"})).await;
        is_new(json!({"inline": "a{{isotime}}"})).await;
        std::fs::write(files.join("a"), "two").unwrap();
        is_new(json!({"inline": "ab"})).await;
        std::fs::rename(files.join("a"), files.join("b")).unwrap();
        is_new(json!({"inline": "ab"})).await;
        std::fs::remove_dir_all(&files).unwrap();
        assert_eq!(number(json!({"inline": "ab"}), &files).await, None);
    }

    #[tokio::test]
    async fn a_secret_is_no_part_of_it() {
        let redactor = Redactor::default();
        redactor.register("hunter22");
        redactor.register("hunter23");
        let ingredients = |secret: &str| {
            let mut ingredients = Ingredients::default();
            let options = Node::for_tests(&json!({"secret_key": secret}));
            ingredients.add("amazon-ebs", &options, &Scope::for_tests());
            assert_eq!(ingredients.has_secret(&redactor), secret.starts_with("hunter"));
            Fingerprint::from(ingredients.without_secrets(&redactor))
        };
        let number = ingredients("hunter22").number().await;
        assert_eq!(ingredients("hunter23").number().await, number);
        assert_ne!(ingredients("another").number().await, number);
    }
}
