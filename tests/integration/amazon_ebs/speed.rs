//! No wasted second: where the cloud takes its time, a build takes hardly more.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::bed::Bed;
use super::proxy::{Proxy, Times};
use super::signals;
use crate::support::Program;

/// How long things take in this cloud; about as in the real one.
const TIMES: Times = Times {
    instance: Duration::from_secs(7),
    stop: Duration::from_secs(5),
    image: Duration::from_secs(13),
};

/// What the program prints, and how long it takes.
async fn bake(bed: &Bed) -> (String, Duration) {
    let proxy = Proxy::before(bed.moto.endpoint()).with_times(TIMES).start().await;
    let program = Program::new();
    let (name, text) = signals::hcl(bed);
    program.write(name, text);
    let mut command = Command::from(program.command(["build", name]));
    command.envs(proxy.environment()).stdin(Stdio::null());
    let started = Instant::now();
    let output = command.output().await.unwrap();
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    (said, took)
}

/// What Packer loses here beside the cloud's time is 34 s. How little it is on a machine that
/// does nothing else is in the README; the other tests take processor time, too.
const LOST: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_build_takes_hardly_more_than_the_cloud_does() {
    let bed = Bed::new();
    let clouds = TIMES.instance + TIMES.stop + TIMES.image;
    let (said, took) = bake(&bed).await;
    println!("{said}\n{took:?}, of which the cloud's are {clouds:?}");
    for line in ["Where the time went:", "s  run the instance, ", "s  imgbake itself"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(took >= clouds, "{took:?}");
    assert!(took < clouds + LOST, "{took:?}, of which the cloud's are {clouds:?}");
}
