//! Passwords and questions. OpenSSH's server asks the system for passwords; so that no user of the
//! system is needed, another server asks here.

use std::sync::Arc;

use imgbake::communicator::SshOptions;
use imgbake::component::{Entrance, Sharing};
use imgbake::config::GoDuration;
use imgbake::secret::Secret;
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, Config, Handler, Response, Session, run_stream};
use russh::{MethodKind, MethodSet};

use super::{Build, soon};

/// Lets `alice` in with her password, in the way that it was made for.
struct Gate {
    way: MethodKind,
    asked: bool,
}

impl Gate {
    fn refuse(&self) -> Auth {
        let methods = MethodSet::from([self.way].as_slice());
        Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }
    }
}

impl Handler for Gate {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let fine = self.way == MethodKind::Password && (user, password) == ("alice", "open sesame");
        Ok(if fine { Auth::Accept } else { self.refuse() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        if self.way != MethodKind::KeyboardInteractive || user != "alice" {
            return Ok(self.refuse());
        }
        let Some(mut response) = response else {
            self.asked = true;
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false), ("Again: ".into(), false)].into(),
            });
        };
        let mut fine = self.asked;
        for _ in 0..2 {
            fine &= response.next().is_some_and(|answer| &*answer == b"open sesame");
        }
        Ok(if fine { Auth::Accept } else { self.refuse() })
    }

    async fn channel_open_session(
        &mut self,
        _: russh::Channel<russh::server::Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }
}

/// The port of a server that lets in by `way`.
async fn serve(way: MethodKind) -> u16 {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let config = Config {
        keys: vec![key],
        methods: MethodSet::from([way].as_slice()),
        auth_rejection_time: std::time::Duration::ZERO,
        ..Config::default()
    };
    let config = Arc::new(config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = run_stream(config, stream, Gate { way, asked: false }).await {
                    let _ = session.await;
                }
            });
        }
    });
    port
}

fn options(port: u16, password: &str) -> SshOptions {
    SshOptions {
        ssh_port: port,
        ssh_username: "alice".into(),
        ssh_password: Some(Secret::new(password)),
        ssh_timeout: GoDuration::from_secs(30),
        ssh_handshake_attempts: 1,
        ..SshOptions::default()
    }
}

#[tokio::test]
async fn a_password_logs_in_and_answers_every_question() {
    for way in [MethodKind::Password, MethodKind::KeyboardInteractive] {
        let port = serve(way).await;
        soon(Build::new().connect(&options(port, "open sesame"))).await.unwrap();
        let refused = soon(Build::new().connect(&options(port, "wrong"))).await.err().unwrap();
        let text = format!("{refused:#}");
        assert!(text.contains("user `alice` was not let in"), "{text}");
        assert!(!text.contains("wrong"), "{text}");
    }
}

#[tokio::test]
async fn a_password_is_told_to_no_other_program() {
    let port = serve(MethodKind::Password).await;
    let connection = soon(Build::new().connect(&options(port, "open sesame"))).await.unwrap();
    assert!(connection.access(Entrance::OwnLogin).await.unwrap().is_none());
    let access =
        connection.access(Entrance::OurConnection(&Sharing::default())).await.unwrap().unwrap();
    assert_eq!((access.host.as_str(), access.user.as_str()), ("127.0.0.1", "alice"));
    assert!(access.key.unwrap().expose().contains("PRIVATE KEY") && access.port != port);
}
