//! What a build is made from. Builds of one [number](Record::digest) make the same image, whenever
//! they run: the clock is no part of it. A [`Record`] knows more than the number: which part has
//! changed since an image was made.

mod made_from;
mod record;
mod record_file;

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail, ensure};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::config::{Node, NodeKind};
use crate::interpolate::{Dot, Scope, Template};
use crate::peer;
use crate::secret::{Redactor, Secret};

pub use made_from::MadeFrom;
pub use record::{Brief, Kind, Record};
pub use record_file::RecordFile;

/// The fingerprint of a build. Clones share it.
#[derive(Clone, Debug)]
pub struct Fingerprint(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `None`: nobody asked.
    made_from: Option<Ingredients>,
    read: OnceCell<Vec<Digested>>,
}

/// A part, and the digest of it, or why there is none.
#[derive(Debug)]
struct Digested {
    kind: Kind,
    name: String,
    digest: Result<String, Unknown>,
}

/// Why there is no digest of a part.
#[derive(Debug)]
enum Unknown {
    /// Nobody can tell what it depends on.
    Unseen,
    /// It cannot be read, because of this.
    Unread(String),
}

/// All that a build is made from, as it is collected.
#[derive(Debug, Default)]
pub struct Ingredients {
    parts: Vec<Part>,
    key: Option<Secret>,
}

/// One of them, before it is read.
#[derive(Debug)]
struct Part {
    kind: Kind,
    name: String,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Names, types and options; different ones have different texts.
    Text(String),
    /// What is there.
    Files(PathBuf),
    /// Nobody can tell; the part's name says what it is.
    Unseen,
}

/// Files that are larger are told apart by their size and age.
const LARGEST: u64 = 64 << 20;

impl Default for Fingerprint {
    fn default() -> Self {
        Self(Arc::new(Shared { made_from: None, read: OnceCell::new() }))
    }
}

impl From<Ingredients> for Fingerprint {
    fn from(made_from: Ingredients) -> Self {
        Self(Arc::new(Shared { made_from: Some(made_from), read: OnceCell::new() }))
    }
}

impl Fingerprint {
    /// What the build depends on and nobody can tell; empty if all of it is known, or nobody asked.
    pub fn unseen(&self) -> Vec<&str> {
        let parts = self.0.made_from.iter().flat_map(|made_from| &made_from.parts);
        let unseen = parts.filter(|part| matches!(part.what, What::Unseen));
        unseen.map(|part| part.name.as_str()).collect()
    }

    /// What the build is made from. Files are read at the first time.
    ///
    /// # Errors
    /// If nobody can tell, or a file cannot be read.
    pub async fn record(&self) -> anyhow::Result<Record> {
        of_parts(self.read().await?.iter())
    }

    /// What a machine is made from on which the first `provisioners` have done their work. What becomes
    /// of it later is no part of that. Files are read at the first time.
    ///
    /// # Errors
    /// If nobody can tell, or a file cannot be read.
    pub async fn record_before(&self, provisioners: usize) -> anyhow::Result<Record> {
        let parts = self.read().await?;
        let mut left = provisioners;
        let is_before = |part: &&Digested| match part.kind {
            Kind::Image | Kind::Test => false,
            Kind::Provisioner if left == 0 => false,
            Kind::Provisioner => {
                left -= 1;
                true
            }
            _ => true,
        };
        of_parts(parts.iter().take_while(is_before))
    }

    /// All parts, as they were at the first time.
    async fn read(&self) -> anyhow::Result<&[Digested]> {
        let shared = self.0.clone();
        let read = || async {
            let read = tokio::task::spawn_blocking(move || {
                let made_from = shared.made_from.as_ref().context("nobody took a fingerprint")?;
                anyhow::Ok(made_from.digested())
            });
            read.await?
        };
        Ok(self.0.read.get_or_try_init(read).await?)
    }

    /// The number of that, in hexadecimal digits; `None` if there is none.
    pub async fn digest(&self) -> Option<String> {
        let record =
            self.record().await.inspect_err(|error| tracing::info!("no number: {error:#}"));
        Some(record.ok()?.digest().to_owned())
    }
}

/// The record of `parts`, if all of them are known.
fn of_parts<'a>(parts: impl Iterator<Item = &'a Digested>) -> anyhow::Result<Record> {
    let (mut known, mut unseen) = (Vec::new(), Vec::new());
    for Digested { kind, name, digest } in parts {
        match digest {
            Ok(digest) => known.push((*kind, name.clone(), digest.clone())),
            Err(Unknown::Unseen) => unseen.push(name.as_str()),
            Err(Unknown::Unread(why)) => bail!("{why}"),
        }
    }
    ensure!(unseen.is_empty(), "it depends on {}", unseen.join(", "));
    Ok(Record::new(known))
}

impl Ingredients {
    /// Digests are made with `key` from now on: who does not know it cannot try out what a secret
    /// might have been.
    pub fn keyed(self, key: Option<Secret>) -> Self {
        Self { key, ..self }
    }

    /// Whether digests are made with a key.
    pub fn is_keyed(&self) -> bool {
        self.key.is_some()
    }

    /// Adds a part that a text says all about.
    pub fn add_text(&mut self, kind: Kind, name: &str, text: &str) {
        self.add_part(kind, name.to_owned(), What::Text(framed('s', text)));
    }

    /// Adds something that nobody can tell.
    pub fn add_unseen(&mut self, what: String) {
        self.add_part(Kind::Variable, what, What::Unseen);
    }

    /// Adds those of the `options` of a builder that are `meant`, each as a part of this `kind`, rendered
    /// in `scope` as far as that is possible before a machine runs.
    pub fn add_options(
        &mut self,
        kind: Kind,
        options: &Node,
        scope: &Scope,
        meant: impl Fn(&str) -> bool,
    ) {
        let NodeKind::Map(entries) = &options.kind else { return };
        for (name, entry) in entries.iter().filter(|(name, _)| meant(name)) {
            self.add_part(kind, name.clone(), What::Text(text_of(&entry.value, scope)));
        }
    }

    /// Adds a component of this `kind` of part: its type and options.
    pub fn add_component(&mut self, kind: Kind, name: &str, options: &Node, scope: &Scope) {
        let text = framed('c', name) + &text_of(options, scope);
        self.add_part(kind, name.to_owned(), What::Text(text));
    }

    /// Adds what is in files and directories.
    pub fn add_files(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        self.parts.extend(paths.into_iter().map(|path| Part {
            kind: Kind::File,
            name: path.display().to_string(),
            what: What::Files(path),
        }));
    }

    /// Whether `redactor` knows a secret that is among the texts.
    pub fn has_secret(&self, redactor: &Redactor) -> bool {
        self.parts.iter().any(|part| match &part.what {
            What::Text(text) => redactor.redact(text) != *text,
            What::Files(_) | What::Unseen => false,
        })
    }

    /// Leaves out what `redactor` knows.
    pub fn without_secrets(mut self, redactor: &Redactor) -> Self {
        for part in &mut self.parts {
            if let What::Text(text) = &mut part.what {
                *text = redactor.clean(std::mem::take(text));
            }
        }
        self
    }

    /// These, then `others`.
    pub fn and(mut self, others: Self) -> Self {
        self.parts.extend(others.parts);
        self
    }

    fn add_part(&mut self, kind: Kind, name: String, what: What) {
        self.parts.push(Part { kind, name, what });
    }

    fn digested(&self) -> Vec<Digested> {
        let program = Digested {
            kind: Kind::Program,
            name: "imgbake".to_owned(),
            digest: Ok(self.digest(env!("CARGO_PKG_VERSION"))),
        };
        let parts = self.parts.iter().map(|Part { kind, name, what }| {
            let digest = match what {
                What::Text(text) => Ok(self.digest(text)),
                What::Files(path) => {
                    self.digest_files(path).map_err(|error| Unknown::Unread(error.to_string()))
                }
                What::Unseen => Err(Unknown::Unseen),
            };
            Digested { kind: *kind, name: name.clone(), digest }
        });
        std::iter::once(program).chain(parts).collect()
    }

    fn hasher(&self) -> Hmac<Sha256> {
        let key = self.key.as_ref().map_or("", |key| key.expose());
        let mut block = [0; 64];
        block[..32].copy_from_slice(&Sha256::digest(key));
        Hmac::new(&block.into())
    }

    fn digest(&self, text: &str) -> String {
        let mut digest = self.hasher();
        digest.update(text.as_bytes());
        hex::encode(digest.finalize().into_bytes())
    }

    fn digest_files(&self, path: &Path) -> io::Result<String> {
        let mut digest = self.hasher();
        let mut read = || {
            // An upload follows links, too.
            for entry in walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name() {
                add_file(&mut digest, path, entry?.path())?;
            }
            Ok(())
        };
        read().map_err(|error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        Ok(hex::encode(digest.finalize().into_bytes()))
    }
}

/// `text`, so that it is seen where it ends.
fn framed(kind: char, text: &str) -> String {
    format!("{kind}{}:{text}", text.len())
}

/// All that `node` says.
fn text_of(node: &Node, scope: &Scope) -> String {
    match &node.kind {
        NodeKind::Null => "-".to_owned(),
        NodeKind::Unknown => "?".to_owned(),
        NodeKind::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
        NodeKind::Number(text) => framed('n', text),
        NodeKind::String(text) => {
            let rendered = Template::parse(text);
            let rendered = rendered.and_then(|text| text.render(scope, &Dot::new()));
            framed('s', rendered.as_deref().unwrap_or(text))
        }
        NodeKind::List(items) => {
            let items: String = items.iter().map(|item| text_of(item, scope)).collect();
            format!("[{items}]")
        }
        NodeKind::Map(entries) => {
            let entries = entries.iter();
            let entries =
                entries.map(|(key, entry)| framed('k', key) + &text_of(&entry.value, scope));
            format!("{{{}}}", entries.collect::<String>())
        }
    }
}

/// Adds what is at `path`, which was found below `root`.
fn add_file(digest: &mut Hmac<Sha256>, root: &Path, path: &Path) -> io::Result<()> {
    let name = path.strip_prefix(root).unwrap_or(path).as_os_str();
    digest.update(&name.len().to_le_bytes());
    digest.update(name.as_encoded_bytes());
    let facts = std::fs::metadata(path)?;
    if facts.is_dir() {
        return Ok(());
    }
    digest.update(&facts.len().to_le_bytes());
    // Who may read it is a matter of this machine's umask.
    digest.update(&[u8::from(facts.mode() & 0o100 != 0)]);
    if facts.is_file() && facts.len() <= LARGEST {
        io::copy(&mut peer::open_regular(path)?.take(LARGEST), digest)?;
    } else {
        let age = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        digest.update(&age.as_nanos().to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn number(options: Value, file: &Path) -> Option<String> {
        let mut ingredients = Ingredients::default();
        ingredients.add_component(
            Kind::Provisioner,
            "shell",
            &Node::for_tests(&options),
            &Scope::for_tests(),
        );
        ingredients.add_files([file.to_owned()]);
        Fingerprint::from(ingredients).digest().await
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
            ingredients.add_options(Kind::Option, &options, &Scope::for_tests(), |_| true);
            assert_eq!(ingredients.has_secret(&redactor), secret.starts_with("hunter"));
            Fingerprint::from(ingredients.without_secrets(&redactor))
        };
        let number = ingredients("hunter22").digest().await;
        assert_eq!(ingredients("hunter23").digest().await, number);
        assert_ne!(ingredients("another").digest().await, number);
    }

    #[tokio::test]
    async fn a_key_changes_all_digests() {
        let number = async |key: Option<&str>| {
            let mut ingredients = Ingredients::default();
            let options = Node::for_tests(&json!({"inline": "echo hunter22"}));
            ingredients.add_component(Kind::Provisioner, "shell", &options, &Scope::for_tests());
            Fingerprint::from(ingredients.keyed(key.map(Secret::new))).digest().await
        };
        assert_eq!(number(Some("one")).await, number(Some("one")).await);
        assert_ne!(number(Some("one")).await, number(Some("two")).await);
        assert_ne!(number(Some("one")).await, number(None).await);
    }

    #[tokio::test]
    async fn what_nobody_sees_has_no_number() {
        assert_eq!(Fingerprint::default().digest().await, None, "nobody asked");
        let mut ingredients = Ingredients::default();
        ingredients.add_unseen("`shell-local`".to_owned());
        let unknown = Fingerprint::from(ingredients);
        assert_eq!(unknown.digest().await, None);
        assert_eq!(unknown.unseen(), ["`shell-local`"]);
    }

    #[tokio::test]
    async fn a_machine_is_made_from_what_came_before_and_the_image_is_no_part_of_it() {
        let made_from = |steps: [&str; 3], kind: &str, name: &str| {
            let (mut ingredients, scope) = (Ingredients::default(), Scope::for_tests());
            ingredients.add_text(Kind::Option, "instance_type", kind);
            for step in steps {
                match step {
                    "?" => ingredients.add_unseen("`shell-local`".to_owned()),
                    step => {
                        let options = Node::for_tests(&json!({"inline": step}));
                        ingredients.add_component(Kind::Provisioner, "shell", &options, &scope);
                    }
                }
            }
            ingredients.add_text(Kind::Image, "ami_name", name);
            ingredients.add_text(Kind::Test, "boot-test", name);
            Fingerprint::from(ingredients)
        };
        let before = async |made_from: Fingerprint, count| {
            made_from.record_before(count).await.ok().map(|record| record.digest().to_owned())
        };
        let first = before(made_from(["a", "b", "c"], "t3", "one"), 2).await;
        assert_eq!(before(made_from(["a", "b", "d"], "t3", "two"), 2).await, first);
        assert!(before(made_from(["a", "b", "?"], "t3", "two"), 1).await.is_some());
        for (steps, kind, count) in
            [(["a", "x", "c"], "t3", 2), (["a", "b", "c"], "m5", 2), (["a", "b", "c"], "t3", 3)]
        {
            assert_ne!(before(made_from(steps, kind, "one"), count).await, first, "{steps:?}");
        }
        assert_eq!(before(made_from(["a", "?", "c"], "t3", "one"), 2).await, None);
    }
}
