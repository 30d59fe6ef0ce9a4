//! The inputs about the role that is taken on.

use std::time::Duration;

use super::{Reader, RoleInputs, Texts};
use crate::config::GoDuration;

impl Reader {
    /// Who takes it on, for whom and for how long.
    pub(super) fn role(&mut self, texts: &Texts) -> Option<RoleInputs> {
        let duration = self.role_duration(texts.role_duration.as_deref());
        let session_name = texts.role_session_name.as_deref().map(str::trim);
        if session_name.is_some_and(|name| !is_session_name(name)) {
            let rule = "2 to 64 letters, digits and characters of `_+=,.@-`";
            self.refuse("role-session-name", format!("it must be {rule}"));
        }
        let chaining = self.boolean("role-chaining", texts.role_chaining.as_deref());
        let Some(arn) = texts.role_to_assume.as_deref().map(str::trim) else {
            let given = [
                ("role-session-name", texts.role_session_name.is_some()),
                ("role-duration", texts.role_duration.is_some()),
                ("audience", texts.audience.is_some()),
                ("role-chaining", chaining),
            ];
            for (name, _) in given.into_iter().filter(|(_, given)| *given) {
                self.refuse(name, "it is about `role-to-assume`, which is not given");
            }
            return None;
        };
        if !is_role(arn) {
            self.refuse(
                "role-to-assume",
                "it must be the ARN of a role: `arn:aws:iam::123456789012:role/NAME`",
            );
        }
        if chaining && texts.audience.is_some() {
            self.refuse("audience", "no identity token is asked for with `role-chaining`");
        }
        Some(RoleInputs {
            arn: arn.to_owned(),
            session_name: session_name.map(str::to_owned),
            duration,
            audience: texts.audience.as_deref().map(|audience| audience.trim().to_owned()),
            chaining,
        })
    }

    /// In seconds, as other actions have it, or with a unit.
    fn role_duration(&mut self, text: Option<&str>) -> Option<Duration> {
        let text = text?.trim();
        let duration = match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => GoDuration::parse(text).ok().map(GoDuration::get),
        };
        let allowed = Duration::from_secs(15 * 60)..=Duration::from_secs(12 * 3600);
        let duration = duration.filter(|duration| allowed.contains(duration));
        if duration.is_none() {
            let rule = "seconds between 900 and 43200, or a length of time such as `1h`";
            self.refuse("role-duration", format!("it must be {rule}"));
        }
        duration
    }
}

fn is_session_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    (2..=64).contains(&name.len()) && name.chars().all(allowed)
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [scheme, partition, service, region, account, role] = parts.as_slice() else {
        return false;
    };
    let is_account = account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit());
    let fixed = (*scheme, *service, *region) == ("arn", "iam", "");
    let name = role.strip_prefix("role/").is_some_and(|name| !name.is_empty());
    fixed && partition.starts_with("aws") && is_account && name
}
