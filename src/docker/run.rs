//! What the arguments of `docker run` mean, as templates write them into `run_command`: the same
//! container, made through the engine's interface.

use std::collections::HashMap;
use std::fmt;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigCgroupnsModeEnum,
    PortBinding, ResourcesUlimits,
};

use crate::env::Environment;

/// How much a file of variables may say.
const LARGEST_FILE: u64 = 1024 * 1024;

/// A container that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// All that the engine is told.
    pub body: ContainerCreateBody,
    /// The name that the container is given.
    pub name: Option<String>,
    /// `--platform`.
    pub platform: Option<String>,
}

/// An argument that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadArgument {
    /// Which one it is.
    pub at: usize,
    /// What is wrong with it.
    pub cause: String,
}

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for BadArgument {}

/// What a flag does with its value; `true` or `false` if it is a switch.
type Apply = fn(&mut Run, &str, &Environment) -> Result<(), String>;

/// A flag of `docker run`.
struct Flag {
    long: &'static str,
    short: Option<char>,
    /// Whether it needs no value.
    is_switch: bool,
    apply: Apply,
}

const fn value(long: &'static str, short: Option<char>, apply: Apply) -> Flag {
    Flag { long, short, is_switch: false, apply }
}

const fn switch(long: &'static str, short: Option<char>, apply: Apply) -> Flag {
    Flag { long, short, is_switch: true, apply }
}

/// All flags that are understood. `-d`, and `--rm`, say what is done in any case.
const FLAGS: &[Flag] = &[
    switch("detach", Some('d'), |_, text, _| boolean(text).map(|_| ())),
    switch("rm", None, |_, text, _| boolean(text).map(|_| ())),
    switch("interactive", Some('i'), |run, text, _| set(&mut run.body.open_stdin, boolean(text)?)),
    switch("tty", Some('t'), |run, text, _| set(&mut run.body.tty, boolean(text)?)),
    switch("privileged", None, |run, text, _| set(&mut host(run).privileged, boolean(text)?)),
    switch("init", None, |run, text, _| set(&mut host(run).init, boolean(text)?)),
    switch("read-only", None, |run, text, _| set(&mut host(run).readonly_rootfs, boolean(text)?)),
    switch("publish-all", Some('P'), |run, text, _| {
        set(&mut host(run).publish_all_ports, boolean(text)?)
    }),
    value("add-host", None, |run, text, _| push(&mut host(run).extra_hosts, text)),
    value("cap-add", None, |run, text, _| push(&mut host(run).cap_add, text)),
    value("cap-drop", None, |run, text, _| push(&mut host(run).cap_drop, text)),
    value("cgroup-parent", None, |run, text, _| set(&mut host(run).cgroup_parent, text.into())),
    value("cgroupns", None, cgroup_namespace),
    value("cpu-shares", Some('c'), |run, text, _| set(&mut host(run).cpu_shares, number(text)?)),
    value("cpus", None, cpus),
    value("cpuset-cpus", None, |run, text, _| set(&mut host(run).cpuset_cpus, text.into())),
    value("device", None, |run, text, _| {
        host(run).devices.get_or_insert_default().push(device(text));
        Ok(())
    }),
    value("dns", None, |run, text, _| push(&mut host(run).dns, text)),
    value("dns-option", None, |run, text, _| push(&mut host(run).dns_options, text)),
    value("dns-search", None, |run, text, _| push(&mut host(run).dns_search, text)),
    value("entrypoint", None, |run, text, _| set(&mut run.body.entrypoint, vec![text.into()])),
    value("env", Some('e'), variable),
    value("env-file", None, variables_of_file),
    value("expose", None, |run, text, _| push(&mut run.body.exposed_ports, &with_protocol(text))),
    value("gpus", None, gpus),
    value("group-add", None, |run, text, _| push(&mut host(run).group_add, text)),
    value("hostname", Some('h'), |run, text, _| set(&mut run.body.hostname, text.into())),
    value("ipc", None, |run, text, _| set(&mut host(run).ipc_mode, text.into())),
    value("label", Some('l'), label),
    value("memory", Some('m'), |run, text, _| set(&mut host(run).memory, bytes(text)?)),
    value("memory-swap", None, |run, text, _| {
        set(&mut host(run).memory_swap, if text == "-1" { -1 } else { bytes(text)? })
    }),
    value("name", None, |run, text, _| set(&mut run.name, text.into())),
    value("net", None, |run, text, _| set(&mut host(run).network_mode, text.into())),
    value("network", None, |run, text, _| set(&mut host(run).network_mode, text.into())),
    value("pid", None, |run, text, _| set(&mut host(run).pid_mode, text.into())),
    value("pids-limit", None, |run, text, _| set(&mut host(run).pids_limit, number(text)?)),
    value("platform", None, |run, text, _| set(&mut run.platform, text.into())),
    value("publish", Some('p'), publish),
    value("runtime", None, |run, text, _| set(&mut host(run).runtime, text.into())),
    value("security-opt", None, |run, text, _| push(&mut host(run).security_opt, text)),
    value("shm-size", None, |run, text, _| set(&mut host(run).shm_size, bytes(text)?)),
    value("stop-signal", None, |run, text, _| set(&mut run.body.stop_signal, text.into())),
    value("sysctl", None, |run, text, _| {
        let (name, value) = text.split_once('=').ok_or("this is no `name=value`")?;
        host(run).sysctls.get_or_insert_default().insert(name.into(), value.into());
        Ok(())
    }),
    value("tmpfs", None, |run, text, _| {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        host(run).tmpfs.get_or_insert_default().insert(path.into(), options.into());
        Ok(())
    }),
    value("ulimit", None, ulimit),
    value("user", Some('u'), |run, text, _| set(&mut run.body.user, text.into())),
    value("userns", None, |run, text, _| set(&mut host(run).userns_mode, text.into())),
    value("uts", None, |run, text, _| set(&mut host(run).uts_mode, text.into())),
    value("volume", Some('v'), volume),
    value("volumes-from", None, |run, text, _| push(&mut host(run).volumes_from, text)),
    value("workdir", Some('w'), |run, text, _| set(&mut run.body.working_dir, text.into())),
];

impl Run {
    /// Reads the arguments of `docker run`: flags, the image, a command.
    ///
    /// # Errors
    /// When one of them means nothing here.
    pub fn parse(words: &[String], environment: &Environment) -> Result<Self, BadArgument> {
        let mut run = Self::default();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            if word == "--" {
                at += 1;
                break;
            }
            if !word.starts_with('-') || word == "-" {
                break;
            }
            let bad = |cause| BadArgument { at, cause };
            let takes_next = run.take(word, words.get(at + 1), environment).map_err(bad)?;
            at += 1 + usize::from(takes_next);
        }
        match words.get(at) {
            Some(image) if !image.is_empty() => run.body.image = Some(image.clone()),
            _ => {
                let cause = "no image follows the flags: end with `{{ .Image }}`".to_owned();
                return Err(BadArgument { at: words.len().saturating_sub(1), cause });
            }
        }
        let command = words.get(at + 1..).unwrap_or_default();
        run.body.cmd = Some(command.to_vec()).filter(|command| !command.is_empty());
        Ok(run)
    }

    /// Gives it the flag `--name=text`.
    ///
    /// # Errors
    /// When the text means nothing there.
    pub fn flag(
        &mut self,
        name: &str,
        text: &str,
        environment: &Environment,
    ) -> Result<(), String> {
        self.take(&format!("--{name}={text}"), None, environment).map(|_| ())
    }

    /// Whether it sees directories of the host.
    pub fn sees_the_host(&self) -> bool {
        let host = self.body.host_config.as_ref();
        host.and_then(|host| host.binds.as_ref()).is_some_and(|binds| !binds.is_empty())
    }

    /// Takes one word of flags; whether `next` is the value of the last.
    fn take(
        &mut self,
        word: &str,
        next: Option<&String>,
        environment: &Environment,
    ) -> Result<bool, String> {
        if let Some(long) = word.strip_prefix("--") {
            let (name, given) = match long.split_once('=') {
                Some((name, given)) => (name, Some(given)),
                None => (long, None),
            };
            let flag = FLAGS.iter().find(|flag| flag.long == name).ok_or_else(|| unknown(word))?;
            return self.apply(flag, given, next, environment);
        }
        let mut letters = word[1..].chars();
        while let Some(letter) = letters.next() {
            let flag = FLAGS.iter().find(|flag| flag.short == Some(letter));
            let flag = flag.ok_or_else(|| unknown(&format!("-{letter}")))?;
            if flag.is_switch {
                (flag.apply)(self, "true", environment)?;
                continue;
            }
            let rest = letters.as_str();
            let given = Some(rest.strip_prefix('=').unwrap_or(rest)).filter(|_| !rest.is_empty());
            return self.apply(flag, given, next, environment);
        }
        Ok(false)
    }

    fn apply(
        &mut self,
        flag: &Flag,
        given: Option<&str>,
        next: Option<&String>,
        environment: &Environment,
    ) -> Result<bool, String> {
        let named = |cause| format!("`--{}`: {cause}", flag.long);
        let (text, takes_next) = match (given, next) {
            (Some(given), _) => (given, false),
            (None, _) if flag.is_switch => ("true", false),
            (None, Some(next)) => (next.as_str(), true),
            (None, None) => return Err(named("its value is missing".to_owned())),
        };
        (flag.apply)(self, text, environment).map_err(named)?;
        Ok(takes_next)
    }
}

fn unknown(flag: &str) -> String {
    format!("`{flag}` is no flag of `docker run` that imgbake knows")
}

fn host(run: &mut Run) -> &mut HostConfig {
    run.body.host_config.get_or_insert_default()
}

#[expect(clippy::unnecessary_wraps, reason = "the table's functions end with it")]
fn set<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    *place = Some(value);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the table's functions end with it")]
fn push(place: &mut Option<Vec<String>>, text: &str) -> Result<(), String> {
    place.get_or_insert_default().push(text.to_owned());
    Ok(())
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is no whole number"))
}

/// A number of bytes: `512m`.
fn bytes(text: &str) -> Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, factor) = match lower.chars().next_back() {
        Some('k') => (&lower[..lower.len() - 1], 1 << 10),
        Some('m') => (&lower[..lower.len() - 1], 1 << 20),
        Some('g') => (&lower[..lower.len() - 1], 1 << 30),
        Some('t') => (&lower[..lower.len() - 1], 1_i64 << 40),
        _ => (lower, 1),
    };
    let number = digits.trim().parse::<i64>().ok().and_then(|number| number.checked_mul(factor));
    number.filter(|n| *n >= 0).ok_or_else(|| format!("`{text}` is no size such as `512m`"))
}

fn cpus(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let bad = || format!("`{text}` is no number of CPUs such as `1.5`");
    if part.len() > 9 {
        return Err(bad());
    }
    let nanos = format!("{whole}{part:0<9}").parse().map_err(|_| bad())?;
    set(&mut host(run).nano_cpus, nanos)
}

fn cgroup_namespace(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let mode = match text {
        "host" => HostConfigCgroupnsModeEnum::HOST,
        "private" => HostConfigCgroupnsModeEnum::PRIVATE,
        _ => return Err(format!("`{text}` is neither `host` nor `private`")),
    };
    set(&mut host(run).cgroupns_mode, mode)
}

/// `/dev/fuse`, `/dev/a:/dev/b`, `/dev/a:/dev/b:rwm`, `/dev/a:rwm`.
fn device(text: &str) -> DeviceMapping {
    let mut parts = text.splitn(3, ':');
    let on_host = parts.next().unwrap_or_default();
    let (inside, rights) = match (parts.next(), parts.next()) {
        (None, _) => (on_host, "rwm"),
        (Some(rights), None) if !rights.starts_with('/') => (on_host, rights),
        (Some(inside), rights) => (inside, rights.unwrap_or("rwm")),
    };
    DeviceMapping {
        path_on_host: Some(on_host.to_owned()),
        path_in_container: Some(inside.to_owned()),
        cgroup_permissions: Some(rights.to_owned()),
    }
}

fn variable(run: &mut Run, text: &str, environment: &Environment) -> Result<(), String> {
    if text.starts_with('=') || text.is_empty() {
        return Err("this is no `NAME=value`".to_owned());
    }
    // A name alone passes our own variable on, if there is one.
    let passed = || environment.get(text).map(|value| format!("{text}={value}"));
    match if text.contains('=') { Some(text.to_owned()) } else { passed() } {
        Some(variable) => push(&mut run.body.env, &variable),
        None => Ok(()),
    }
}

fn variables_of_file(run: &mut Run, path: &str, environment: &Environment) -> Result<(), String> {
    let text = environment.reach.read_text(&environment.cwd.join(path), LARGEST_FILE);
    let text = text.map_err(|error| format!("cannot read {path}: {error}"))?;
    let lines = text.lines().map(str::trim_start);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        variable(run, line, environment)?;
    }
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of the table's functions")]
fn label(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    run.body.labels.get_or_insert_default().insert(name.to_owned(), value.to_owned());
    Ok(())
}

fn gpus(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let count = if text == "all" { -1 } else { number(text)? };
    let request = DeviceRequest {
        count: Some(count),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    };
    host(run).device_requests.get_or_insert_default().push(request);
    Ok(())
}

fn ulimit(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let (name, limits) = text.split_once('=').ok_or("this is no `name=soft:hard`")?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let limit = ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(number(soft)?),
        hard: Some(number(hard)?),
    };
    host(run).ulimits.get_or_insert_default().push(limit);
    Ok(())
}

/// A path of this host is absolute; `~` is the home directory.
fn volume(run: &mut Run, text: &str, environment: &Environment) -> Result<(), String> {
    if !text.contains(':') {
        return push(&mut run.body.volumes, text);
    }
    let home = || environment.home().map(|home| home.display().to_string());
    let bound = match text.strip_prefix("~/") {
        Some(rest) => {
            let home = home().ok_or("nobody says where the home directory is: set HOME")?;
            format!("{home}/{rest}")
        }
        None if text.starts_with("./") || text.starts_with("../") => {
            format!("{}/{text}", environment.cwd.display())
        }
        None => text.to_owned(),
    };
    push(&mut host(run).binds, &bound)
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// `80`, `8080:80`, `127.0.0.1:8080:80`, each with `/udp` at its end.
fn publish(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let mut parts = text.rsplitn(3, ':');
    let inside = with_protocol(parts.next().unwrap_or_default());
    let digits = inside.split('/').next().unwrap_or_default();
    if digits.parse::<u16>().is_err() {
        return Err(format!("`{text}` is no port such as `8080:80`: ranges are not built"));
    }
    let binding = PortBinding {
        host_port: Some(parts.next().unwrap_or_default().to_owned()),
        host_ip: parts.next().map(str::to_owned),
    };
    push(&mut run.body.exposed_ports, &inside)?;
    let bindings: &mut HashMap<_, _> = host(run).port_bindings.get_or_insert_default();
    bindings.entry(inside).or_default().get_or_insert_default().push(binding);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;

    fn parse(words: &[&str]) -> Result<Run, String> {
        let vars = BTreeMap::from([
            ("HOME".to_owned(), "/home/me".to_owned()),
            ("TOKEN".to_owned(), "abc".to_owned()),
        ]);
        let environment = Environment::new(vars, "/here".into(), Timestamp::UNIX_EPOCH);
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        Run::parse(&words, &environment).map_err(|bad| format!("{}: {bad}", bad.at))
    }

    #[test]
    fn the_usual_arguments_make_a_container_that_waits() {
        let run = parse(&["-d", "-i", "-t", "--entrypoint=/bin/sh", "--", "debian:12"]).unwrap();
        assert_eq!(run.body.image.as_deref(), Some("debian:12"));
        assert_eq!(run.body.entrypoint, Some(vec!["/bin/sh".to_owned()]));
        assert_eq!((run.body.tty, run.body.open_stdin), (Some(true), Some(true)));
        assert_eq!(run.body.cmd, None);
    }

    #[test]
    fn flags_are_read_as_dockers_own_program_reads_them() {
        let run = parse(&[
            "-dit",
            "-eA=1",
            "-e",
            "TOKEN",
            "--env=UNSET",
            "-v",
            "~/x:/x:ro",
            "--volume=/data",
            "--network",
            "host",
            "-m512m",
            "--cpus=1.5",
            "--cgroupns=host",
            "-p",
            "8080:80",
            "--device=/dev/fuse",
            "--privileged=false",
            "--name",
            "web",
            "img",
            "sleep",
            "-1",
        ])
        .unwrap();
        let host = run.body.host_config.unwrap();
        assert_eq!(run.body.env.unwrap(), ["A=1", "TOKEN=abc"]);
        assert_eq!(host.binds.unwrap(), ["/home/me/x:/x:ro"]);
        assert_eq!(run.body.volumes.unwrap(), ["/data"]);
        assert_eq!(host.network_mode.as_deref(), Some("host"));
        assert_eq!((host.memory, host.nano_cpus), (Some(512 << 20), Some(1_500_000_000)));
        assert_eq!(host.cgroupns_mode, Some(HostConfigCgroupnsModeEnum::HOST));
        assert_eq!(host.privileged, Some(false));
        assert!(host.port_bindings.unwrap().contains_key("80/tcp"));
        assert_eq!(run.name.as_deref(), Some("web"));
        assert_eq!(run.body.cmd.unwrap(), ["sleep", "-1"]);
    }

    #[test]
    fn an_argument_that_is_not_understood_is_named() {
        for (words, expected) in [
            (&["-d", "--bogus", "img"][..], "1: `--bogus` is no flag of `docker run`"),
            (&["-dx", "img"], "0: `-x` is no flag"),
            (&["-d", "--memory"], "1: `--memory`: its value is missing"),
            (&["--memory=much", "img"], "0: `--memory`: `much` is no size"),
            (&["-d", "-i"], "1: no image follows the flags"),
        ] {
            let refused = parse(words).unwrap_err();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn a_device_has_a_place_and_rights() {
        let parts = |text| {
            let device = device(text);
            [device.path_on_host, device.path_in_container, device.cgroup_permissions]
                .map(Option::unwrap)
        };
        assert_eq!(parts("/dev/a"), ["/dev/a", "/dev/a", "rwm"]);
        assert_eq!(parts("/dev/a:/dev/b"), ["/dev/a", "/dev/b", "rwm"]);
        assert_eq!(parts("/dev/a:r"), ["/dev/a", "/dev/a", "r"]);
        assert_eq!(parts("/dev/a:/dev/b:rw"), ["/dev/a", "/dev/b", "rw"]);
    }
}
