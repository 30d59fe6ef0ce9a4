//! What words mean.

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
fn mounts_networks_and_limits_are_read() {
    let run = parse(&[
        "--mount=type=bind,source=./src,target=/src,readonly,bind-propagation=rslave",
        "--mount=type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1770",
        "--mount=src=cache,target=/cache",
        "--network=web",
        "--ip=10.0.0.2",
        "--network-alias=db",
        "--link=other:o",
        "--log-driver=json-file",
        "--log-opt=max-size=1m",
        "--memory-reservation=1g",
        "--cpu-quota=5000",
        "--health-cmd=true",
        "--health-interval=30s",
        "--restart=no",
        "-p8000-8001:80-81/udp",
        "-p[::1]:9000:90",
        "-p7000-7005:70",
        "img",
    ])
    .unwrap();
    assert!(run.sees_the_host());
    let host = run.body.host_config.unwrap();
    let mounts = host.mounts.unwrap();
    assert_eq!(mounts[0].source.as_deref(), Some("/here/./src"));
    assert_eq!((mounts[0].typ, mounts[0].read_only), (Some(MountType::BIND), Some(true)));
    let tmpfs = mounts[1].tmpfs_options.as_ref().unwrap();
    assert_eq!((tmpfs.size_bytes, tmpfs.mode), (Some(64 << 20), Some(0o1770)));
    assert_eq!(mounts[2].typ, Some(MountType::VOLUME));
    assert_eq!(host.network_mode.as_deref(), Some("web"));
    let endpoints = run.body.networking_config.unwrap().endpoints_config.unwrap();
    let address = endpoints["web"].ipam_config.clone().unwrap().ipv4_address;
    assert_eq!(address.as_deref(), Some("10.0.0.2"));
    assert_eq!(endpoints["web"].aliases, Some(vec!["db".to_owned()]));
    assert_eq!(host.links.unwrap(), ["other:o"]);
    assert_eq!(host.log_config.unwrap().config.unwrap()["max-size"], "1m");
    assert_eq!((host.memory_reservation, host.cpu_quota), (Some(1 << 30), Some(5000)));
    assert_eq!(run.body.healthcheck.unwrap().interval, Some(30_000_000_000));
    let ports = host.port_bindings.unwrap();
    let bound = |port: &str| {
        let one = &ports[port].as_ref().unwrap()[0];
        (one.host_ip.clone().unwrap_or_default(), one.host_port.clone().unwrap())
    };
    assert_eq!(bound("81/udp"), (String::new(), "8001".to_owned()));
    assert_eq!(bound("90/tcp"), ("::1".to_owned(), "9000".to_owned()));
    assert_eq!(bound("70/tcp").1, "7000-7005");
}

#[test]
fn a_container_may_be_in_several_networks() {
    let run = parse(&["--network=a", "--network", "name=b,alias=db", "img"]).unwrap();
    assert_eq!(run.body.host_config.unwrap().network_mode.as_deref(), Some("a"));
    let endpoints = run.body.networking_config.unwrap().endpoints_config.unwrap();
    assert_eq!(endpoints["b"].aliases, Some(vec!["db".to_owned()]));
    assert!(endpoints.contains_key("a"));
    let unclear = parse(&["--network=a", "--network=b", "--ip=10.0.0.2", "img"]).unwrap_err();
    assert!(unclear.contains("do not say of which network"), "{unclear}");
}

#[test]
fn an_argument_that_is_not_understood_is_named() {
    for (words, expected) in [
        (&["-d", "--bogus", "img"][..], "1: `--bogus` is no flag of `docker run`"),
        (&["-dx", "img"], "0: `-x` is no flag"),
        (&["-d", "--memory"], "1: `--memory`: its value is missing"),
        (&["--memory=much", "img"], "0: `--memory`: `much` is no size"),
        (&["--mount=type=bind,target=/x", "img"], "0: `--mount`: it has no `source`"),
        (&["--mount=type=bind,place=/x", "img"], "0: `--mount`: `place=/x`: this is no field"),
        (&["-p8000-8002:80-81", "img"], "0: `--publish`: `8000-8002:80-81`: these are not as many"),
        (&["--restart=always", "img"], "0: `--restart`: the container is removed"),
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
