//! What a template may ask of a machine, but its author rarely wants.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::builder::amazon::machine::run::{LARGEST_USER_DATA, RunOptions, Switch, Tokens};
use crate::builder::amazon::machine::settings::MachineOptions;
use crate::component::Check;
use crate::diagnostic::code;
use crate::secret::{Redactor, access_key_ids};

impl MachineOptions {
    /// Warns of what is rarely wanted.
    pub(crate) fn lint(&self, check: &mut Check<'_>) {
        let run = &self.run;
        open_ingress(run, check);
        self.source.lint(check);
        imdsv1_allowed(run, check);
        user_data_secret(run, check);
    }
}

/// A security group that lets the whole world in.
fn open_ingress(run: &RunOptions, check: &mut Check<'_>) {
    const OPTION: &str = "temporary_security_group_source_cidrs";
    let cidrs = run.temporary_security_group_source_cidrs.iter().enumerate();
    for (at, _) in cidrs.filter(|(_, cidr)| cidr.trim().ends_with("/0")) {
        let summary = "everyone may connect to the machine while it is built";
        let found = check.warn(code::OPEN_INGRESS, &format!("{OPTION}.{at}"), summary);
        found.cause = Some("the whole internet".to_owned());
        found.help = Some(format!(
            "remove `{OPTION}`: then only this machine's own address is let in; or name the network \
             that builds run in"
        ));
    }
}

/// A machine that gives its credentials to any request. imgbake asks for tokens unless the template
/// says otherwise.
fn imdsv1_allowed(run: &RunOptions, check: &mut Check<'_>) {
    let options = &run.metadata_options;
    if options.http_tokens != Tokens::Optional || options.http_endpoint == Switch::Disabled {
        return;
    }
    let summary = "the machine's metadata service answers without a token (IMDSv1)";
    let found = check.warn(code::IMDSV1_ALLOWED, "metadata_options.http_tokens", summary);
    found.cause = Some("no token needed".to_owned());
    found.notes.push(
        "a request that a program on the machine can be tricked into gets its credentials"
            .to_owned(),
    );
    found.help = Some("remove it, or write \"required\": that is the default".to_owned());
}

/// User data that holds a secret.
fn user_data_secret(run: &RunOptions, check: &mut Check<'_>) {
    let (option, text) = match &run.user_data_file {
        None => ("user_data", run.user_data.clone()),
        Some(path) => {
            let environment = &check.facts.scope.environment;
            let file = environment.cwd.join(path);
            // A file that cannot be read is for the check of the options to complain about.
            let Ok(text) = environment.reach.read_text(&file, LARGEST_USER_DATA) else { return };
            ("user_data_file", text)
        }
    };
    let decoded = BASE64.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(what) = secret_in(&decoded.unwrap_or(text), check.redactor) else { return };
    let summary = format!("the machine's user data holds {what}");
    let found = check.warn(code::USER_DATA_SECRET, option, summary);
    found.cause = Some("readable for every program on the machine".to_owned());
    found.notes.push("and for whoever may describe instances of the account".to_owned());
    found.help = Some(
        "hand it to a provisioner as a sensitive variable, or have the machine fetch it with its \
         instance profile"
            .to_owned(),
    );
}

/// Which secret `text` holds, if any.
fn secret_in(text: &str, redactor: &Redactor) -> Option<&'static str> {
    if text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    if access_key_ids(text).next().is_some() || text.contains("AWS_SECRET_ACCESS_KEY=") {
        return Some("an AWS key");
    }
    (redactor.redact(text) != text).then_some("a sensitive value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_what_only_looks_like_them() {
        let redactor = Redactor::default();
        redactor.register("hunter2");
        let found = |text| secret_in(text, &redactor);
        assert_eq!(found("#!/bin/sh\nssh-keygen -t ed25519\n"), None);
        assert_eq!(found("#cloud-config\nssh_authorized_keys: [ssh-ed25519 AAAA]"), None);
        assert_eq!(found("-----BEGIN OPENSSH PRIVATE KEY-----\n"), Some("a private key"));
        assert_eq!(found("aws_access_key_id = AKIAIOSFODNN7EXAMPLE"), Some("an AWS key"));
        assert_eq!(found("echo hunter2"), Some("a sensitive value"));
    }
}
