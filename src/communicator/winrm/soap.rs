//! WS-Management's envelopes, as far as a shell needs them (MS-WSMV).

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use roxmltree::{Document, Node};

use crate::event::Stream;
use crate::retry::Permanent;

/// The largest envelope that a server takes, unless its administrator says otherwise.
const LARGEST_ENVELOPE: usize = 512_000;
/// What an envelope has beside its input.
const AROUND_INPUT: usize = 4096;
/// How much of a stream fits into one envelope: base64 makes four bytes of three.
pub(super) const LARGEST_INPUT: usize = (LARGEST_ENVELOPE - AROUND_INPUT) / 4 * 3;

/// So much every server takes.
pub(super) const SMALLEST_INPUT: usize = 16 * 1024;

const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";

/// After how long a shell ends that nobody asks anything of: we were killed, or are cut off. Left to
/// itself, a service takes two hours.
const IDLE: Duration = Duration::from_secs(180);

/// What is asked of the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request<'a> {
    /// Make a shell.
    Create,
    /// Begin a command in it.
    Command { shell: &'a str, line: &'a str, takes_input: bool },
    /// Wait for what the command prints.
    Receive { shell: &'a str, command: &'a str },
    /// Give the command input; the last has its end.
    Send { shell: &'a str, command: &'a str, input: &'a [u8], last: bool },
    /// End the shell with all its commands.
    Delete { shell: &'a str },
}

impl Request<'_> {
    fn action(self) -> String {
        match self {
            Self::Create => format!("{TRANSFER}/Create"),
            Self::Command { .. } => format!("{SHELL}/Command"),
            Self::Receive { .. } => format!("{SHELL}/Receive"),
            Self::Send { .. } => format!("{SHELL}/Send"),
            Self::Delete { .. } => format!("{TRANSFER}/Delete"),
        }
    }

    fn shell(&self) -> Option<&str> {
        match self {
            Self::Create => None,
            Self::Command { shell, .. }
            | Self::Receive { shell, .. }
            | Self::Send { shell, .. }
            | Self::Delete { shell } => Some(shell),
        }
    }

    fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // UTF-8.
            Self::Create => &[("WINRS_NOPROFILE", "FALSE"), ("WINRS_CODEPAGE", "65001")],
            Self::Command { takes_input: true, .. } => {
                &[("WINRS_CONSOLEMODE_STDIN", "FALSE"), ("WINRS_SKIP_CMD_SHELL", "FALSE")]
            }
            Self::Command { .. } => {
                &[("WINRS_CONSOLEMODE_STDIN", "TRUE"), ("WINRS_SKIP_CMD_SHELL", "FALSE")]
            }
            Self::Receive { .. } => &[("WSMAN_CMDSHELL_OPTION_KEEPALIVE", "TRUE")],
            _ => &[],
        }
    }

    fn body(self) -> String {
        match self {
            Self::Create => format!(
                "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams>\
                 <rsp:OutputStreams>stdout stderr</rsp:OutputStreams>\
                 <rsp:IdleTimeOut>PT{}S</rsp:IdleTimeOut></rsp:Shell>",
                IDLE.as_secs()
            ),
            Self::Command { line, .. } => format!(
                "<rsp:CommandLine><rsp:Command>{}</rsp:Command></rsp:CommandLine>",
                escaped(line)
            ),
            Self::Receive { command, .. } => format!(
                r#"<rsp:Receive><rsp:DesiredStream CommandId="{}">stdout stderr</rsp:DesiredStream></rsp:Receive>"#,
                escaped(command)
            ),
            Self::Send { command, input, last, .. } => {
                let end = if last { r#" End="true""# } else { "" };
                format!(
                    r#"<rsp:Send><rsp:Stream Name="stdin" CommandId="{}"{end}>{}</rsp:Stream></rsp:Send>"#,
                    escaped(command),
                    BASE64.encode(input)
                )
            }
            Self::Delete { .. } => String::new(),
        }
    }

    /// The envelope for the service at `url`, which may take as long as `within`.
    pub(super) fn envelope(self, url: &str, within: Duration) -> String {
        let shell = self.shell().map_or_else(String::new, |shell| {
            let shell = escaped(shell);
            format!(
                r#"<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>"#
            )
        });
        let mut options = String::new();
        for (name, value) in self.options() {
            options.push_str(&format!(r#"<w:Option Name="{name}">{value}</w:Option>"#));
        }
        if !options.is_empty() {
            options = format!("<w:OptionSet>{options}</w:OptionSet>");
        }
        format!(
            r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd" xmlns:rsp="{SHELL}"><s:Header><a:To>{url}</a:To><a:ReplyTo><a:Address s:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo><a:Action s:mustUnderstand="true">{action}</a:Action><a:MessageID>uuid:{id}</a:MessageID><w:ResourceURI s:mustUnderstand="true">{SHELL}/cmd</w:ResourceURI><w:MaxEnvelopeSize s:mustUnderstand="true">{LARGEST_ENVELOPE}</w:MaxEnvelopeSize><w:OperationTimeout>PT{seconds}S</w:OperationTimeout><w:Locale s:mustUnderstand="false" xml:lang="en-US"/><p:DataLocale s:mustUnderstand="false" xml:lang="en-US"/>{shell}{options}</s:Header><s:Body>{body}</s:Body></s:Envelope>"#,
            url = escaped(url),
            action = self.action(),
            id = uuid::Uuid::new_v4(),
            seconds = within.as_secs(),
            body = self.body(),
        )
    }
}

/// `text` as the text of an element or an attribute. What XML cannot say is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#13;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// Why the server does not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the WinRM service says: {text} ({code})")]
pub(super) struct SoapFault {
    code: String,
    text: String,
}

impl SoapFault {
    /// Whether nothing was printed in the time that a receiver waits.
    pub(super) fn is_timeout(&self) -> bool {
        self.code == "2150858793" || self.code.ends_with("TimedOut")
    }

    /// Whether the shell is not there any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.code.as_str(), "2150858843" | "2150858821" | "2147943418")
            || self.code.ends_with("InvalidSelectors")
    }
}

/// What a command printed since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) printed: Vec<(Stream, Vec<u8>)>,
    /// Its status, if it has ended.
    pub(super) status: Option<u32>,
}

/// An answer, parsed.
pub(super) struct Answer<'a>(Document<'a>);

impl<'a> Answer<'a> {
    /// Parses `text`.
    ///
    /// # Errors
    /// With the [`SoapFault`] that it tells of, or where it is no answer at all.
    pub(super) fn parse(text: &'a str) -> anyhow::Result<Self> {
        let document =
            Document::parse(text).context("the WinRM service answers with broken XML")?;
        let answer = Self(document);
        match answer.element("Fault") {
            Some(fault) => Err(answer.fault(fault).into()),
            None => Ok(answer),
        }
    }

    fn element(&self, name: &str) -> Option<Node<'_, 'a>> {
        self.0.descendants().find(|node| node.tag_name().name() == name)
    }

    fn text(&self, name: &str) -> Option<String> {
        Some(self.element(name)?.text()?.trim().to_owned())
    }

    fn fault(&self, fault: Node<'_, '_>) -> SoapFault {
        let of_windows = self.element("WSManFault").and_then(|node| node.attribute("Code"));
        let values = fault.descendants().filter(|node| node.tag_name().name() == "Value");
        let value = values.filter_map(|node| node.text()).next_back().unwrap_or("no code");
        let code = of_windows.unwrap_or(value).trim().to_owned();
        let texts = ["Message", "Text"].into_iter().filter_map(|name| self.text(name));
        let text = texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        SoapFault { code, text: crate::guest::harmless(text.as_bytes()) }
    }

    /// The id of a new shell.
    pub(super) fn shell_id(&self) -> anyhow::Result<String> {
        let selector = self
            .0
            .descendants()
            .find(|node| {
                node.tag_name().name() == "Selector" && node.attribute("Name") == Some("ShellId")
            })
            .and_then(|node| node.text())
            .map(|text| text.trim().to_owned());
        selector.or_else(|| self.text("ShellId")).context("the WinRM service names no shell")
    }

    /// The id of a new command.
    pub(super) fn command_id(&self) -> anyhow::Result<String> {
        self.text("CommandId").context("the WinRM service names no command")
    }

    /// What a command printed, and how it ended.
    pub(super) fn received(&self) -> anyhow::Result<Received> {
        let mut received = Received::default();
        for node in self.0.descendants() {
            match node.tag_name().name() {
                "Stream" => {
                    let stream = match node.attribute("Name") {
                        Some("stderr") => Stream::Stderr,
                        _ => Stream::Stdout,
                    };
                    let text = node.text().unwrap_or_default();
                    let text: String = text.split_ascii_whitespace().collect();
                    let bytes = BASE64.decode(text).context("a stream is no base64")?;
                    if !bytes.is_empty() {
                        received.printed.push((stream, bytes));
                    }
                }
                "CommandState" if node.attribute("State").is_some_and(|s| s.ends_with("/Done")) => {
                    received.status = Some(status(self.text("ExitCode").as_deref()));
                }
                _ => {}
            }
        }
        Ok(received)
    }
}

/// Windows' statuses are numbers of 32 bits, with a sign for some.
fn status(text: Option<&str>) -> u32 {
    let number = text.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    u32::try_from(number & 0xffff_ffff).unwrap_or(0)
}

/// The error for a login that is refused.
pub(super) fn refused(text: String) -> anyhow::Error {
    anyhow::Error::new(Permanent(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_prints_and_how_it_ends_is_read() {
        let text = r#"<s:Envelope xmlns:s="s" xmlns:rsp="r"><s:Body><rsp:ReceiveResponse>
            <rsp:Stream Name="stdout" CommandId="c">aGk=</rsp:Stream>
            <rsp:Stream Name="stderr" CommandId="c">bm8=</rsp:Stream>
            <rsp:Stream Name="stderr" CommandId="c" End="true"></rsp:Stream>
            <rsp:CommandState CommandId="c" State="http://x/CommandState/Done"><rsp:ExitCode>-1</rsp:ExitCode></rsp:CommandState>
            </rsp:ReceiveResponse></s:Body></s:Envelope>"#;
        let received = Answer::parse(text).unwrap().received().unwrap();
        let expected = [(Stream::Stdout, b"hi".to_vec()), (Stream::Stderr, b"no".to_vec())];
        assert_eq!(received.printed, expected);
        assert_eq!(received.status, Some(u32::MAX));
    }

    #[test]
    fn a_fault_is_an_error_with_its_code() {
        let text = r#"<s:Envelope xmlns:s="s" xmlns:w="w"><s:Body><s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code><s:Reason><s:Text>slow</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>"#;
        let error = Answer::parse(text).err().unwrap();
        assert!(error.downcast_ref::<SoapFault>().unwrap().is_timeout(), "{error}");
        assert!(Answer::parse("no XML").is_err());
    }

    #[test]
    fn an_envelope_is_xml_whatever_the_command_is() {
        let line = "echo \"<&>\" %PATH% ünï\u{1}";
        let request = Request::Command { shell: "s", line, takes_input: false };
        let envelope = request.envelope("http://h:5985/wsman", Duration::from_secs(20));
        let document = Document::parse(&envelope).unwrap();
        let command = document.descendants().find(|node| node.tag_name().name() == "Command");
        assert_eq!(command.unwrap().text(), Some("echo \"<&>\" %PATH% ünï"));
        let input = vec![0xff; LARGEST_INPUT];
        let send = Request::Send { shell: "s", command: "c", input: &input, last: true };
        assert!(send.envelope("u", Duration::from_secs(20)).len() <= LARGEST_ENVELOPE);
    }
}
