//! Calls of AWS's APIs. All go through here: this is the one place where a call is made again, and
//! where it is known what to do about an answer that never came. The SDK itself tries once.
//!
//! | what a call does | method | if its answer was lost |
//! |---|---|---|
//! | looks, or sets a state | [`Api::call`] | it is made again |
//! | makes something | [`Api::make`] | what it may have made is looked for first |
//! | removes something | [`Api::remove`] | it is made again; what is not there is gone |

use std::error::Error;
use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio_util::sync::CancellationToken;

use crate::aws::error::{ApiError, Meaning};
use crate::aws::expired::Expired;
use crate::aws::pace::Pace;
use crate::env::Environment;
use crate::journal::Thing;
use crate::retry::{self, Backoff, or_cancelled};

/// EC2 in one region, as one build calls it.
pub type Ec2 = Api<aws_sdk_ec2::Client>;
/// Systems Manager in one region, as one build calls it.
pub type Ssm = Api<aws_sdk_ssm::Client>;

/// S3 in one region, as one build calls it.
pub type S3 = Api<aws_sdk_s3::Client>;
/// IAM, as one build calls it.
pub type Iam = Api<aws_sdk_iam::Client>;

/// An API, as one build calls it: with its patience, and until it is interrupted.
#[derive(Clone, Debug)]
pub struct Api<C> {
    client: C,
    context: CallContext,
    /// What the API may not know yet.
    new: Vec<String>,
}

/// How calls are made.
#[derive(Clone, Debug)]
pub(super) struct CallContext {
    /// How often and how long a call is tried.
    pub patience: RetryLimits,
    /// Who is called: `ec2.us-east-1.amazonaws.com`.
    pub host: Arc<str>,
    /// Through this, people are told of long waits.
    pub environment: Arc<Environment>,
    /// How fast calls come.
    pub pace: Arc<Pace>,
    /// Hears that the keys which sign them have run out.
    pub expired: Expired,
    /// Ends looks, and the waits between tries. A call that changes something is always awaited.
    pub cancel: CancellationToken,
}

/// How often and how long a call is tried that is throttled, not answered, or does not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetryLimits {
    /// How often.
    pub tries: usize,
    /// No try begins this long after the first, where nobody can be reached.
    pub unreachable: Duration,
    /// The same, where the service is not well or nobody hears its answer.
    pub unsure: Duration,
}

impl RetryLimits {
    /// Whether there is another try after a failure that means `meaning`, `wait` from now.
    fn allows(&self, meaning: Meaning, tried: &Tried, wait: Duration) -> bool {
        let limit = match meaning {
            Meaning::Unreachable => self.unreachable,
            Meaning::Unsure => self.unsure,
            Meaning::Throttled => Duration::MAX,
            _ => return true,
        };
        tried.tries < self.tries && tried.since.elapsed().saturating_add(wait) < limit
    }
}

/// The waits between tries. The first is short: most failures pass at once.
const WAITS: Backoff =
    Backoff { first: Duration::from_millis(50), factor: 2.5, longest: Duration::from_secs(10) };
/// A wait for a call that changes something is told after this time, and again at this interval: such a
/// call takes longer. Looks are silent for [`retry::SILENT_WAIT`].
const SILENT_CHANGE: Duration = Duration::from_secs(10);
/// How long the API may take to know what was just made.
const UNTIL_KNOWN: Duration = Duration::from_secs(60);
/// How long it may not know it, before that is taken for gone.
const UNTIL_GONE: Duration = Duration::from_secs(10);
/// How long something may be in the way of a call.
const UNTIL_FREE: Duration = Duration::from_secs(180);
/// How often credentials that have run out are replaced.
const RENEWALS: usize = 3;
/// How often a removal is tried that is denied: permissions, too, are not known everywhere at once.
const DENIALS: usize = 4;
/// When it is looked whether a call took effect that was not answered.
const LOOKS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(400)];
/// As [`LOOKS`], where the API says that the call took effect.
const LOOKS_FOR_TAKEN: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(400), Duration::from_secs(1), Duration::from_secs(3)];

impl<C> Deref for Api<C> {
    type Target = C;
    fn deref(&self) -> &C {
        &self.client
    }
}

/// All of a list that comes in pages: `page` has the one of a token, and the token of the next one.
pub async fn all_pages<T, F>(page: impl Fn(Option<String>) -> F) -> Result<Vec<T>, ApiError>
where
    F: Future<Output = Result<(Vec<T>, Option<String>), ApiError>>,
{
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let (items, next) = page(token.clone()).await?;
        all.extend(items);
        let next = next.filter(|next| !next.is_empty());
        if next.is_none() {
            return Ok(all);
        }
        if next == token {
            let why = "the same page came twice, so that the list would have no end";
            return Err(ApiError::answered("a list in pages", "RepeatedPage", why));
        }
        token = next;
    }
}

/// The tries of one call so far.
struct Tried {
    since: Instant,
    tries: usize,
    renewals: usize,
    /// Whether one of them may have been done, although nobody heard of it.
    may_be_done: bool,
}

impl Tried {
    fn nothing() -> Self {
        Self { since: Instant::now(), tries: 0, renewals: 0, may_be_done: false }
    }

    fn count(&mut self, meaning: Meaning) {
        self.tries += 1;
        self.renewals += usize::from(meaning == Meaning::Expired);
        self.may_be_done |= meaning.may_be_done();
    }

    fn for_less_than(&self, limit: Duration) -> bool {
        self.since.elapsed() < limit
    }
}

impl<C> Api<C> {
    pub(super) fn new(client: C, context: CallContext) -> Self {
        Self { client, context, new: Vec::new() }
    }

    /// The same, for calls about `new` things: that the API does not know one of them passes.
    pub fn expecting(&self, new: impl IntoIterator<Item = impl Into<String>>) -> Self
    where
        C: Clone,
    {
        Self { new: new.into_iter().map(Into::into).collect(), ..self.clone() }
    }

    /// Makes a call that looks, or that does no more when it is done twice.
    pub async fn call<A, E, F>(
        &self,
        action: &'static str,
        request: impl Fn(&C) -> F,
    ) -> Result<A, ApiError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<A, SdkError<E, HttpResponse>>>,
    {
        debug_assert!(!makes_something(action), "{action} makes something: see `Api::make`");
        let again = |error: &ApiError, tried: &Tried| match error.meaning {
            Meaning::Unsure => true,
            Meaning::NotFound => self.is_about_new(error) && tried.for_less_than(UNTIL_KNOWN),
            _ => false,
        };
        self.with_retries(action, request, again).await
    }

    /// Makes a call that makes `thing`, and says its id. Where it may have been made already,
    /// `look` says whether it was.
    pub async fn make<A, E, F, T, L>(
        &self,
        thing: &Thing,
        action: &'static str,
        request: impl Fn(&C) -> F,
        id: impl Fn(A) -> Option<T>,
        look: impl Fn() -> L,
    ) -> anyhow::Result<T>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<A, SdkError<E, HttpResponse>>>,
        L: Future<Output = anyhow::Result<Option<T>>>,
    {
        let again = |error: &ApiError, tried: &Tried| match error.meaning {
            Meaning::TooSoon => tried.for_less_than(UNTIL_FREE),
            Meaning::NotFound => self.is_about_new(error) && tried.for_less_than(UNTIL_KNOWN),
            _ => false,
        };
        thing.attempt();
        let (mut tries, mut refusals) = (0, 0);
        loop {
            tries += 1;
            let error = match self.with_retries(action, &request, again).await {
                Ok(answer) => {
                    return id(answer).with_context(|| format!("{action} answered no id"));
                }
                Err(error) => error,
            };
            if error.meaning.may_be_done() {
                thing.doubt();
            }
            let looks: &[Duration] = match error.meaning {
                Meaning::Unsure | Meaning::Unreadable => &LOOKS,
                Meaning::Taken if thing.is_doubtful() => &LOOKS_FOR_TAKEN,
                // No answer was lost: it may well be somebody else's.
                Meaning::Taken => &LOOKS[..1],
                _ => return Err(error.into()),
            };
            refusals += usize::from(error.meaning == Meaning::Taken);
            for wait in looks {
                self.pause(action, *wait).await?;
                if let Some(found) = look().await? {
                    tracing::info!(action, "it was done, although no answer came");
                    return Ok(found);
                }
            }
            let is_hopeless = refusals > 1 || error.meaning == Meaning::Unreadable;
            if is_hopeless || tries >= self.context.patience.tries {
                return Err(error.after(tries).into());
            }
        }
    }

    /// Makes a call that removes something. What is not there any more is removed.
    pub async fn remove<A, E, F>(
        &self,
        action: &'static str,
        request: impl Fn(&C) -> F,
    ) -> Result<(), ApiError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<A, SdkError<E, HttpResponse>>>,
    {
        let again = |error: &ApiError, tried: &Tried| match error.meaning {
            Meaning::Unsure => true,
            Meaning::TooSoon => tried.for_less_than(UNTIL_FREE),
            Meaning::Denied => tried.tries < DENIALS,
            Meaning::NotFound => {
                let is_gone = tried.may_be_done || !tried.for_less_than(UNTIL_GONE);
                self.is_about_new(error) && !is_gone
            }
            _ => false,
        };
        match self.with_retries(action, request, again).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether what the API does not know was just made.
    fn is_about_new(&self, error: &ApiError) -> bool {
        self.new.iter().any(|new| error.does_not_find(new))
    }

    /// Tries until it works, or fails with an error that `again` does not want another try for.
    /// Throttling, expired credentials and failed connections are dealt with here: nothing was done
    /// then. A long wait is said.
    async fn with_retries<A, E, F>(
        &self,
        action: &'static str,
        request: impl Fn(&C) -> F,
        again: impl Fn(&ApiError, &Tried) -> bool,
    ) -> Result<A, ApiError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<A, SdkError<E, HttpResponse>>>,
    {
        let why = Mutex::new(None);
        let mut work = pin!(self.retry_loop(action, request, again, &why));
        let mut silence = if is_look(action) { retry::SILENT_WAIT } else { SILENT_CHANGE };
        loop {
            match tokio::time::timeout(silence, &mut work).await {
                Ok(result) => return result,
                Err(_) => self.say_wait(action, &why),
            }
            silence = SILENT_CHANGE;
        }
    }

    /// Says who is waited for, and why the last try failed, if one did.
    fn say_wait(&self, action: &'static str, why: &Mutex<Option<String>>) {
        if !self.context.pace.is_to_say(Instant::now()) {
            return;
        }
        let host = &self.context.host;
        let why = why.lock().unwrap_or_else(PoisonError::into_inner);
        self.context.environment.say(&match &*why {
            Some(why) => format!("Waiting for {host}: {why}"),
            None => format!("Waiting for {host}: no answer to {action} yet"),
        });
    }

    async fn retry_loop<A, E, F>(
        &self,
        action: &'static str,
        request: impl Fn(&C) -> F,
        again: impl Fn(&ApiError, &Tried) -> bool,
        why: &Mutex<Option<String>>,
    ) -> Result<A, ApiError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<A, SdkError<E, HttpResponse>>>,
    {
        let (mut tried, mut waits) = (Tried::nothing(), WAITS.jittered());
        loop {
            // The SDK's futures are deep and large.
            let attempt = Box::pin(request(&self.client));
            let error = match self.once(action, attempt).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tried.count(error.meaning);
            let wait = waits.next().unwrap_or(WAITS.longest);
            let goes_on = match error.meaning {
                Meaning::Throttled | Meaning::Unreachable => true,
                Meaning::Expired => tried.renewals <= RENEWALS,
                _ => again(&error, &tried),
            };
            if !goes_on || !self.context.patience.allows(error.meaning, &tried, wait) {
                return Err(error.after(tried.tries));
            }
            *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            tracing::debug!(action, tries = tried.tries, %error, "the call is made again");
            if error.meaning == Meaning::Expired {
                self.context.expired.say();
            }
            self.pause(action, wait).await?;
        }
    }

    /// One try, when it has its turn.
    async fn once<A, E>(
        &self,
        action: &'static str,
        attempt: impl Future<Output = Result<A, SdkError<E, HttpResponse>>>,
    ) -> Result<A, ApiError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let CallContext { pace, cancel, .. } = &self.context;
        self.pause(action, pace.turn(action, Instant::now())).await?;
        let answer = match is_look(action) {
            true => or_cancelled(cancel, attempt).await,
            false => Ok(attempt.await),
        };
        let answer = answer.map_err(|_cancelled| ApiError::interrupted(action))?;
        let answer = answer.map_err(|error| ApiError::new(action, &self.context.host, &error));
        match &answer {
            Err(error) if error.meaning == Meaning::Throttled => {
                pace.refused(action, Instant::now());
            }
            _ => pace.answered(action, Instant::now()),
        }
        answer
    }

    async fn pause(&self, action: &'static str, wait: Duration) -> Result<(), ApiError> {
        if wait.is_zero() {
            return Ok(());
        }
        let waited = retry::sleep(&self.context.cancel, wait).await;
        waited.map_err(|_cancelled| ApiError::interrupted(action))
    }
}

/// Whether a call changes nothing.
fn is_look(action: &str) -> bool {
    ["Describe", "Get", "List"].iter().any(|verb| action.starts_with(verb))
}

/// Whether a call that is made twice may make two things.
fn makes_something(action: &str) -> bool {
    const MAKE: [&str; 5] = ["Copy", "Create", "Import", "Register", "Run"];
    action != "CreateTags" && MAKE.iter().any(|verb| action.starts_with(verb))
}

#[cfg(test)]
mod tests;
