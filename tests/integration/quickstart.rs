//! The quickstart runs a downloaded program only if its checksum and its origin are proven.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A checkout of the release v1.2.3, and stand-ins for the programs that reach the network.
struct Checkout(TempDir);

/// Serves the release's files from the directory `served`.
const CURL: &str = r#"#!/bin/sh
for word do case $word in https://github.com/acme/imgbake/releases/download/v1.2.3/*)
  cp "$SERVED/${word##*/}" . || exit 22;;
esac; done"#;

impl Checkout {
    fn of_a_release() -> Self {
        let checkout = Self(tempfile::tempdir().unwrap());
        let root = checkout.path("root");
        for dir in ["root/src", "served", "bin"] {
            fs::create_dir_all(checkout.path(dir)).unwrap();
        }
        fs::write(root.join("Cargo.toml"), "[package]\nversion = \"1.2.3\"\n").unwrap();
        fs::write(root.join("Cargo.lock"), "").unwrap();
        fs::write(root.join("src/lib.rs"), "").unwrap();
        checkout.shell(
            "cd root; git init -q; git config user.name t; git config user.email t@example.com; \
             git add .; git commit -qm one; git tag v1.2.3; \
             git remote add origin https://github.com/acme/imgbake.git; \
             cd ../served; printf '#!/bin/sh\\n' > imgbake; chmod +x imgbake; \
             name=imgbake-1.2.3-linux-$(uname -m).tar.gz; tar -czf $name imgbake; \
             sha256sum $name > SHA256SUMS",
        );
        checkout.program("curl", CURL);
        checkout.program("gh", "#!/bin/sh\nexit 0");
        checkout
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn shell(&self, script: &str) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.0.path())
            .env("PATH", path)
            .env("SERVED", self.path("served"))
            .env("IMGBAKE_CACHE", self.path("cache"))
            .env("SCRIPT", root.join("examples/quickstart/released"))
            .output()
            .unwrap()
    }

    /// The program that the quickstart would run, or why it compiles one.
    fn released(&self) -> Result<String, String> {
        let output = self.shell(". \"$SCRIPT\"; released_program root");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn refused(&self) -> String {
        let why = self.released().unwrap_err();
        assert!(!self.path("cache").exists(), "something was kept");
        why
    }
}

#[test]
fn a_release_that_is_proven_is_downloaded_once() {
    let checkout = Checkout::of_a_release();
    let program = checkout.released().unwrap();
    assert!(Path::new(program.trim_end()).is_file(), "{program}");
    checkout.program("curl", "#!/bin/sh\nexit 7");
    assert_eq!(checkout.released().unwrap(), program);
}

#[test]
fn what_is_not_proven_is_not_run() {
    let checkout = Checkout::of_a_release();
    checkout.program("gh", "#!/bin/sh\n[ \"$2\" = --help ]");
    assert!(checkout.refused().contains("does not attest"), "{}", checkout.refused());
    checkout.program("gh", "#!/bin/sh\nexit 1");
    assert!(checkout.refused().contains("gh 2.49"), "{}", checkout.refused());
}

#[test]
fn a_wrong_checksum_ends_the_download() {
    let checkout = Checkout::of_a_release();
    checkout.shell("cd served; sed -i 's/^./x/' SHA256SUMS");
    assert!(checkout.refused().contains("checksum"), "{}", checkout.refused());
    checkout.shell(": > served/SHA256SUMS");
    assert!(checkout.refused().contains("checksum"), "{}", checkout.refused());
    checkout.shell("rm served/SHA256SUMS");
    assert!(checkout.refused().contains("could not be downloaded"), "{}", checkout.refused());
}

#[test]
fn sources_that_differ_from_the_release_are_compiled() {
    let checkout = Checkout::of_a_release();
    checkout.shell("echo changed > root/src/lib.rs");
    assert!(checkout.refused().contains("the sources differ"), "{}", checkout.refused());
    checkout.shell("cd root; git checkout -q .; git tag -d v1.2.3");
    assert!(checkout.refused().contains("no tag v1.2.3"), "{}", checkout.refused());
    checkout.shell("cd root; git remote remove origin");
    assert!(checkout.refused().contains("no repository on GitHub"), "{}", checkout.refused());
}
