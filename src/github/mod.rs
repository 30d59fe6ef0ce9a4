//! GitHub, as a step of a workflow meets it. This room reads `GITHUB_*`, `RUNNER_*` and `ACTIONS_*`; but for
//! the ids of a run, which `provenance` takes from any CI, and a token, which plugins are fetched with.
//!
//! | file | what is there |
//! |---|---|
//! | `context` | the run, the event that started it, the pull request |
//! | `rest` | the REST interface |
//! | `comments` | one comment on a pull request |
//! | `reviews` | suggestions beside the lines of a pull request |
//! | `releases` | a part of a release's notes, and an asset |
//! | `artifacts` | files that the page of the run offers for download |
//! | `oidc` | identity tokens: who the job is |
//! | `files` | outputs, state and summary: files that the runner reads when the step ends |

pub mod artifacts;
pub mod comments;
pub mod context;
pub mod files;
pub mod oidc;
pub mod releases;
mod rest;
pub mod reviews;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;

use crate::env::Environment;

pub use self::context::Context;
pub use self::files::Files;

/// Whether this runs in a step of a workflow.
pub fn is_workflow(environment: &Environment) -> bool {
    environment.get("GITHUB_ACTIONS") == Some("true")
}

/// Variables that belong to the runner and to this program, and to nothing that it starts: with
/// them a script could write the step's outputs, or ask for credentials in the job's name.
pub fn is_private(name: &str) -> bool {
    const FILES: [&str; 6] = [
        "GITHUB_ENV",
        "GITHUB_OUTPUT",
        "GITHUB_PATH",
        "GITHUB_STATE",
        "GITHUB_STEP_SUMMARY",
        "GITHUB_ARTIFACTS",
    ];
    FILES.contains(&name)
        || ["INPUT_", "STATE_", "ACTIONS_"].iter().any(|prefix| name.starts_with(prefix))
}

/// What a token of the runner says of itself; nothing if it is none. Whoever it is shown to checks it.
fn payload(token: &str) -> Json {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}
