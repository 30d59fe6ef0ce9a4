//! Docker's engine, with an image of its own: no registry is needed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::{Server, pause};

/// The image that each engine has: BusyBox, and the user `app`.
pub const BASE: &str = "base:1";

/// A running engine without images and containers of anybody else.
#[derive(Debug)]
pub struct Dockerd {
    /// Ends the engine when its input ends, even if the test is killed.
    keeper: Server,
    dir: TempDir,
}

/// Starts the engine, ends it with its input, and removes its directory $1.
const KEEPER: &str = r#"dir=$1; shift; exec 3<&0; "$@" </dev/null & engine=$!
cat <&3 >/dev/null; kill $engine; wait $engine; rm -rf --one-file-system "$dir""#;

impl Dockerd {
    /// The engine that tests share which mind only their own names.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Dockerd> = LazyLock::new(Dockerd::start);
        &SHARED
    }

    /// Starts an engine of its own.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, where the engine reaches registries through a proxy.
    pub fn start_with_proxy(proxy: &str) -> Self {
        Self::start_with(&["HTTPS_PROXY", "HTTP_PROXY"].map(|name| format!("{name}={proxy}")))
    }

    fn start_with(variables: &[String]) -> Self {
        let dir =
            tempfile::Builder::new().prefix("imgbake-dockerd").tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let log = File::create(path("log")).expect("a log");
        let is_root = rustix::process::geteuid().is_root();
        let group = rustix::process::getegid().as_raw().to_string();
        let mut keeper = Command::new(if is_root { "sh" } else { "sudo" });
        if !is_root {
            keeper.args(["-n", "sh"]);
        }
        let keeper = keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(dir.path())
            .arg("env")
            .args(variables)
            .arg("dockerd")
            .args(["--host", &format!("unix://{}", path("sock")), "--group", &group])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "--shutdown-timeout", "1"])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("sh");
        let mut engine = Self { keeper: Server(keeper), dir };
        engine.wait();
        engine.import_base();
        engine
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.curl("GET", "/_ping", &[]).status.success() {
            let ended = self.keeper.0.try_wait().expect("a child to ask");
            let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let is_late = ended.is_some() || Instant::now() > deadline;
            assert!(!is_late, "no engine (docker.io is installed by tests/run): {}", log());
            pause(50);
        }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    /// The variable that leads to it.
    pub fn environment(&self) -> [(&'static str, String); 1] {
        [("DOCKER_HOST", format!("unix://{}", self.socket().display()))]
    }

    fn curl(&self, method: &str, path: &str, more: &[&str]) -> Output {
        Command::new("curl")
            .args(["-sS", "--fail-with-body", "-X", method, "--unix-socket"])
            .arg(self.socket())
            .args(more)
            .arg(format!("http://docker{path}"))
            .output()
            .expect("curl is installed (tests/run does)")
    }

    /// What a call of its interface answers; it must succeed.
    pub fn call(&self, method: &str, path: &str) -> String {
        let output = self.curl(method, path, &[]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{method} {path}: {said}");
        said
    }

    /// The same for data.
    pub fn get(&self, path: &str) -> Json {
        serde_json::from_str(&self.call("GET", path)).expect("JSON")
    }

    /// Makes a container called `name`, which does not run: its id.
    pub fn create_container(&self, name: &str) -> String {
        let body = r#"{"Image":"base:1","Cmd":["true"]}"#;
        let more = ["-H", "Content-Type: application/json", "-d", body];
        let output = self.curl("POST", &format!("/containers/create?name={name}"), &more);
        assert!(output.status.success(), "{output:?}");
        let made: Json = serde_json::from_slice(&output.stdout).expect("JSON");
        made["Id"].as_str().expect("an id").to_owned()
    }

    /// Makes the image `name` of a directory.
    pub fn import(&self, dir: &Path, name: &str) {
        let archive = self.dir.path().join("import.tar");
        let packed =
            Command::new("tar").arg("-C").arg(dir).arg("-cf").arg(&archive).arg(".").status();
        assert!(packed.expect("tar").success());
        self.import_file(&archive, name);
        std::fs::remove_file(archive).expect("the archive");
    }

    /// Makes the image `name` of a tar archive.
    pub fn import_file(&self, archive: &Path, name: &str) {
        let (repo, tag) = name.split_once(':').expect("a tag");
        let path = format!("/images/create?fromSrc=-&repo={repo}&tag={tag}");
        let from = ["-T".to_owned(), archive.display().to_string()];
        let output = self.curl("POST", &path, &[&from[0], &from[1]]);
        assert!(output.status.success(), "{output:?}");
    }

    fn import_base(&self) {
        let root = tempfile::tempdir().expect("a directory");
        let made = Command::new("sh").args(["-euc", BUSYBOX, "make"]).arg(root.path()).output();
        let made = made.expect("sh");
        assert!(made.status.success(), "busybox is installed (tests/run does): {made:?}");
        self.import(root.path(), BASE);
    }

    /// The names of all containers.
    pub fn containers(&self) -> Vec<String> {
        texts(&self.get("/containers/json?all=1"), "/Names/0")
    }

    /// Waits until there are no containers: the engine may still be removing one.
    pub fn has_no_containers(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.containers().is_empty() && Instant::now() < deadline {
            pause(50);
        }
        self.containers().is_empty()
    }

    /// The ids of all images, those in between too.
    pub fn images(&self) -> Vec<String> {
        let mut ids = texts(&self.get("/images/json?all=1"), "/Id");
        ids.sort();
        ids
    }

    /// All names of images.
    pub fn image_names(&self) -> Vec<String> {
        let images = self.get("/images/json?all=1");
        let images = images.as_array().expect("a list").iter();
        let names = images.filter_map(|image| image["RepoTags"].as_array());
        let mut names: Vec<_> =
            names.flatten().map(|name| name.as_str().expect("a name").to_owned()).collect();
        names.sort();
        names
    }

    /// All volumes.
    pub fn volumes(&self) -> Vec<String> {
        match &self.get("/volumes")["Volumes"] {
            Json::Null => Vec::new(),
            volumes => texts(volumes, "/Name"),
        }
    }

    /// What `command` prints in a container of the image `name`.
    pub fn run_in(&self, name: &str, command: &str) -> String {
        let docker = |args: &[&str]| {
            let output = Command::new("docker")
                .envs(self.environment())
                .args(args)
                .output()
                .expect("docker is installed (tests/run does)");
            assert!(output.status.success(), "{args:?}: {output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        docker(&["run", "--rm", "--entrypoint=/bin/sh", name, "-c", command])
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // The engine needs a moment to let its directories go.
        drop(self.keeper.0.stdin.take());
        let _ = self.keeper.0.wait();
    }
}

/// The text at `pointer` of each of a list.
fn texts(list: &Json, pointer: &str) -> Vec<String> {
    let text = |one: &Json| one.pointer(pointer).and_then(Json::as_str).expect("a text").to_owned();
    list.as_array().expect("a list").iter().map(text).collect()
}

/// Makes the file system of [`BASE`] in the directory $1.
const BUSYBOX: &str = r#"
cd "$1"; mkdir -p bin etc tmp root home/app; chmod 1777 tmp; chmod 755 .
busybox=$(command -v busybox); cp "$busybox" bin/busybox
for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "bin/$name"; done
for library in $(ldd "$busybox" | grep -o '/[^ ]*'); do
  mkdir -p ".$(dirname "$library")"; cp -L "$library" ".$library"
done
printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n' >etc/passwd
printf 'root:x:0:\napp:x:1000:\n' >etc/group
"#;
