//! What the failure of a call says: which call, the API's code and words, what it means for
//! whoever called, and what people can do about it.

use std::error::Error;
use std::io;

use anyhow::Chain;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::fault::{Fault, Kind};
use crate::retry::Cancelled;

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    /// The API's name of the call, e.g. `RunInstances`.
    pub action: &'static str,
    /// The API's code, e.g. `InvalidAMIID.NotFound`; `None` if there was no answer.
    pub code: Option<String>,
    /// What follows from it.
    pub meaning: Meaning,
    text: String,
}

/// What a failure means for whoever called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Too many calls came: this one was not done. Again, and slower.
    Throttled,
    /// The service is not well, or nobody heard its answer: the call may have been done.
    Unsure,
    /// The answer cannot be read, and the next one could not either: the call may have been done.
    Unreadable,
    /// Nobody could be reached: the call was not done.
    Unreachable,
    /// The credentials have run out. Again, with new ones.
    Expired,
    /// There is no such thing, or the API does not find it yet because it was just made.
    NotFound,
    /// There is one already.
    Taken,
    /// Something else has to end first.
    TooSoon,
    /// AWS has no machine of this kind to give in this place.
    NoCapacity,
    /// The credentials may not do this.
    Denied,
    /// The run was interrupted before the call was made, or made again.
    Interrupted,
    /// No other try would change it.
    Final,
}

/// Whose fault `error` of a component is that works in the cloud: that of the call which failed, if one
/// did; the cloud's if what it has made is not as it should be.
pub fn blame(error: &anyhow::Error) -> Fault {
    let call = error.chain().find_map(|cause| cause.downcast_ref::<ApiError>());
    call.map_or(Fault::lasting(Kind::Cloud), ApiError::fault)
}

/// What the codes mean that are more than [`Meaning::Final`]: of EC2, and of its neighbours.
const CODES: &[(Meaning, &[&str])] = &[
    (
        Meaning::Throttled,
        &[
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "PriorRequestNotComplete",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "Throttling",
            "ThrottledException",
            "ThrottlingException",
            "TooManyRequestsException",
        ],
    ),
    (
        Meaning::Unsure,
        &[
            "IDPCommunicationError",
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceUnavailable",
            "Unavailable",
        ],
    ),
    (Meaning::Expired, &["ExpiredToken", "ExpiredTokenException", "RequestExpired"]),
    (
        Meaning::NotFound,
        &[
            "DoesNotExistException",
            "NoSuchEntity",
            "NoSuchKey",
            "NoSuchUpload",
            "NotFound",
            "ParameterNotFound",
            "ParameterVersionNotFound",
            "TargetNotConnected",
        ],
    ),
    (
        Meaning::Taken,
        &[
            "EntityAlreadyExists",
            "InvalidAMIName.Duplicate",
            "InvalidGroup.Duplicate",
            "InvalidKeyPair.Duplicate",
            "InvalidLaunchTemplateName.AlreadyExistsException",
            "InvalidPermission.Duplicate",
        ],
    ),
    (
        Meaning::TooSoon,
        &[
            "ConcurrentModification",
            "DeleteConflict",
            "DependencyViolation",
            "IncorrectInstanceState",
            "IncorrectState",
            "InvalidGroup.InUse",
            "InvalidSnapshot.InUse",
            "VolumeInUse",
        ],
    ),
    (
        Meaning::NoCapacity,
        &[
            "InsufficientCapacityOnHost",
            "InsufficientFreeAddressesInSubnet",
            "InsufficientHostCapacity",
            "InsufficientInstanceCapacity",
            "InsufficientReservedInstanceCapacity",
            "MaxSpotInstanceCountExceeded",
            "SpotMaxPriceTooLow",
            "UnfulfillableCapacity",
            "Unsupported",
        ],
    ),
    (
        Meaning::Denied,
        &["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Client.Unauthorized"],
    ),
];

/// How codes end that say that a thing is not known, e.g. `InvalidInstanceID.NotFound`.
const NOT_FOUND: &[&str] =
    &[".NotFound", ".NotFoundException", ".Unknown", ".Unavailable", "ResourceNotFoundException"];

impl Meaning {
    /// Whether the call may have been done, although nobody heard that it was.
    pub fn may_be_done(self) -> bool {
        matches!(self, Self::Unsure | Self::Unreadable)
    }

    /// Codes first; what has an unknown one is told by words, then by the HTTP status.
    pub fn of(code: &str, message: &str, status: u16) -> Self {
        let known = CODES.iter().find(|(_, codes)| codes.contains(&code));
        match known {
            Some((meaning, _)) => *meaning,
            None if NOT_FOUND.iter().any(|end| code.ends_with(end)) => Self::NotFound,
            None if code == "InvalidParameterValue" => Self::of_parameter(message),
            None if status == 429 => Self::Throttled,
            None if status >= 500 => Self::Unsure,
            None => Self::Final,
        }
    }

    /// EC2 says of some things only in words that it does not know them yet, or that it is too
    /// soon.
    fn of_parameter(message: &str) -> Self {
        if message.contains("iamInstanceProfile") {
            Self::NotFound
        } else if message.contains("Instance is not in state") {
            Self::TooSoon
        } else {
            Self::Final
        }
    }
}

impl ApiError {
    /// `error` of `action`, which `host` was asked for.
    pub(super) fn new<E>(
        action: &'static str,
        host: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let answer = error.as_service_error().map(ProvideErrorMetadata::meta);
        let Some((code, answer)) = answer.and_then(|answer| Some((answer.code()?, answer))) else {
            let (meaning, why) = unanswered(error, host);
            return Self { action, code: None, meaning, text: format!("{action} failed: {why}") };
        };
        let said = answer.message().unwrap_or_default();
        let words = if said.is_empty() { code.to_owned() } else { format!("{said} ({code})") };
        let (meaning, advice) = (Meaning::of(code, said, status), advice(code));
        let text = format!("{action} failed: {words}{advice}");
        Self { action, code: Some(code.to_owned()), meaning, text }
    }

    /// A failure that a good answer to `action` tells of.
    pub fn answered(action: &'static str, code: &str, message: &str) -> Self {
        let meaning = Meaning::of(code, message, 200);
        let text = format!("{action} failed: {message}{}", advice(code));
        Self { action, code: Some(code.to_owned()), meaning, text }
    }

    /// The run was interrupted before `action` was called, or called again.
    pub(super) fn interrupted(action: &'static str) -> Self {
        let (meaning, text) = (Meaning::Interrupted, Cancelled.to_string());
        Self { action, code: None, meaning, text }
    }

    /// The same, where this was the last of several tries.
    pub(super) fn after(self, tries: usize) -> Self {
        match tries {
            0 | 1 => self,
            _ => Self { text: format!("{} (tried {tries} times)", self.text), ..self },
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self.meaning {
            Meaning::Interrupted => Fault::passing(Kind::Interrupted),
            Meaning::Unreachable => Fault::passing(Kind::Environment),
            Meaning::Throttled | Meaning::Unsure | Meaning::TooSoon | Meaning::NoCapacity => {
                Fault::passing(Kind::Cloud)
            }
            // Something else than AWS has answered.
            Meaning::Unreadable => Fault::lasting(Kind::Environment),
            Meaning::Expired | Meaning::Denied => Fault::lasting(Kind::Environment),
            Meaning::Taken => Fault::lasting(Kind::Template),
            Meaning::NotFound => Fault::lasting(Kind::Cloud),
            Meaning::Final => Fault::lasting(self.refused()),
        }
    }

    /// Whose fault a refusal is that no other try would change.
    fn refused(&self) -> Kind {
        match self.code.as_deref() {
            // There is nothing to sign a call with.
            None | Some("AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch") => {
                Kind::Environment
            }
            Some(code)
                if ["Invalid", "Missing", "Malformed"]
                    .iter()
                    .any(|word| code.starts_with(word)) =>
            {
                Kind::Template
            }
            Some(_) => Kind::Cloud,
        }
    }

    /// Whether the answer was no, and would be the next time.
    pub fn is_refusal(&self) -> bool {
        matches!(self.meaning, Meaning::Final | Meaning::Denied | Meaning::Expired)
    }

    /// Whether the API said one of `codes`.
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the API said that it does not know a thing, e.g. `InvalidInstanceID.NotFound`; IAM
    /// says `NoSuchEntity`.
    pub fn is_not_found(&self) -> bool {
        self.meaning == Meaning::NotFound
    }

    /// Whether the API does not know something that `name` is the name or the id of.
    pub fn does_not_find(&self, name: &str) -> bool {
        self.is_not_found() && self.text.contains(name)
    }

    /// Why the call is not allowed, as only STS can read it.
    pub fn encoded(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("Encoded authorization failure message: ")?;
        rest.split_whitespace().next()
    }
}

/// What it means that there was no answer that could be understood, and why there was none.
fn unanswered<E>(error: &SdkError<E, HttpResponse>, host: &str) -> (Meaning, String)
where
    E: Error + 'static,
{
    let mut causes = Chain::new(error);
    let credentials = causes.find_map(|error| error.downcast_ref::<CredentialsError>());
    if let Some(error) = credentials {
        return no_credentials(error);
    }
    if let Some(why) = no_connection(error) {
        return (Meaning::Unreachable, format!("{host} cannot be reached: {why}"));
    }
    if let SdkError::ServiceError(answer) = error {
        let status = answer.raw().status().as_u16();
        let said = words(Chain::new(error));
        let why = format!("the answer of {host} cannot be read (HTTP {status}): {said}");
        // A proxy may stand in for a service that is not well.
        let meaning = if status >= 500 { Meaning::Unsure } else { Meaning::Unreadable };
        return (meaning, why);
    }
    let meaning = match error {
        SdkError::ConstructionFailure(_) => Meaning::Final,
        SdkError::DispatchFailure(failure) if failure.is_user() => Meaning::Final,
        _ => Meaning::Unsure,
    };
    if let SdkError::TimeoutError(_) = error {
        return (meaning, format!("{host} does not answer: {}", words(Chain::new(error))));
    }
    (meaning, format!("no answer came: {}", words(Chain::new(error))))
}

/// How the HTTP client says that there was no connection to begin with.
const NO_CONNECTION: [&str; 2] = ["client error (Connect)", "HTTP connect timeout"];

/// Why there was no connection, if that is it: not a word about credentials.
fn no_connection(error: &(dyn Error + 'static)) -> Option<String> {
    let said = || Chain::new(error).map(ToString::to_string);
    said().find(|text| NO_CONNECTION.iter().any(|words| text.starts_with(words)))?;
    let kind = |error: &(dyn Error + 'static)| Some(error.downcast_ref::<io::Error>()?.kind());
    let is = |wanted| Chain::new(error).filter_map(kind).any(|kind| kind == wanted);
    let says = |part: &str| said().any(|text| text.contains(part));
    let plain = if says("dns error") || says("failed to lookup address") {
        "its name cannot be resolved"
    } else if says("proxy") || says("tunnel") {
        "the proxy does not lead there"
    } else if is(io::ErrorKind::ConnectionRefused) {
        "the connection was refused"
    } else if says("HTTP connect timeout") {
        "nobody there takes the connection"
    } else {
        return Some(words(Chain::new(error)));
    };
    let last = said().last().unwrap_or_default();
    Some(format!("{plain} ({last}); check this machine's network, proxy and endpoint"))
}

/// What it means that there is nothing to sign a call with.
fn no_credentials(error: &CredentialsError) -> (Meaning, String) {
    // Those who look for credentials have tried again themselves.
    let meaning = match error {
        CredentialsError::ProviderTimedOut(_) => Meaning::Unsure,
        _ => Meaning::Final,
    };
    // The SDK's own words say only that there is none.
    (meaning, words(Chain::new(error.source().unwrap_or(error))))
}

/// Layers of the SDK and of its HTTP client that say nothing themselves.
const EMPTY_WORDS: &[&str] = &[
    "dispatch failure",
    "client error (Connect)",
    "client error (SendRequest)",
    "service error",
    "unhandled error",
    "io error",
    "other",
];

/// What `errors` say, each the cause of the one before.
fn words(errors: Chain<'_>) -> String {
    let mut said: Vec<String> = Vec::new();
    for text in errors.map(ToString::to_string) {
        let is_news = !said.iter().any(|known| known.contains(&text));
        if is_news && !EMPTY_WORDS.contains(&text.as_str()) {
            said.push(text);
        }
    }
    said.join(": ")
}

/// What to do about the codes that people meet most.
fn advice(code: &str) -> &'static str {
    match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            "; allow this call in the IAM policy of the credentials that are used"
        }
        "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => {
            "; check the access key, the secret key, and this machine's clock"
        }
        "RequestExpired" | "ExpiredToken" | "ExpiredTokenException" => {
            "; get new credentials, and check this machine's clock"
        }
        "OptInRequired" => "; enable the region for the account first",
        "InsufficientInstanceCapacity" | "Unsupported" => {
            "; choose another availability zone or instance type"
        }
        "TargetNotConnected" => {
            "; the instance needs the SSM agent, a profile that lets it connect \
             (AmazonSSMManagedInstanceCore), and a way to the Systems Manager endpoints"
        }
        "InstanceLimitExceeded" | "VcpuLimitExceeded" => {
            "; ask AWS for a higher limit, or end other instances"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::error::ErrorMetadata;
    use aws_sdk_ec2::operation::run_instances::RunInstancesError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn answered(status: u16, code: &str, message: &str) -> ApiError {
        let answer = ErrorMetadata::builder().code(code).message(message).build();
        let response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        let error = SdkError::service_error(RunInstancesError::generic(answer), response);
        ApiError::new("RunInstances", "ec2.example", &error)
    }

    #[test]
    fn a_failure_says_the_call_the_code_the_words_and_what_to_do() {
        let message = "You are not authorized to perform this operation.";
        let error = answered(403, "UnauthorizedOperation", message);
        insta::assert_snapshot!(error, @"RunInstances failed: You are not authorized to perform this operation. (UnauthorizedOperation); allow this call in the IAM policy of the credentials that are used");
        assert_eq!(error.meaning, Meaning::Denied);
        insta::assert_snapshot!(answered(500, "InternalError", "").after(3), @"RunInstances failed: InternalError (tried 3 times)");
    }

    #[test]
    fn codes_words_and_the_status_tell_what_a_failure_means() {
        for (status, code, message, meaning) in [
            (503, "RequestLimitExceeded", "", Meaning::Throttled),
            (429, "New", "", Meaning::Throttled),
            (500, "New", "", Meaning::Unsure),
            (400, "New", "", Meaning::Final),
            (400, "InvalidInstanceID.NotFound", "", Meaning::NotFound),
            (400, "InvalidAMIID.Unavailable", "", Meaning::NotFound),
            (400, "InvalidParameterValue", "Value for iamInstanceProfile.name", Meaning::NotFound),
            (400, "InvalidParameterValue", "Instance is not in state 'stopped'", Meaning::TooSoon),
            (400, "InvalidParameterValue", "Value (x) for parameter y", Meaning::Final),
            (500, "InsufficientInstanceCapacity", "", Meaning::NoCapacity),
        ] {
            assert_eq!(answered(status, code, message).meaning, meaning, "{status} {code}");
        }
    }

    #[test]
    fn a_code_has_one_meaning() {
        let mut codes: Vec<_> = CODES.iter().flat_map(|(_, codes)| codes.iter()).collect();
        codes.sort();
        assert!(codes.windows(2).all(|two| two[0] != two[1]), "{codes:?}");
    }

    #[test]
    fn where_no_answer_came_or_none_that_can_be_read_the_cause_is_said_and_no_type_of_the_sdk() {
        let refused = std::io::Error::other("tcp connect error: Connection refused");
        let error =
            SdkError::<RunInstancesError, _>::dispatch_failure(ConnectorError::io(refused.into()));
        let error = ApiError::new("RunInstances", "ec2.example", &error);
        insta::assert_snapshot!(error, @"RunInstances failed: no answer came: tcp connect error: Connection refused");
        assert_eq!(error.meaning, Meaning::Unsure);

        let unreadable = |status: u16| {
            let response =
                HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
            let error = RunInstancesError::unhandled("XML parse error");
            let error = SdkError::service_error(error, response);
            ApiError::new("RunInstances", "ec2.example", &error)
        };
        let error = unreadable(200);
        insta::assert_snapshot!(error, @"RunInstances failed: the answer of ec2.example cannot be read (HTTP 200): XML parse error");
        assert_eq!(error.meaning, Meaning::Unreadable);
        assert_eq!(unreadable(502).meaning, Meaning::Unsure);

        let none = CredentialsError::not_loaded("no AWS credentials were found");
        let error = SdkError::<RunInstancesError, _>::dispatch_failure(ConnectorError::other(
            none.into(),
            None,
        ));
        let error = ApiError::new("RunInstances", "ec2.example", &error);
        insta::assert_snapshot!(error, @"RunInstances failed: no AWS credentials were found");
        assert_eq!(error.meaning, Meaning::Final);
    }
}
