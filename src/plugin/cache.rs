//! What is remembered of a plugin's program: its sum, what it says of itself, and its options. So a
//! template whose plugins are known is read without starting them.
//!
//! It belongs to one file as it is: when the file changes in any way that its directory shows, all is
//! asked anew. Who may change the file, and the sum beside it, are looked at each time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::installed::{Description, Installed};
use super::runtime::guard;
use super::spec::Spec;
use crate::env::Environment;
use crate::peer::read_regular;

/// The largest file that is read back.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Changes whenever what is kept means something else.
const FORMAT: u32 = 1;

/// What is kept of one program. A clone is the same.
#[derive(Clone, Debug)]
pub struct Cache {
    file: Option<PathBuf>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// The file that it is about.
    program: PathBuf,
    /// How its directory shows it: device, number, size, and when it was changed.
    seen: [i64; 5],
    sum: String,
    description: Description,
    specs: BTreeMap<String, Spec>,
}

fn seen(program: &Path) -> std::io::Result<[i64; 5]> {
    let metadata = fs::metadata(program)?;
    Ok([
        metadata.dev().cast_signed(),
        metadata.ino().cast_signed(),
        metadata.size().cast_signed(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ])
}

impl Cache {
    /// What is kept of `found`; asks the program and checks it, where nothing is.
    pub fn of(found: &Installed, environment: &Environment) -> anyhow::Result<Self> {
        let now = seen(&found.path)?;
        let file = file(&found.path, environment);
        let read = file.as_ref().and_then(|file| read_regular(file, LARGEST).ok());
        let kept = read.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let fits =
            |kept: &Kept| kept.format == FORMAT && kept.program == found.path && kept.seen == now;
        if let Some(kept) = kept.filter(fits) {
            found.check_known(&kept.sum)?;
            return Ok(Self { file, kept: Arc::new(Mutex::new(kept)) });
        }
        let sum = found.check()?;
        let description = Description::ask_blocking(&found.path, environment)?;
        description.check(found)?;
        let kept = Kept {
            format: FORMAT,
            program: found.path.clone(),
            seen: now,
            sum,
            description,
            ..Kept::default()
        };
        let cache = Self { file, kept: Arc::new(Mutex::new(kept)) };
        cache.write();
        Ok(cache)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        guard(&self.kept)
    }

    /// The SHA-256 of the program.
    pub fn sum(&self) -> String {
        self.kept().sum.clone()
    }

    /// What the program says of itself.
    pub fn description(&self) -> Description {
        self.kept().description.clone()
    }

    /// The options that are kept as `key`.
    pub fn spec(&self, key: &str) -> Option<Spec> {
        self.kept().specs.get(key).cloned()
    }

    /// Keeps options.
    pub fn keep_spec(&self, key: &str, spec: &Spec) {
        self.kept().specs.insert(key.to_owned(), spec.clone());
        self.write();
    }

    /// A cache that cannot be written is no reason to fail: the next one asks again.
    fn write(&self) {
        let Some(file) = &self.file else { return };
        let Ok(bytes) = serde_json::to_vec(&*self.kept()) else { return };
        if let Err(error) = replace(file, &bytes) {
            tracing::debug!("{} cannot be written: {error}", file.display());
        }
    }
}

/// Where it is kept. Only this user may write there: a program runs by what it says.
fn file(program: &Path, environment: &Environment) -> Option<PathBuf> {
    let dir = environment.state_dir()?.join("plugins");
    let name = hex::encode(&Sha256::digest(program.as_os_str().as_encoded_bytes())[..16]);
    Some(dir.join(format!("{name}.json")))
}

/// Writes `file` as a whole, or not at all.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or(file);
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut temporary, bytes)?;
    temporary.persist(file)?;
    Ok(())
}
