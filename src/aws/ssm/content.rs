//! The JSON inside of messages.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::aws::ssm::message::{Draft, Kind, Message};

/// The version of the session manager plugin that can do what we can: several connections in one
/// session (since 1.1.70), and no keep-alive of the agent's own among them (since 1.2.331).
const CLIENT_VERSION: &str = "1.2.339.0";

/// Agents up to this version know only one connection in a session.
const NO_MULTIPLEXING: [u32; 4] = [3, 0, 196, 0];

/// The first words on a WebSocket.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OpenDataChannel<'a> {
    message_schema_version: &'a str,
    request_id: String,
    token_value: &'a str,
    client_id: String,
    client_version: &'a str,
}

/// Who we are, and the `token` that proves it.
pub(super) fn introduction(client: Uuid, token: &str) -> String {
    let words = OpenDataChannel {
        message_schema_version: "1.0",
        request_id: Uuid::new_v4().to_string(),
        token_value: token,
        client_id: client.to_string(),
        client_version: CLIENT_VERSION,
    };
    json(&words)
}

/// A struct of texts and numbers always has a JSON form.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[derive(Serialize, Deserialize)]
struct Acknowledgement {
    #[serde(rename = "AcknowledgedMessageType")]
    kind: String,
    #[serde(rename = "AcknowledgedMessageId")]
    id: String,
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    sequence: i64,
    #[serde(rename = "IsSequentialMessage")]
    is_sequential: bool,
}

/// That `message` has arrived.
pub(super) fn acknowledgement(message: &Message) -> Draft {
    let words = Acknowledgement {
        kind: Kind::Output.name().to_owned(),
        id: message.id.to_string(),
        sequence: message.sequence,
        is_sequential: true,
    };
    Draft::of(json(&words).as_bytes())
}

/// Which of our messages has arrived.
pub(super) fn acknowledged(message: &Message) -> serde_json::Result<i64> {
    serde_json::from_slice(&message.payload).map(|words: Acknowledgement| words.sequence)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChannelClosed {
    #[serde(default)]
    output: String,
}

/// Why the session is over, if the service says so.
pub(super) fn closing_words(message: &Message) -> Option<String> {
    let words: ChannelClosed = serde_json::from_slice(&message.payload).ok()?;
    Some(words.output.trim().to_owned()).filter(|words| !words.is_empty())
}

/// What the agent wants to know before it begins.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HandshakeRequest {
    #[serde(default)]
    agent_version: String,
    #[serde(default)]
    requested_client_actions: Vec<Action>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Action {
    action_type: String,
    #[serde(default)]
    action_parameters: Json,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HandshakeResponse {
    client_version: &'static str,
    processed_client_actions: Vec<Processed>,
    errors: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Processed {
    action_type: String,
    action_status: u8,
    error: String,
}

const SUCCESS: u8 = 1;
const FAILED: u8 = 2;

/// The agent at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// Whether a session may have several connections.
    pub(super) multiplexes: bool,
}

/// What to answer to an agent's `request`, and what to think of it.
pub(super) fn handshake(request: &Message) -> serde_json::Result<(Draft, Result<Agent, String>)> {
    let request: HandshakeRequest = serde_json::from_slice(&request.payload)?;
    let version = request.agent_version;
    let mut errors = Vec::new();
    let mut forwards_port = false;
    let mut process = |action: Action| {
        let refused = refuse(&action.action_type, &action.action_parameters);
        forwards_port |= action.action_parameters["Properties"]["type"] == "LocalPortForwarding";
        errors.extend(refused.clone());
        let status = if refused.is_some() { FAILED } else { SUCCESS };
        let error = refused.unwrap_or_default();
        Processed { action_type: action.action_type, action_status: status, error }
    };
    let processed = request.requested_client_actions.into_iter().map(&mut process).collect();
    let agent = match errors.first() {
        Some(error) => Err(format!("the SSM agent ({version}) wants what cannot be done: {error}")),
        None => Ok(Agent { multiplexes: forwards_port && multiplexes(&version) }),
    };
    let response = HandshakeResponse {
        client_version: CLIENT_VERSION,
        processed_client_actions: processed,
        errors,
    };
    Ok((Draft::of(json(&response).as_bytes()), agent))
}

/// Why an action cannot be done.
fn refuse(action: &str, parameters: &Json) -> Option<String> {
    match (action, parameters["SessionType"].as_str()) {
        ("SessionType", Some("Port")) => None,
        ("SessionType", kind) => {
            let kind = kind.unwrap_or("unknown");
            Some(format!("a session of the type {kind} forwards no port"))
        }
        ("KMSEncryption", _) => Some(
            "sessions that are encrypted with a KMS key are not built yet; turn that off in the \
             Session Manager preferences of the region"
                .to_owned(),
        ),
        (other, _) => Some(format!("the action {other} is not known")),
    }
}

fn multiplexes(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let version: [u32; 4] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    version > NO_MULTIPLEXING
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::ssm::message::payload;

    fn message(content: &Json) -> Message {
        let draft = Draft::of(content.to_string().as_bytes());
        Message::read(&draft.into_input(payload::HANDSHAKE_REQUEST, 0)).unwrap()
    }

    /// The answer to `request`, as it is sent.
    fn answer(request: &Json) -> (Json, Result<Agent, String>) {
        let (draft, agent) = handshake(&message(request)).unwrap();
        let sent = Message::read(&draft.into_input(payload::HANDSHAKE_RESPONSE, 0)).unwrap();
        (serde_json::from_slice(&sent.payload).unwrap(), agent)
    }

    fn request(version: &str, more: Json) -> Json {
        let properties = json!({"portNumber": "22", "type": "LocalPortForwarding"});
        let parameters = json!({"SessionType": "Port", "Properties": properties});
        let mut actions =
            vec![json!({"ActionType": "SessionType", "ActionParameters": parameters})];
        actions.extend(more.as_array().unwrap().iter().cloned());
        json!({"AgentVersion": version, "RequestedClientActions": actions})
    }

    #[test]
    fn a_port_session_is_agreed_to() {
        let (sent, agent) = answer(&request("3.3.1611.0", json!([])));
        assert_eq!(agent, Ok(Agent { multiplexes: true }));
        let done = json!([{"ActionType": "SessionType", "ActionStatus": 1, "Error": ""}]);
        let expected = json!({
            "ClientVersion": CLIENT_VERSION, "ProcessedClientActions": done, "Errors": []
        });
        assert_eq!(sent, expected);
    }

    #[test]
    fn an_old_agent_gets_one_connection_a_session() {
        for (version, several) in
            [("2.3.1509.0", false), ("3.0.196.0", false), ("3.0.222.0", true), ("3.1.1", true)]
        {
            let (_, agent) = answer(&request(version, json!([])));
            assert_eq!(agent, Ok(Agent { multiplexes: several }), "{version}");
        }
    }

    #[test]
    fn encryption_is_refused_with_a_reason() {
        let encryption =
            json!({"ActionType": "KMSEncryption", "ActionParameters": {"KMSKeyId": "k"}});
        let (sent, agent) = answer(&request("3.3.1611.0", json!([encryption])));
        assert_eq!(sent["ProcessedClientActions"][1]["ActionStatus"], 2);
        assert!(agent.unwrap_err().contains("encrypted with a KMS key are not built yet"));
        let shell = json!({"AgentVersion": "3.3.1611.0", "RequestedClientActions": [
            {"ActionType": "SessionType", "ActionParameters": {"SessionType": "Standard_Stream"}}
        ]});
        assert!(answer(&shell).1.unwrap_err().contains("Standard_Stream forwards no port"));
    }

    #[test]
    fn an_acknowledgement_names_its_message() {
        let received = message(&json!({}));
        let sent = acknowledgement(&received).into_acknowledgement();
        let sent = Message::read(&sent).unwrap();
        assert_eq!(acknowledged(&sent).unwrap(), received.sequence);
        let words: Json = serde_json::from_slice(&sent.payload).unwrap();
        assert_eq!(words["AcknowledgedMessageType"], "output_stream_data");
        assert_eq!(words["AcknowledgedMessageId"], received.id.to_string());
    }

    #[test]
    fn the_last_words_are_kept_if_there_are_any() {
        let said = |output: &str| closing_words(&message(&json!({"Output": output})));
        assert_eq!(said(" timed out\n").as_deref(), Some("timed out"));
        assert_eq!(said(""), None);
        assert_eq!(closing_words(&message(&json!({}))), None);
    }
}
