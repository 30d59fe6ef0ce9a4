//! What AWS minds and moto does not: a call with the token of another one is that one, two images of
//! an account do not have one name, copies have the tags that they are made with and a source, and what
//! is gone can be removed again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::registered;
use super::wire::{Answer, Call, Upstream};

/// The copies that were made through any proxy: what each is a copy of, and from where.
static SOURCES: Mutex<Vec<(String, String, String)>> = Mutex::new(Vec::new());

/// `answer` with the sources of copies, which moto does not say.
fn with_sources(mut answer: Answer) -> Answer {
    for (copy, source, region) in &*SOURCES.lock().unwrap() {
        let id = format!("<imageId>{copy}</imageId>");
        let more = format!(
            "{id}<sourceImageId>{source}</sourceImageId><sourceImageRegion>{region}</sourceImageRegion>"
        );
        answer.text = answer.text.replace(&id, &more);
    }
    answer
}

/// The answer to a token's first call, and what that call asked for.
type Slot = Arc<tokio::sync::Mutex<Option<(Vec<(String, String)>, Answer)>>>;

/// What has no good word from moto where its thing is gone: the call, moto's status, AWS's code.
const GONE: [(&str, u16, &str); 2] = [
    ("RemoveRoleFromInstanceProfile", 500, "NoSuchEntity"),
    ("DeleteLaunchTemplate", 400, "InvalidLaunchTemplateName.NotFoundException"),
];

#[derive(Default)]
pub(super) struct Manners {
    tokens: Mutex<HashMap<(String, String), Slot>>,
    /// Held while it is looked whether a name is free, until it is taken.
    naming: tokio::sync::Mutex<()>,
}

impl Manners {
    pub async fn answer(&self, call: &Call, upstream: &Upstream) -> Option<Answer> {
        let Some(token) = call.get("ClientToken") else {
            let answer = self.named(call, upstream).await?;
            return Some(match call.action.as_str() {
                "DescribeImages" => with_sources(answer),
                _ => answer,
            });
        };
        let key = (call.action.clone(), token.to_owned());
        let slot = self.tokens.lock().unwrap().entry(key).or_default().clone();
        let mut known = slot.lock().await;
        if let Some((parameters, answer)) = &*known {
            return Some(match *parameters == call.parameters {
                true => answer.clone(),
                false => Answer::error(call, "IdempotentParameterMismatch", "another request"),
            });
        }
        let answer = self.named(call, upstream).await?;
        *known = (answer.status == 200).then(|| (call.parameters.clone(), answer.clone()));
        Some(answer)
    }

    async fn named(&self, call: &Call, upstream: &Upstream) -> Option<Answer> {
        if let Some((_, status, code)) = GONE.iter().find(|(action, ..)| *action == call.action) {
            let answer = upstream.ask(call).await?;
            let is_gone = answer.status == *status;
            return Some(if is_gone { Answer::error(call, code, "not there") } else { answer });
        }
        if call.action == "ModifyInstanceAttribute"
            && let Some((id, data)) = call.get("InstanceId").zip(call.get("UserData.Value"))
        {
            // What the API takes off the wire has its base64 no more, and moto looks for it.
            let data = BASE64.encode(data);
            let action = ("Action", call.action.as_str());
            let twice = call.instead(&[action, ("InstanceId", id), ("UserData.Value", &data)]);
            return upstream.ask(&twice).await;
        }
        let makes_image = ["CreateImage", "CopyImage", "RegisterImage"];
        let Some(name) = call.get("Name").filter(|_| makes_image.contains(&call.action.as_str()))
        else {
            return registered::ask(call, upstream).await;
        };
        let _one_at_a_time = self.naming.lock().await;
        let look = call.instead(&[
            ("Action", "DescribeImages"),
            ("Owner.1", "self"),
            ("Filter.1.Name", "name"),
            ("Filter.1.Value.1", name),
        ]);
        match upstream.ask(&look).await?.text.contains("<imageId>") {
            true => {
                let message = format!("AMI name {name} is already in use");
                Some(Answer::error(call, "InvalidAMIName.Duplicate", &message))
            }
            false => tagged(call, upstream, registered::ask(call, upstream).await?).await,
        }
    }
}

/// Puts the tags on a copy that the call has for it.
async fn tagged(call: &Call, upstream: &Upstream, answer: Answer) -> Option<Answer> {
    let id = answer.text.split_once("<imageId>").and_then(|(_, rest)| rest.split('<').next());
    let Some(id) = id.filter(|_| call.action == "CopyImage") else { return Some(answer) };
    let of = |name: &str| call.get(name).unwrap_or_default().to_owned();
    let source = (id.to_owned(), of("SourceImageId"), of("SourceRegion"));
    SOURCES.lock().unwrap().push(source);
    let mut tags = vec![("Action", "CreateTags"), ("ResourceId.1", id)];
    let prefix = "TagSpecification.1.";
    let given = call
        .parameters
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
    tags.extend(
        given
            .filter(|(name, _)| name.starts_with("Tag."))
            .map(|(name, value)| (name, value.as_str())),
    );
    if tags.len() > 2 {
        upstream.ask(&call.instead(&tags)).await?;
    }
    Some(answer)
}
