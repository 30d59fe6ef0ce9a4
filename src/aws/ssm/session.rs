//! A session with an instance, as the API of Systems Manager knows it.

use std::collections::HashMap;

use aws_sdk_ssm::types::{SessionFilter, SessionFilterKey, SessionState};

use crate::aws::call::Ssm;
use crate::aws::error::{ApiError, Meaning};
use crate::journal::Thing;
use crate::secret::{Redactor, Secret};

/// What a session is for: one TCP port of the instance. Policies name this document.
pub const DOCUMENT: &str = "AWS-StartPortForwardingSession";

/// A session that was started.
#[derive(Clone, Debug)]
pub(super) struct Session {
    ssm: Ssm,
    redactor: Redactor,
    /// Its id.
    pub(super) id: String,
    /// How to get in.
    pub(super) door: ChannelAccess,
}

/// Where a session's data channel is, and what opens it, once.
#[derive(Clone, Debug)]
pub(super) struct ChannelAccess {
    pub(super) url: String,
    pub(super) token: Secret,
}

impl ChannelAccess {
    fn new(url: Option<String>, token: Option<String>, redactor: &Redactor) -> Option<Self> {
        let (url, token) = (url?, token.filter(|token| !token.is_empty())?);
        redactor.register(&token);
        Some(Self { url, token: Secret::new(token) })
    }
}

/// What became of asking for a session.
pub(super) enum Started {
    /// It is there.
    Yes(Box<Session>),
    /// The instance's agent is not connected yet.
    NotYet(String),
}

/// Asks for `thing`: a session with `instance`, to its `port`. `reason` is kept with it.
pub(super) async fn start(
    ssm: &Ssm,
    redactor: &Redactor,
    thing: &Thing,
    instance: &str,
    port: u16,
    reason: &str,
) -> anyhow::Result<Started> {
    let parameters = HashMap::from([
        ("portNumber".to_owned(), vec![port.to_string()]),
        // Nobody listens there, but the document wants to know.
        ("localPortNumber".to_owned(), vec!["0".to_owned()]),
    ]);
    let request = ssm
        .start_session()
        .target(instance)
        .document_name(DOCUMENT)
        .reason(reason)
        .set_parameters(Some(parameters));
    let opened = async |id: String| {
        let door = resume(ssm, redactor, &id).await?;
        anyhow::Ok(door.map(|door| (id, door)))
    };
    let look = || async {
        match find(ssm, instance, reason, None).await {
            Ok(Some(id)) => opened(id).await,
            Ok(None) => Ok(None),
            // One that may not be looked for ends with its instance.
            Err(error) if is(&error, Meaning::Denied) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let made = ssm.make(
        thing,
        "StartSession",
        |_| request.clone().send(),
        |answer| {
            let door = ChannelAccess::new(answer.stream_url, answer.token_value, redactor)?;
            Some((answer.session_id?, door))
        },
        look,
    );
    match made.await {
        Ok((id, door)) => {
            let (ssm, redactor) = (ssm.clone(), redactor.clone());
            Ok(Started::Yes(Box::new(Session { ssm, redactor, id, door })))
        }
        Err(error) if is(&error, Meaning::NotFound) => Ok(Started::NotYet(error.to_string())),
        Err(error) => Err(error),
    }
}

fn is(error: &anyhow::Error, meaning: Meaning) -> bool {
    error.downcast_ref().is_some_and(|error: &ApiError| error.meaning == meaning)
}

impl Session {
    /// A new way in, after the connection was lost; `None` if the session is over.
    pub(super) async fn resume(&self) -> Result<Option<ChannelAccess>, ApiError> {
        resume(&self.ssm, &self.redactor, &self.id).await
    }
}

async fn resume(
    ssm: &Ssm,
    redactor: &Redactor,
    id: &str,
) -> Result<Option<ChannelAccess>, ApiError> {
    let request = ssm.resume_session().session_id(id);
    match ssm.call("ResumeSession", |_| request.clone().send()).await {
        Ok(answer) => Ok(ChannelAccess::new(answer.stream_url, answer.token_value, redactor)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ends a session; it is no error if it has ended already.
pub async fn terminate(ssm: &Ssm, id: &str) -> Result<(), ApiError> {
    ssm.remove("TerminateSession", |ssm| ssm.terminate_session().session_id(id).send()).await
}

/// The id of the session with `instance` that was started for `reason`; if `id` is known, only if
/// it is that one.
pub async fn find(
    ssm: &Ssm,
    instance: &str,
    reason: &str,
    id: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let (key, value) = match id {
        Some(id) => (SessionFilterKey::SessionId, id),
        None => (SessionFilterKey::TargetId, instance),
    };
    let wanted = SessionFilter::builder().key(key).value(value).build()?;
    let request = ssm.describe_sessions().state(SessionState::Active).filters(wanted);
    let found = ssm.call("DescribeSessions", |_| request.clone().send()).await?;
    let ours = found.sessions().iter().filter(|session| session.reason() == Some(reason));
    Ok(ours.filter_map(|session| session.session_id.clone()).next())
}
