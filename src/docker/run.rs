//! What the arguments of `docker run` mean, as templates write them into `run_command`: the same
//! container, made through the engine's interface.

mod asked;
mod mount;
mod network;
mod words;

use std::fmt;

use bollard::models::{
    DeviceMapping, DeviceRequest, HealthConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountType, ResourcesUlimits,
};

pub use self::asked::Run;

use self::asked::{host, insert, push, set};
use self::words::{boolean, bytes, number};

use crate::config::GoDuration;
use crate::env::Environment;

/// How much a file of variables may say.
const LARGEST_FILE: u64 = 1024 * 1024;

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
    value("annotation", None, |run, text, _| insert(&mut host(run).annotations, text)),
    value("blkio-weight", None, |run, text, _| {
        let weight = text.parse().map_err(|_| format!("`{text}` is no weight"))?;
        set(&mut host(run).blkio_weight, weight)
    }),
    value("cap-add", None, |run, text, _| push(&mut host(run).cap_add, text)),
    value("cap-drop", None, |run, text, _| push(&mut host(run).cap_drop, text)),
    value("cgroup-parent", None, |run, text, _| set(&mut host(run).cgroup_parent, text.into())),
    value("cgroupns", None, cgroup_namespace),
    value("cpu-period", None, |run, text, _| set(&mut host(run).cpu_period, number(text)?)),
    value("cpu-quota", None, |run, text, _| set(&mut host(run).cpu_quota, number(text)?)),
    value("cpu-shares", Some('c'), |run, text, _| set(&mut host(run).cpu_shares, number(text)?)),
    value("cpus", None, cpus),
    value("cpuset-cpus", None, |run, text, _| set(&mut host(run).cpuset_cpus, text.into())),
    value("cpuset-mems", None, |run, text, _| set(&mut host(run).cpuset_mems, text.into())),
    value("device", None, |run, text, _| {
        host(run).devices.get_or_insert_default().push(device(text));
        Ok(())
    }),
    value("device-cgroup-rule", None, |run, text, _| {
        push(&mut host(run).device_cgroup_rules, text)
    }),
    value("dns", None, |run, text, _| push(&mut host(run).dns, text)),
    value("dns-option", None, |run, text, _| push(&mut host(run).dns_options, text)),
    value("dns-search", None, |run, text, _| push(&mut host(run).dns_search, text)),
    value("domainname", None, |run, text, _| set(&mut run.body.domainname, text.into())),
    value("entrypoint", None, |run, text, _| set(&mut run.body.entrypoint, vec![text.into()])),
    value("env", Some('e'), variable),
    value("env-file", None, variables_of_file),
    value("expose", None, network::expose),
    value("gpus", None, gpus),
    value("group-add", None, |run, text, _| push(&mut host(run).group_add, text)),
    value("health-cmd", None, |run, text, _| {
        set(&mut health(run).test, vec!["CMD-SHELL".to_owned(), text.to_owned()])
    }),
    value("health-interval", None, |run, text, _| {
        set(&mut health(run).interval, nanoseconds(text)?)
    }),
    value("health-retries", None, |run, text, _| set(&mut health(run).retries, number(text)?)),
    value("health-start-period", None, |run, text, _| {
        set(&mut health(run).start_period, nanoseconds(text)?)
    }),
    value("health-timeout", None, |run, text, _| set(&mut health(run).timeout, nanoseconds(text)?)),
    value("hostname", Some('h'), |run, text, _| set(&mut run.body.hostname, text.into())),
    value("ip", None, network::ip),
    value("ip6", None, network::ip6),
    value("ipc", None, |run, text, _| set(&mut host(run).ipc_mode, text.into())),
    value("label", Some('l'), label),
    value("link", None, |run, text, _| push(&mut host(run).links, text)),
    value("log-driver", None, |run, text, _| set(&mut log(run).typ, text.into())),
    value("log-opt", None, |run, text, _| insert(&mut log(run).config, text)),
    value("mac-address", None, network::mac_address),
    value("memory", Some('m'), |run, text, _| set(&mut host(run).memory, bytes(text)?)),
    value("memory-reservation", None, |run, text, _| {
        set(&mut host(run).memory_reservation, bytes(text)?)
    }),
    value("memory-swappiness", None, |run, text, _| {
        set(&mut host(run).memory_swappiness, number(text)?)
    }),
    value("memory-swap", None, |run, text, _| {
        set(&mut host(run).memory_swap, if text == "-1" { -1 } else { bytes(text)? })
    }),
    value("mount", None, mount::mount),
    value("name", None, |run, text, _| set(&mut run.name, text.into())),
    value("net", None, network::network),
    value("net-alias", None, network::alias),
    value("network", None, network::network),
    value("network-alias", None, network::alias),
    switch("no-healthcheck", None, |run, text, _| match boolean(text)? {
        true => set(&mut health(run).test, vec!["NONE".to_owned()]),
        false => Ok(()),
    }),
    switch("oom-kill-disable", None, |run, text, _| {
        set(&mut host(run).oom_kill_disable, boolean(text)?)
    }),
    value("oom-score-adj", None, |run, text, _| set(&mut host(run).oom_score_adj, number(text)?)),
    value("pid", None, |run, text, _| set(&mut host(run).pid_mode, text.into())),
    value("pids-limit", None, |run, text, _| set(&mut host(run).pids_limit, number(text)?)),
    value("platform", None, |run, text, _| set(&mut run.platform, text.into())),
    value("publish", Some('p'), network::publish),
    value("restart", None, restart),
    value("runtime", None, |run, text, _| set(&mut host(run).runtime, text.into())),
    value("security-opt", None, |run, text, _| push(&mut host(run).security_opt, text)),
    value("shm-size", None, |run, text, _| set(&mut host(run).shm_size, bytes(text)?)),
    value("stop-signal", None, |run, text, _| set(&mut run.body.stop_signal, text.into())),
    value("stop-timeout", None, |run, text, _| set(&mut run.body.stop_timeout, number(text)?)),
    value("storage-opt", None, |run, text, _| insert(&mut host(run).storage_opt, text)),
    value("sysctl", None, |run, text, _| insert(&mut host(run).sysctls, text)),
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
    value("volume-driver", None, |run, text, _| set(&mut host(run).volume_driver, text.into())),
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
        run.connect().map_err(|cause| BadArgument { at: at.saturating_sub(1), cause })?;
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
        let Some(host) = &self.body.host_config else { return false };
        let is_bound =
            |mounts: &Vec<_>| mounts.iter().any(|one: &Mount| one.typ == Some(MountType::BIND));
        host.binds.as_ref().is_some_and(|binds| !binds.is_empty())
            || host.mounts.as_ref().is_some_and(is_bound)
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

/// What becomes of a container that ends: it is removed, with the build.
fn restart(_: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    match text {
        "no" => Ok(()),
        _ => Err("the container is removed as soon as it ends: leave it away".to_owned()),
    }
}

fn log(run: &mut Run) -> &mut HostConfigLogConfig {
    host(run).log_config.get_or_insert_default()
}

fn health(run: &mut Run) -> &mut HealthConfig {
    run.body.healthcheck.get_or_insert_default()
}

/// A duration such as `30s`, in nanoseconds.
fn nanoseconds(text: &str) -> Result<i64, String> {
    let time = GoDuration::parse(text)?;
    i64::try_from(time.get().as_nanos()).map_err(|_| format!("`{text}` is too long"))
}

#[cfg(test)]
mod tests;
