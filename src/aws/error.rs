//! What the failure of a call says: which call, the API's code and words, and what to do.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{action} failed: {message}")]
pub struct ApiError {
    /// The API's name of the call, e.g. `RunInstances`.
    pub action: &'static str,
    /// The API's code, e.g. `InvalidAMIID.NotFound`; `None` if there was no answer.
    pub code: Option<String>,
    message: String,
}

impl ApiError {
    fn new<E>(action: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answer = error.as_service_error().map(ProvideErrorMetadata::meta);
        let code = answer.and_then(|answer| answer.code()).map(str::to_owned);
        let message = match (&code, answer.and_then(|answer| answer.message())) {
            (Some(code), Some(message)) => format!("{message} ({code}){}", advice(code)),
            (Some(code), None) => format!("{code}{}", advice(code)),
            (None, _) => DisplayErrorContext(&error).to_string(),
        };
        Self { action, code, message }
    }

    /// Whether the API said one of `codes`.
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the API said that it does not know a thing, e.g. `InvalidInstanceID.NotFound`.
    pub fn is_unknown(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        code.ends_with(".NotFound") || code.ends_with(".Unknown") || code.ends_with(".Unavailable")
    }

    /// Whether the API never said what became of the call: it may have been done.
    pub fn is_unanswered(&self) -> bool {
        self.code.is_none()
    }
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
        "InstanceLimitExceeded" | "VcpuLimitExceeded" => {
            "; ask AWS for a higher limit, or end other instances"
        }
        _ => "",
    }
}

/// Names the call that a result comes from.
pub trait Called<T> {
    /// The result of `action`, its error in our words.
    fn called(self, action: &'static str) -> Result<T, ApiError>;
}

impl<T, E> Called<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn called(self, action: &'static str) -> Result<T, ApiError> {
        self.map_err(|error| ApiError::new(action, error))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::error::ErrorMetadata;
    use aws_sdk_ec2::operation::run_instances::RunInstancesError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn a_failure_says_the_call_the_code_the_words_and_what_to_do() {
        let answer = ErrorMetadata::builder()
            .code("UnauthorizedOperation")
            .message("You are not authorized to perform this operation.")
            .build();
        let response = HttpResponse::new(StatusCode::try_from(403).unwrap(), SdkBody::empty());
        let error = SdkError::service_error(RunInstancesError::generic(answer), response);
        let error = Err::<(), _>(error).called("RunInstances").unwrap_err();
        insta::assert_snapshot!(error, @"RunInstances failed: You are not authorized to perform this operation. (UnauthorizedOperation); allow this call in the IAM policy of the credentials that are used");
        assert!(!error.is_unanswered());
    }
}
