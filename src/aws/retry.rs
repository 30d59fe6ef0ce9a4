//! The API forgets for a moment what it just made: calls that are tried until it knows.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::aws::error::ApiError;
use crate::retry::{Backoff, Try, retry};

/// How the SDK itself retries throttling and failures of the network; see
/// [`Account`](crate::aws::account::Account).
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(200);
/// See [`FIRST_WAIT`].
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

const BACKOFF: Backoff = Backoff { first: FIRST_WAIT, factor: 2.0, longest: LONGEST_WAIT };
const TRIES: usize = 11;

/// Calls until the API knows the thing that the call is about.
///
/// # Errors
/// Any other error at once, the last one after 11 tries (about two minutes), and an interruption
/// of the waits in between.
pub async fn until_known<T, F>(
    cancel: &CancellationToken,
    call: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, ApiError>>,
{
    again_on(cancel, ApiError::is_unknown, call).await
}

/// Calls until it works, or fails with an error that `passes_by` says will stay.
pub async fn again_on<T, F>(
    cancel: &CancellationToken,
    passes_by: impl Fn(&ApiError) -> bool,
    mut call: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let attempt = || {
        let called = call();
        let passes_by = &passes_by;
        async move {
            match called.await {
                Ok(value) => Try::Done(value),
                Err(error) if passes_by(&error) => Try::Again(anyhow::Error::from(error)),
                Err(error) => Try::Failed(error.into()),
            }
        }
    };
    retry(cancel, BACKOFF, TRIES, attempt).await
}
