//! Logging in: which ways are tried, in which order, and what the server said to each.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse, Prompt};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};

use super::handler::ClientHandler;
use super::host_key::describe;
use crate::event::Ui;
use crate::secret::Secret;

/// One way to log in.
#[derive(Clone, Debug)]
pub(super) enum Method {
    /// Each key of the agent that listens at this socket.
    Agent(PathBuf),
    /// A key; the text says where it is from.
    Key(String, Arc<PrivateKey>),
    /// A key and what an authority says of it.
    Certificate(String, Arc<PrivateKey>, Box<Certificate>),
    /// A password.
    Password(Secret),
    /// A password as the answer to every question.
    Questions(Secret),
    /// The person at the terminal answers the questions.
    Ask(Ui),
}

/// What the server said to every way that was tried.
#[derive(Debug, thiserror::Error)]
#[error("user `{user}` was not let in: {}", tried.join("; "))]
pub(super) struct Refused {
    user: String,
    tried: Vec<String>,
    /// Whether the server takes none of the ways that we have.
    pub(super) is_final: bool,
}

impl Refused {
    /// The same, with another `cause`.
    pub(super) fn because(mut self, cause: String) -> Self {
        self.tried.push(cause);
        self
    }
}

/// Why logging in ended without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the connection was lost while logging in: {0}")]
    Lost(#[from] russh::Error),
}

impl Method {
    fn kind(&self) -> MethodKind {
        match self {
            Self::Agent(_) | Self::Key(..) | Self::Certificate(..) => MethodKind::PublicKey,
            Self::Password(_) => MethodKind::Password,
            Self::Questions(_) | Self::Ask(_) => MethodKind::KeyboardInteractive,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(socket) => write!(f, "agent {}", socket.display()),
            Self::Key(origin, key) => write!(f, "{origin} ({})", describe(key.public_key())),
            Self::Certificate(origin, _, certificate) => {
                write!(f, "{origin} with certificate \"{}\"", certificate.key_id())
            }
            Self::Password(_) => f.write_str("password"),
            Self::Questions(_) => f.write_str("keyboard-interactive with the password"),
            Self::Ask(_) => f.write_str("keyboard-interactive"),
        }
    }
}

/// What the server said to one way.
enum Answer {
    Accepted,
    /// Not this way, or not this way alone. It goes on with these.
    Refused {
        partly: bool,
        offers: MethodSet,
    },
    /// The way could not be gone.
    Failed(String),
}

impl From<AuthResult> for Answer {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::Accepted,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Self::Refused { partly: partial_success, offers: remaining_methods }
            }
        }
    }
}

/// Tries all `methods` in order, until the server lets `user` in: those that it took.
pub(super) async fn log_in(
    handle: &mut Handle<ClientHandler>,
    user: &str,
    methods: &[Method],
) -> Result<Vec<Method>, AuthError> {
    let mut taken = Vec::new();
    let mut attempt = Attempt { handle, user, offers: None, tried: Vec::new() };
    let mut left: Vec<&Method> = methods.iter().collect();
    while !left.is_empty() {
        // After a partial success the server wants another way, maybe one that it refused before.
        let mut accepted_partly = None;
        for (index, method) in left.iter().enumerate() {
            match attempt.go(method).await? {
                Verdict::In => {
                    taken.push(Method::clone(method));
                    return Ok(taken);
                }
                Verdict::Partly => {
                    accepted_partly = Some(index);
                    break;
                }
                Verdict::Refused => {}
            }
        }
        match accepted_partly {
            Some(index) => taken.push(left.remove(index).clone()),
            None => break,
        }
    }
    if attempt.tried.is_empty() {
        attempt.tried.push("there is no key, password or agent to try".into());
    }
    let is_offered = |offers: &MethodSet| methods.iter().any(|way| offers.contains(&way.kind()));
    let is_final = methods.is_empty() || attempt.offers.as_ref().is_some_and(|o| !is_offered(o));
    Err(Refused { user: user.to_owned(), tried: attempt.tried, is_final }.into())
}

enum Verdict {
    In,
    Partly,
    Refused,
}

struct Attempt<'a> {
    handle: &'a mut Handle<ClientHandler>,
    user: &'a str,
    /// What the server said it offers, since it first said so.
    offers: Option<MethodSet>,
    tried: Vec<String>,
}

impl Attempt<'_> {
    async fn go(&mut self, method: &Method) -> Result<Verdict, AuthError> {
        if let Some(offers) = &self.offers
            && !offers.contains(&method.kind())
        {
            let offered: Vec<&str> = offers.iter().map(Into::into).collect();
            let offered = offered.join(", ");
            self.tried.push(format!("{method}: the server offers only {offered}"));
            return Ok(Verdict::Refused);
        }
        let answer = match method {
            Method::Agent(socket) => self.agent(socket).await?,
            Method::Key(_, key) => self.key(key).await?,
            Method::Certificate(_, key, certificate) => {
                let certificate = Certificate::clone(certificate);
                let key = Arc::clone(key);
                self.handle.authenticate_openssh_cert(self.user, key, certificate).await?.into()
            }
            Method::Password(password) => {
                self.handle.authenticate_password(self.user, password.expose()).await?.into()
            }
            Method::Questions(password) => self.questions(&Responder::Constant(password)).await?,
            Method::Ask(ui) => self.questions(&Responder::Person(ui)).await?,
        };
        self.judge(method, answer)
    }

    fn judge(&mut self, method: &Method, answer: Answer) -> Result<Verdict, AuthError> {
        let (text, step) = match answer {
            Answer::Accepted => return Ok(Verdict::In),
            Answer::Failed(cause) => (cause, Verdict::Refused),
            // This is how a closed connection shows: a server always offers something.
            Answer::Refused { offers, .. } if offers.is_empty() || self.handle.is_closed() => {
                let tried = self.tried.iter().cloned().chain([format!("{method}: no answer")]);
                let cause = "the server closed the connection, maybe after too many attempts";
                let tried = tried.chain([cause.to_owned()]).collect();
                let user = self.user.to_owned();
                return Err(Refused { user, tried, is_final: false }.into());
            }
            Answer::Refused { partly, offers } => {
                self.offers = Some(offers);
                if partly {
                    ("accepted, but not enough".into(), Verdict::Partly)
                } else {
                    ("refused".into(), Verdict::Refused)
                }
            }
        };
        self.tried.push(format!("{method}: {text}"));
        Ok(step)
    }

    async fn key(&mut self, key: &Arc<PrivateKey>) -> Result<Answer, AuthError> {
        let mut answer = Answer::Failed("no signature algorithm in common".into());
        for hash in self.hashes(key.algorithm().is_rsa()).await? {
            let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
            answer = self.handle.authenticate_publickey(self.user, key).await?.into();
            if matches!(&answer, Answer::Accepted | Answer::Refused { partly: true, .. }) {
                break;
            }
        }
        Ok(answer)
    }

    /// The hashes to sign with, best first. What a server announces is not always what it accepts:
    /// SHA-1 comes last, for those that take nothing better.
    async fn hashes(&mut self, is_rsa: bool) -> Result<Vec<Option<HashAlg>>, AuthError> {
        if !is_rsa {
            return Ok(vec![None]);
        }
        let announced = self.handle.best_supported_rsa_hash().await?;
        Ok(match announced.unwrap_or(Some(HashAlg::Sha256)) {
            Some(best) => vec![Some(best), None],
            None => vec![None],
        })
    }

    async fn agent(&mut self, socket: &Path) -> Result<Answer, AuthError> {
        let mut agent = match AgentClient::connect_uds(socket).await {
            Ok(agent) => agent,
            Err(error) => return Ok(Answer::Failed(format!("cannot be reached: {error}"))),
        };
        let identities = match agent.request_identities().await {
            Ok(identities) => identities,
            Err(error) => return Ok(Answer::Failed(format!("tells no keys: {error}"))),
        };
        let mut answer = Answer::Failed("has no keys".into());
        for identity in identities {
            answer = self.agent_key(&mut agent, &identity).await?;
            match &answer {
                Answer::Accepted | Answer::Refused { partly: true, .. } => break,
                Answer::Refused { offers, .. } if offers.is_empty() => break,
                _ => {}
            }
        }
        Ok(answer)
    }

    async fn agent_key(
        &mut self,
        agent: &mut AgentClient<tokio::net::UnixStream>,
        identity: &AgentIdentity,
    ) -> Result<Answer, AuthError> {
        let is_rsa = identity.public_key().algorithm().is_rsa();
        let hash = self.hashes(is_rsa).await?.first().copied().flatten();
        let user = self.user.to_owned();
        let result = match identity.clone() {
            AgentIdentity::PublicKey { key, .. } => {
                self.handle.authenticate_publickey_with(user, key, hash, agent).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                self.handle.authenticate_certificate_with(user, certificate, hash, agent).await
            }
        };
        Ok(result.map_or_else(|error| Answer::Failed(error.to_string()), Answer::from))
    }

    async fn questions(&mut self, asked: &Responder<'_>) -> Result<Answer, AuthError> {
        let mut response =
            self.handle.authenticate_keyboard_interactive_start(self.user, None).await?;
        loop {
            let prompts = match response {
                KeyboardInteractiveAuthResponse::Success => return Ok(Answer::Accepted),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    let (partly, offers) = (partial_success, remaining_methods);
                    return Ok(Answer::Refused { partly, offers });
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let mut answers = Vec::with_capacity(prompts.len());
            for prompt in &prompts {
                answers.push(asked.answer(prompt).await);
            }
            response = self.handle.authenticate_keyboard_interactive_respond(answers).await?;
        }
    }
}

/// Who answers a server's questions.
enum Responder<'a> {
    Constant(&'a Secret),
    Person(&'a Ui),
}

impl Responder<'_> {
    async fn answer(&self, prompt: &Prompt) -> String {
        match self {
            Self::Constant(password) => password.expose().to_owned(),
            Self::Person(ui) => {
                let question = crate::guest::harmless(prompt.prompt.as_bytes());
                ui.ask(question).await.unwrap_or_default()
            }
        }
    }
}
