//! An SSH server of ours on loopback: whoever logs in there works on the machine over our connection,
//! which needs neither our key nor our way.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Session,
    VerifiedPublicKey, run_stream,
};
use russh::{Channel, MethodKind, MethodSet};
use tokio::net::TcpStream;

use super::access::private_text;
use crate::communicator::key::{self, KeyType, TemporaryKey};
use crate::communicator::listening::{LOOPBACK, listen};
use crate::component::{Access, Sharing};

/// How long a program must wait after a login that is refused.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// Where the sessions lead of those who log in.
#[async_trait]
pub(in crate::communicator) trait Upstream: Send + Sync + 'static {
    /// Serves `theirs` until one side has ended it; `reply` says whether it is taken at all.
    async fn session(&self, theirs: Channel<Msg>, reply: ChannelOpenHandle, asked: SessionRequest);
}

/// What belongs to a session beside its channel.
pub(in crate::communicator) struct SessionRequest {
    /// How its requests are answered.
    pub(in crate::communicator) replies: Handle,
    /// The command of the machine that speaks SFTP, if somebody said it.
    pub(in crate::communicator) sftp_command: Option<String>,
}

/// Starts a server for who logs in as `user`.
pub(in crate::communicator) async fn open(
    far: Arc<dyn Upstream>,
    user: &str,
    sharing: &Sharing,
) -> anyhow::Result<Access> {
    let host_key = match &sharing.host_key {
        Some(given) => key::parse(given.expose()).context("the proxy's host key cannot be used")?,
        None => new_key(sharing)?,
    };
    let (authorized, own) = match &sharing.authorized_key {
        Some(line) => {
            let context = "the public key that may log in to the proxy cannot be read";
            (PublicKey::from_openssh(line.trim()).context(context)?, None)
        }
        None => {
            let own = new_key(sharing)?;
            (own.public_key().clone(), Some(private_text(&own)?))
        }
    };
    let host_keys = vec![host_key.public_key().to_openssh()?];
    let user = sharing.user.clone().unwrap_or_else(|| user.to_owned());
    let door = ProxySettings {
        far,
        config: Arc::new(config(host_key)),
        user: user.clone(),
        authorized,
        sftp_command: sharing.sftp_command.clone(),
    };
    let (port, leads) = listen(Arc::new(door), sharing.port, serve).await?;
    Ok(Access {
        host: LOOPBACK.to_owned(),
        port,
        user,
        key: own,
        certificate: None,
        host_keys,
        leads: Some(leads),
    })
}

fn new_key(sharing: &Sharing) -> anyhow::Result<PrivateKey> {
    let (kind, bits) = if sharing.rsa { (KeyType::Rsa, 2048) } else { (KeyType::Ecdsa, 384) };
    Ok(TemporaryKey::generate(kind, Some(bits), "imgbake")?.key().clone())
}

fn config(host_key: PrivateKey) -> Config {
    Config {
        keys: vec![host_key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: AFTER_REFUSAL,
        // Every client begins with a login that asks which ways there are.
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    }
}

/// Who is let in, and where that leads.
struct ProxySettings {
    far: Arc<dyn Upstream>,
    config: Arc<Config>,
    user: String,
    authorized: PublicKey,
    sftp_command: Option<String>,
}

/// Serves one program, until it hangs up or nobody waits for it any more.
async fn serve(door: Arc<ProxySettings>, stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let _hang_up = HangUp(stream.try_clone()?);
    let stream = TcpStream::from_std(stream)?;
    run_stream(door.config.clone(), stream, ProxyHandler(door.clone())).await?.await?;
    Ok(())
}

/// The library serves on, in a task of its own, until the connection ends.
struct HangUp(std::net::TcpStream);

impl Drop for HangUp {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Answers one program.
struct ProxyHandler(Arc<ProxySettings>);

impl ProxyHandler {
    fn judge(&self, user: &str, key: &PublicKey) -> Auth {
        let known = user == self.0.user && key.key_data() == self.0.authorized.key_data();
        if known { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for ProxyHandler {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let far = self.0.far.clone();
        let asked =
            SessionRequest { replies: session.handle(), sftp_command: self.0.sftp_command.clone() };
        // The session cannot go on until this returns: the channel on the other side is opened
        // elsewhere.
        tokio::spawn(async move { far.session(channel, reply, asked).await });
        Ok(())
    }
}
