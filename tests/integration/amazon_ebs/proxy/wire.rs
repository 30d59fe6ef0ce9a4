//! Just enough HTTP to take calls of AWS's APIs, pass them on, and answer.

use regex::{NoExpand, Regex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A call that came.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name, e.g. `RunInstances`.
    pub action: String,
    /// The access key that signed it, if one did.
    pub key: Option<String>,
    /// The session token that belongs to the key, if there is one.
    pub token: Option<String>,
    /// The region that it is for.
    pub region: Option<String>,
    /// The service that it is for, e.g. `ec2`.
    pub service: Option<String>,
    /// Its parameters.
    pub parameters: Vec<(String, String)>,
    head: String,
    body: Vec<u8>,
}

impl Call {
    fn new(head: String, body: Vec<u8>) -> Option<Self> {
        // What goes to S3 is no form: such a call is known by its address.
        let s3 = s3_action(&head);
        let form = if s3.is_some() { &[][..] } else { &body[..] };
        let parameters: Vec<(String, String)> =
            url::form_urlencoded::parse(form).into_owned().collect();
        let form = parameters.iter().find(|(name, _)| name == "Action");
        // APIs that speak JSON name the call in a header: `x-amz-target: AmazonSSM.GetParameter`.
        let action = match form {
            Some((_, action)) => action.clone(),
            None if s3.is_some() => s3?.to_owned(),
            None => header(&head, "x-amz-target")?.rsplit('.').next()?.to_owned(),
        };
        let scope = head.split_once("Credential=").map(|(_, rest)| rest).unwrap_or_default();
        // key/date/region/service/aws4_request
        let part = |nth| scope.split('/').nth(nth).filter(|part| !part.is_empty());
        let token = header(&head, "x-amz-security-token");
        let [key, region, service, token] =
            [part(0), part(2), part(3), token].map(|part| part.map(str::to_owned));
        Some(Self { action, key, token, region, service, parameters, head, body })
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Another call by the same caller.
    pub(super) fn instead(&self, parameters: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .append_pair("Version", self.get("Version").unwrap_or_default())
            .finish();
        Self::new(self.head.clone(), body.into_bytes()).expect("a call")
    }

    fn is_of_ec2(&self) -> bool {
        self.get("Version") == Some("2016-11-15")
    }
}

/// The method and the address that `head` begins with.
fn target(head: &str) -> Option<(&str, &str)> {
    let mut words = head.lines().next()?.split(' ');
    Some((words.next()?, words.next()?))
}

/// How a call of S3 is called, which says it by its method and its address.
fn s3_action(head: &str) -> Option<&'static str> {
    if !head.contains("/s3/aws4_request") {
        return None;
    }
    let (method, address) = target(head)?;
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let has =
        |name: &str| url::form_urlencoded::parse(query.as_bytes()).any(|(known, _)| known == name);
    Some(match method {
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" => "CompleteMultipartUpload",
        "PUT" => "UploadPart",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        "HEAD" => "HeadObject",
        _ => "ListMultipartUploads",
    })
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    headers(head).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn headers(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.lines().skip(1).filter_map(|line| line.split_once(": "))
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub text: String,
    /// What S3 says beside it.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    /// An error, with the status that AWS sends with it.
    pub fn error(call: &Call, code: &str, message: &str) -> Self {
        let status = match code {
            "RequestLimitExceeded" | "ServiceUnavailable" | "Unavailable" => 503,
            "InternalError" | "InsufficientInstanceCapacity" => 500,
            "UnauthorizedOperation" | "AccessDenied" | "ExpiredToken" => 403,
            _ => 400,
        };
        let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let text = match call.is_of_ec2() {
            true => {
                format!("<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>")
            }
            false => format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"),
        };
        Self::new(status, text)
    }

    /// With nothing beside it.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), headers: Vec::new() }
    }

    /// That it was done.
    pub fn done(call: &Call) -> Self {
        let action = &call.action;
        let text = format!("<{action}Response><return>true</return></{action}Response>");
        Self::new(200, text)
    }

    /// With `to` in place of what the pattern `from` matches.
    pub fn rewritten(self, from: &str, to: &str) -> Self {
        let text = Regex::new(from).unwrap().replace_all(&self.text, NoExpand(to)).into_owned();
        Self { text, ..self }
    }
}

/// Who really answers.
pub(super) struct Upstream {
    url: String,
    client: reqwest::Client,
}

impl Upstream {
    pub fn new(url: String) -> Self {
        Self { url, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Which one it is: motos that were started alike give the same ids.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn ask(&self, call: &Call) -> Option<Answer> {
        let (method, address) = target(&call.head)?;
        let method = reqwest::Method::from_bytes(method.as_bytes()).ok()?;
        let request = self.client.request(method, format!("{}{address}", self.url));
        let mut request = request.body(call.body.clone());
        for (name, value) in headers(&call.head) {
            if !["content-length", "connection", "expect"].contains(&name.to_lowercase().as_str()) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let said = answer
            .headers()
            .iter()
            .filter(|(name, _)| *name == "etag" || name.as_str().starts_with("x-amz-meta-"));
        let said = said
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        let headers = said.collect();
        Some(Answer { status, headers, text: answer.text().await.ok()? })
    }
}

pub(super) async fn write_answer(stream: &mut TcpStream, answer: &Answer) -> Option<()> {
    let Answer { status, text, headers } = answer;
    let length = text.len();
    let said: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: text/xml\r\n{said}content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(text.as_bytes()).await.ok()
}

pub(super) async fn read_call(stream: &mut TcpStream) -> Option<Call> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    let mut body = bytes.split_off(end + 4);
    if header(&head, "expect").is_some() && body.is_empty() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Call::new(head, body)
}
