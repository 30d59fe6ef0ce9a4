//! Real servers for the tests: sshd, moto; and the program under test.
//!
//! Everything here starts what it needs or panics: a test never skips. What it starts ends when the
//! value is dropped.

#![allow(dead_code, unused_imports, reason = "not every capability needs every server")]

mod awkward;
pub mod changes;
mod cloud;
mod context;
#[cfg(feature = "docker")]
mod dockerd;
mod guest;
mod instance;
mod moto;
mod narrow;
mod program;
#[cfg(feature = "docker")]
pub mod registry;
mod relay;
mod served;
mod sshd;
mod uefi;
mod winrm;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

pub use awkward::VALUES as AWKWARD;
pub use cloud::Cloud;
pub use context::build_context;
#[cfg(feature = "docker")]
pub use dockerd::{BASE, Dockerd};
pub use guest::{
    GREETING, Then, cd, debian_disk, debian_source, disk_that_prints_scancodes,
    disk_that_reads_slowly, image_info, kickstart_installer, processes_with, small_disk,
    small_installer, wait_for_the_end_of, wait_until_nobody_works_in,
};
pub use instance::Instance;
pub use moto::{ACCESS_KEY, Moto, SECRET_KEY};
pub use narrow::Narrow;
pub use program::{Program, Run, signal};
pub use relay::Relay;
pub use served::Served;
pub use sshd::{Sshd, current_user, generate_key};
pub use uefi::{Cpu, uefi_disk};
pub use winrm::{PASSWORD, USER, WinRm};

/// Where fixtures are.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// Where what takes long to make is kept between runs, outside of the checkout.
pub fn cache_dir() -> PathBuf {
    let dir = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = dir("XDG_CACHE_HOME").or_else(|| Some(dir("HOME")?.join(".cache")));
    cache.expect("HOME is set").join("imgbake/tests")
}

/// A port of the loopback address that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// Waits until something listens on `port`, as long as `server` lives.
fn wait_for_port(server: &mut Child, port: u16, what: &str) {
    wait_for(port, what, || {
        if let Some(status) = server.try_wait().expect("a child to ask") {
            panic!("{what} ended early: {status}");
        }
    });
}

/// Waits until something listens on `port`; `is_there` panics when nothing ever will.
fn wait_for(port: u16, what: &str, mut is_there: impl FnMut()) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        is_there();
        assert!(Instant::now() < deadline, "{what} does not listen on port {port}");
        pause(20);
    }
}

/// A test may block.
#[expect(clippy::disallowed_methods, reason = "a test has nothing else to do meanwhile")]
pub fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// A child that ends with its owner.
#[derive(Debug)]
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
