//! The password that a machine with Windows makes for itself, and seals for its key pair.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::wire::{Answer, Call};

/// How often there is no password yet.
const TOO_EARLY: usize = 2;

pub(super) struct Sealed {
    password: &'static str,
    asked: AtomicUsize,
    key: Mutex<Option<String>>,
}

impl Sealed {
    pub fn new(password: &'static str) -> Self {
        Self { password, asked: AtomicUsize::default(), key: Mutex::default() }
    }

    /// Keeps the private key that moto has made.
    pub fn hear(&self, call: &Call, answer: &Answer) {
        let material = answer.text.split_once("<keyMaterial>");
        if let Some((_, rest)) = material.filter(|_| call.action == "CreateKeyPair") {
            let pem = rest.split("</keyMaterial>").next().unwrap_or_default();
            *self.key.lock().unwrap() = Some(pem.replace("&#xD;", "").trim().to_owned());
        }
    }

    /// What EC2 has of it.
    pub fn answer(&self, call: &Call) -> Option<Answer> {
        if call.action != "GetPasswordData" {
            return None;
        }
        let is_early = self.asked.fetch_add(1, Ordering::Relaxed) < TOO_EARLY;
        let data = if is_early { String::new() } else { self.seal() };
        let text = format!(
            "<GetPasswordDataResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
             <instanceId>{}</instanceId><passwordData>{data}</passwordData></GetPasswordDataResponse>",
            call.get("InstanceId").unwrap_or_default()
        );
        Some(Answer { status: 200, text, headers: Vec::new() })
    }

    fn seal(&self) -> String {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key.pem");
        let pem = self.key.lock().unwrap().clone().expect("a key pair");
        std::fs::write(&key, pem + "\n").unwrap();
        let mut openssl = Command::new("openssl")
            .args(["pkeyutl", "-encrypt", "-pkeyopt", "rsa_padding_mode:pkcs1", "-inkey"])
            .arg(&key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(self.password.as_bytes()).unwrap();
        let sealed = openssl.wait_with_output().unwrap();
        assert!(sealed.status.success(), "openssl");
        // EC2 breaks it into lines.
        format!("\r\n{}\r\n", BASE64.encode(sealed.stdout))
    }
}
