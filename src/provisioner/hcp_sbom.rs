//! `hcp-sbom`: fetches the list of what is in the machine, or has it made there. The build goes on
//! without one.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;
use tempfile::TempPath;

use crate::component::{Check, Command, Component, Exit, ProvisionContext, Provisioner, Upload};
use crate::config::{Late, UNKNOWN, late_fields};
use crate::diagnostic::code;
use crate::guest::harmless;
use crate::interpolate::Dot;
use crate::peer;
use crate::plugin::install;
use crate::provisioner::elevated::Elevation;
use crate::provisioner::remote::Remote;
use crate::retry::{self, Backoff, Cancelled, Try, or_cancelled};
use crate::sbom::Sbom;

late_fields! {
    /// The fields of `execute_command`.
    pub ScannerFields = ["Path", "Args", "ScanPath", "Output"];
}

/// The options of `hcp-sbom`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The SBOM on the machine: SPDX or CycloneDX in JSON. This or `auto_generate` is required.
    pub source: String,
    /// Has the SBOM made on the machine: the newest release of Packer is downloaded for that, and runs
    /// there as `packer sbom-generate`.
    pub auto_generate: bool,
    /// Where the SBOM is kept on this machine: a file, or a directory that gets a new one
    /// (`packer-user-sbom-….json`) if it is there or the path ends with a slash.
    pub destination: String,
    /// What the SBOM is called in the HCP Packer registry, where imgbake publishes nothing yet.
    pub sbom_name: String,
    /// Arguments of `packer sbom-generate`.
    #[default(vec!["-o".to_owned(), "cyclonedx-json".to_owned()])]
    pub scanner_args: Vec<String>,
    /// Out of date: it changes nothing.
    pub scanner_url: String,
    /// Out of date: it changes nothing.
    pub scanner_checksum: String,
    /// What of the machine is listed.
    #[default("/".to_owned())]
    pub scan_path: String,
    /// The command that makes the SBOM. `{{.Path}}` is the program, `{{.Args}}` its arguments,
    /// `{{.ScanPath}}` what is listed and `{{.Output}}` the SBOM. Default:
    /// `chmod +x {{.Path}} && sudo {{.Path}} sbom-generate {{.Args}} {{.ScanPath}} > {{.Output}}`, on
    /// Windows without `chmod` and `sudo`.
    pub execute_command: Option<Late<ScannerFields>>,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct HcpSbom {
    own: Options,
    elevation: Elevation,
}

impl Component for HcpSbom {
    const TYPE: &'static str = "hcp-sbom";
    const ABOUT: &'static str =
        "Fetches an SBOM from the machine, the list of what is in it, or has it made there.";
    type Options = (Options, Elevation);

    fn prepare((own, elevation): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        match (own.source.is_empty(), own.auto_generate) {
            (false, true) => {
                check.error("source", "`auto_generate` makes the SBOM: give one of the two");
            }
            (true, false) => {
                check.missing("source", "name the SBOM, or have it made with `auto_generate`");
            }
            _ => {}
        }
        if own.auto_generate {
            elevation.check(check);
            if !own.scanner_checksum.is_empty() && own.scanner_url.is_empty() {
                check.missing("scanner_url", "`scanner_checksum` belongs to it");
            }
        } else {
            check.idle(
                &[
                    "scanner_args",
                    "scan_path",
                    "execute_command",
                    "elevated_user",
                    "elevated_password",
                ],
                "without `auto_generate`",
            );
        }
        for (option, value) in
            [("scanner_url", &own.scanner_url), ("scanner_checksum", &own.scanner_checksum)]
        {
            if !value.is_empty() {
                let text = format!("`{option}` is out of date and changes nothing");
                check.warn(code::DEPRECATED_OPTION, option, text);
            }
        }
        if !own.sbom_name.is_empty()
            && !own.sbom_name.contains(UNKNOWN)
            && !is_hcp_name(&own.sbom_name)
        {
            check.error("sbom_name", "3 to 36 letters, digits and `-` name an SBOM");
        }
        if own.destination.is_empty() {
            let text =
                "nothing keeps the SBOM: imgbake does not publish in the HCP Packer registry";
            check.warn(code::OPTION_VALUE, "destination", text).help =
                Some("give `destination`, the file that it shall be kept in".to_owned());
        }
        Some(Self { own, elevation })
    }
}

/// Whether HCP Packer takes `name` for an SBOM or a bucket.
pub fn is_hcp_name(name: &str) -> bool {
    (3..=36).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

#[async_trait]
impl Provisioner for HcpSbom {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let done = match self.own.auto_generate {
            true => self.generate(cx).await.context("SBOM generation failed"),
            false => self.fetch(cx, &self.own.source).await.context("Failed to get the SBOM"),
        };
        if cx.cancel.is_cancelled() {
            return Err(Cancelled.into());
        }
        if let Err(error) = done {
            cx.ui.error(format!("{error:#}"));
            cx.ui.error("Build will continue without SBOM");
        }
        Ok(())
    }
}

impl HcpSbom {
    /// Takes the SBOM `source` from the machine, and keeps it if it is one.
    async fn fetch(&self, cx: &ProvisionContext, source: &str) -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("sbom.json");
        cx.ui.say(format!("Downloading {source}"));
        let download = cx.communicator.download(source, &file, &cx.ui);
        let downloaded = or_cancelled(&cx.cancel, download).await?;
        downloaded.with_context(|| format!("cannot download {source}"))?;
        let destination = self.own.destination.clone();
        let kept = tokio::task::spawn_blocking(move || {
            let sbom = Sbom::read(&file).context("what the machine has cannot be used")?;
            if destination.is_empty() {
                Ok(None)
            } else {
                keep(&sbom.bytes, &destination).map(Some)
            }
        });
        if let Some(kept) = kept.await?? {
            cx.ui.say(format!("The SBOM is kept in {}", kept.display()));
        }
        Ok(())
    }

    /// Has the SBOM made on the machine, and takes it from there.
    async fn generate(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        cx.ui.say("Automatic SBOM generation enabled");
        let machine = or_cancelled(&cx.cancel, Machine::of(cx)).await??;
        cx.ui.say(format!("Detected: OS={}, Arch={}", machine.system, machine.architecture));
        let program = or_cancelled(&cx.cancel, program(cx, &machine.platform())).await??;
        let remote = Remote::new(cx);
        let (path, output) = machine.files();
        let made = async {
            remote.upload("upload the scanner", Upload::File(&program), path).await?;
            cx.ui.say(format!(
                "Running scanner on remote host (scanning {})...",
                self.own.scan_path
            ));
            let command = self.command(cx, path, output)?;
            let exit = self.elevation.run(cx, &remote, Command::Template(&command)).await?;
            ensure!(exit == Exit::Status(0), "scanner exited with status {}", exit.status());
            self.fetch(cx, output).await
        };
        let made = made.await;
        remote.clean_up(&made, &remote.shell().remove_files(&[path, output])).await;
        made?;
        cx.ui.say("Automatic SBOM generation completed successfully");
        Ok(())
    }

    fn command(&self, cx: &ProvisionContext, path: &str, output: &str) -> anyhow::Result<String> {
        let usual = match cx.communicator.shell().is_posix() {
            true => {
                "chmod +x {{.Path}} && sudo {{.Path}} sbom-generate {{.Args}} {{.ScanPath}} > {{.Output}}"
            }
            false => "{{.Path}} sbom-generate {{.Args}} {{.ScanPath}} > {{.Output}}",
        };
        let given = self.own.execute_command.as_ref().map_or(usual, Late::raw);
        let own = &self.own;
        let dot: Dot = [
            ("Path", path.to_owned()),
            ("Args", own.scanner_args.join(" ")),
            ("ScanPath", own.scan_path.clone()),
            ("Output", output.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into();
        let command = Late::<ScannerFields>::new(complete(given)).render(&cx.facts.scope, &dot);
        command.context("cannot render `execute_command`")
    }
}

/// `command` with the scanner's sub-command, which older templates do not write.
fn complete(command: &str) -> String {
    static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(\{\{\s*\.Path\s*\}\})([ \t]*\{\{\s*\.(?:Args|ScanPath)\s*\}\})").ok()
    });
    match &*CALL {
        Some(call) => call.replace_all(command, "$1 sbom-generate$2").into_owned(),
        None => command.to_owned(),
    }
}

/// What a machine says of itself.
struct Machine {
    system: String,
    architecture: String,
}

impl Machine {
    async fn of(cx: &ProvisionContext) -> anyhow::Result<Self> {
        let is_posix = cx.communicator.shell().is_posix();
        let command = if is_posix { "uname -s -m" } else { "echo %PROCESSOR_ARCHITECTURE%" };
        let (exit, output) = cx.communicator.run_captured(command).await?;
        let said = harmless(&output.stdout);
        let words: Vec<&str> = said.split_whitespace().collect();
        let (system, architecture) = match words.as_slice() {
            [architecture] if !is_posix => ("Windows", *architecture),
            [system, architecture] if is_posix => (*system, *architecture),
            _ => bail!("Failed to detect remote OS: `{command}` says {said:?}"),
        };
        let is_word = |word: &str| word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        ensure!(
            exit == Exit::Status(0) && is_word(system) && is_word(architecture),
            "Failed to detect remote OS: `{command}` says {said:?}"
        );
        Ok(Self { system: system.to_owned(), architecture: architecture.to_owned() })
    }

    /// As releases name it: `linux_amd64`.
    fn platform(&self) -> String {
        let architecture = self.architecture.to_lowercase();
        let architecture = match architecture.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "i386" | "i686" | "x86" => "386",
            "armv7" | "armv7l" => "arm",
            other => other,
        };
        format!("{}_{architecture}", self.system.to_lowercase())
    }

    /// Where the scanner and the SBOM are on it.
    fn files(&self) -> (&'static str, &'static str) {
        match self.system == "Windows" {
            true => {
                (r"C:\Windows\Temp\packer-sbom-runner.exe", r"C:\Windows\Temp\packer-sbom.json")
            }
            false => ("/tmp/packer-sbom-runner", "/tmp/packer-sbom.json"),
        }
    }
}

/// How often a download is tried, and how long is waited between.
const TRIES: usize = 3;
const BETWEEN: Backoff =
    Backoff { first: Duration::from_secs(5), factor: 1.0, longest: Duration::from_secs(5) };

/// How long one try may take.
const LONGEST: Duration = Duration::from_secs(300);

/// The scanner for machines of `platform`.
async fn program(cx: &ProvisionContext, platform: &str) -> anyhow::Result<TempPath> {
    cx.ui.say(format!("Downloading the newest release of Packer for {platform}..."));
    let environment = &cx.facts.scope.environment;
    let fetched = retry::retry(BETWEEN, TRIES, || async {
        let newest = install::newest_tool(platform, environment, &cx.ui);
        match tokio::time::timeout(LONGEST, newest).await {
            Ok(Ok(fetched)) => Try::Done(fetched),
            Ok(Err(error)) => Try::Again(error),
            Err(_) => Try::Again(anyhow::anyhow!("it took longer than {LONGEST:?}")),
        }
    });
    let (version, program) = fetched.await.context("no release of Packer can be downloaded")?;
    cx.ui.say(format!("The scanner is Packer {}", version.text()));
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    Ok(program)
}

/// Keeps an SBOM in `destination`; where that is.
fn keep(sbom: &[u8], destination: &str) -> anyhow::Result<PathBuf> {
    const MODE: u32 = 0o644;
    let path = Path::new(destination);
    let context = || format!("cannot write {destination}");
    let is_directory = destination.ends_with('/') || path.is_dir();
    let dir = if is_directory { Some(path) } else { path.parent() };
    if let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
    }
    if is_directory {
        let mut file = tempfile::Builder::new()
            .prefix("packer-user-sbom-")
            .suffix(".json")
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(path)
            .with_context(context)?;
        file.write_all(sbom).with_context(context)?;
        return file.into_temp_path().keep().with_context(context);
    }
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(MODE);
    let mut file = peer::open_regular_as(&mut options, path).with_context(context)?;
    file.write_all(sbom).with_context(context)?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake;

    #[test]
    fn a_command_without_the_sub_command_gets_it_where_the_scanner_is_called() {
        for (given, completed) in [
            (
                "{{.Path}} {{.Args}} {{.ScanPath}}",
                "{{.Path}} sbom-generate {{.Args}} {{.ScanPath}}",
            ),
            ("{{ .Path }} {{ .ScanPath }}", "{{ .Path }} sbom-generate {{ .ScanPath }}"),
            ("{{.Path}} sbom-generate {{.Args}}", "{{.Path}} sbom-generate {{.Args}}"),
            ("chmod +x {{.Path}} && {{.Path}} version", "chmod +x {{.Path}} && {{.Path}} version"),
        ] {
            assert_eq!(complete(given), completed);
        }
    }

    #[test]
    fn machines_are_named_as_releases_name_them() {
        for (system, architecture, platform) in [
            ("Linux", "x86_64", "linux_amd64"),
            ("Linux", "aarch64", "linux_arm64"),
            ("Linux", "armv7l", "linux_arm"),
            ("FreeBSD", "i386", "freebsd_386"),
            ("Windows", "AMD64", "windows_amd64"),
        ] {
            let machine = Machine { system: system.into(), architecture: architecture.into() };
            assert_eq!(machine.platform(), platform);
        }
    }

    #[test]
    fn a_destination_is_a_file_or_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| format!("{}/{name}", dir.path().display());
        let file = keep(b"1", &place("a/sbom.json")).unwrap();
        assert_eq!(file, dir.path().join("a/sbom.json"));
        assert_eq!(keep(b"2", &place("a/sbom.json")).unwrap(), file);
        assert_eq!(fs::read(&file).unwrap(), b"2");
        for directory in ["new/", "new", "a"] {
            let kept = keep(b"3", &place(directory)).unwrap();
            let name = kept.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with("packer-user-sbom-") && name.ends_with(".json"), "{name}");
            assert_eq!(fs::read(kept).unwrap(), b"3");
        }
    }

    #[test]
    fn what_cannot_be_is_said_before_anything_runs() {
        let refused =
            |options: serde_json::Value| fake::prepare::<HcpSbom>(options).unwrap_err().join("\n");
        for (options, why) in [
            (json!({}), "needs `source`"),
            (json!({"source": "a", "auto_generate": true}), "give one of the two"),
            (json!({"source": "a", "sbom_name": "no_underscore"}), "`-` name an SBOM"),
            (json!({"source": "a", "sbom_name": "ab"}), "`-` name an SBOM"),
            (json!({"auto_generate": true, "elevated_password": "x"}), "needs `elevated_user`"),
            (json!({"auto_generate": true, "scanner_checksum": "x"}), "needs `scanner_url`"),
        ] {
            let said = refused(options.clone());
            assert!(said.contains(why), "{options}: {said}");
        }
        let unknown = json!({"source": "a", "sbom_name": format!("{UNKNOWN}_x")});
        assert!(fake::prepare::<HcpSbom>(unknown).is_ok());
    }
}
