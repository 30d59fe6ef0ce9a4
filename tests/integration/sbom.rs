//! What is inside an image (`-sbom`), of guests whose packages are real ones: installed, upgraded and
//! removed by dpkg and rpm.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value as Json;

use crate::support::{Program, Sshd};

/// Makes the guests: BusyBox, the package manager with its libraries, and packages made by hand.
#[cfg(feature = "docker")]
const ROOTS: &str = include_str!("sbom/roots.sh");

#[cfg(feature = "docker")]
fn engine() -> &'static crate::support::Dockerd {
    use crate::support::Dockerd;
    static READY: LazyLock<()> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("sh").args(["-euc", ROOTS, "make"]).arg(dir.path()).output();
        let made = made.unwrap();
        assert!(made.status.success(), "rpm is installed (tests/run does): {made:?}");
        for name in ["deb", "rpm"] {
            Dockerd::shared().import(&dir.path().join(name), &format!("{name}-guest:1"));
        }
    });
    LazyLock::force(&READY);
    Dockerd::shared()
}

const DEBIAN: &str = r#"
source "docker" "web" {
  image  = "deb-guest:1"
  pull   = false
  commit = true
}
build {
  sources = ["docker.web"]
  provisioner "shell" {
    inline = ["dpkg --force-bad-path -i /nginx.deb /openssl-new.deb && dpkg --force-bad-path -P telnet"]
  }
}
"#;

const FEDORA: &str = r#"
source "docker" "web" {
  image  = "rpm-guest:1"
  pull   = false
  commit = true
}
build {
  sources = ["docker.web"]
  provisioner "shell" {
    inline = ["rpm -i /nginx.rpm && rpm -U /openssl-new.rpm && rpm -e telnet"]
  }
}
"#;

/// The names and package URLs of a CycloneDX document.
fn purls(document: &Json) -> Vec<&str> {
    let components = document["components"].as_array().unwrap();
    components.iter().filter_map(|one| one["purl"].as_str()).collect()
}

fn parsed(program: &Program, name: &str) -> Json {
    serde_json::from_str(&program.read(name)).unwrap()
}

/// Fails unless `document` is what its schema wants.
#[track_caller]
fn assert_valid(schema: &str, document: &Json) {
    let parsed = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    let base = "http://cyclonedx.org/schema/";
    let resource = |text| jsonschema::Resource::from_contents(parsed(text));
    let registry = jsonschema::Registry::new()
        .add(
            format!("{base}spdx.SNAPSHOT.schema.json"),
            resource(include_str!("../fixtures/sbom/spdx.SNAPSHOT.schema.json")),
        )
        .unwrap()
        .add(
            format!("{base}jsf-0.82.SNAPSHOT.schema.json"),
            resource(include_str!("../fixtures/sbom/jsf-0.82.SNAPSHOT.schema.json")),
        )
        .unwrap()
        .prepare()
        .unwrap();
    let validator = jsonschema::options().with_registry(&registry).build(&parsed(schema)).unwrap();
    let wrong: Vec<_> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[track_caller]
fn assert_documents_are_valid(program: &Program, build: &str) {
    let cyclonedx = include_str!("../fixtures/sbom/bom-1.6.schema.json");
    assert_valid(cyclonedx, &parsed(program, &format!("sbom/{build}.cdx.json")));
    let spdx = include_str!("../fixtures/sbom/spdx-2.3.schema.json");
    assert_valid(spdx, &parsed(program, &format!("sbom/{build}.spdx.json")));
}

#[cfg(feature = "docker")]
#[test]
fn a_debian_image_is_listed_and_what_was_baked_is_told() {
    let program = Program::new().with(engine().environment());
    program.write("web.pkr.hcl", DEBIAN);
    let bake = ["build", "-color=false", "-sbom=sbom", "web.pkr.hcl"];
    let run = program.run(bake).succeeded();
    let told = "3 packages in the image: + nginx 1.24.0-2, openssl 3.0.11-1 → 3.0.13-1, – telnet";
    assert!(run.stdout.contains(told), "{}", run.stdout);
    assert!(!run.stdout.contains("Since the previous image"), "{}", run.stdout);
    assert_documents_are_valid(&program, "docker.web");
    let document = parsed(&program, "sbom/docker.web.cdx.json");
    let expected = [
        "pkg:deb/debian/adduser@3.134?arch=all&distro=debian-12",
        "pkg:deb/debian/nginx@1.24.0-2?arch=all&distro=debian-12",
        "pkg:deb/debian/openssl@3.0.13-1?arch=all&distro=debian-12",
    ];
    assert_eq!(purls(&document), expected);
    assert_eq!(document["components"][1]["licenses"][0]["license"]["id"], "GPL-2.0-or-later");
    let image = document["metadata"]["component"]["version"].as_str().unwrap();
    assert!(image.starts_with("sha256:"), "{image}");
    // The same again, with another package: what has changed since the image before is told, too.
    program.write("web.pkr.hcl", DEBIAN.replace("/nginx.deb ", ""));
    let run = program.run(bake).succeeded();
    assert!(run.stdout.contains("Since the previous image: – nginx"), "{}", run.stdout);
}

#[cfg(feature = "docker")]
#[test]
fn an_image_of_rpms_is_listed_and_what_was_baked_is_told() {
    let program = Program::new().with(engine().environment());
    program.write("web.pkr.hcl", FEDORA);
    let run = program.run(["build", "-color=false", "-sbom=sbom", "web.pkr.hcl"]).succeeded();
    let told = "+ nginx 1:1.24.0-2.fc40, openssl 3.0.11-1.fc40 → 3.0.13-1.fc40, – telnet";
    assert!(run.stdout.contains(told), "{}", run.stdout);
    assert_documents_are_valid(&program, "docker.web");
    let document = parsed(&program, "sbom/docker.web.cdx.json");
    let expected = [
        "pkg:rpm/fedora/bash@5.2.26-3.fc40?arch=noarch&distro=fedora-40",
        "pkg:rpm/fedora/nginx@1.24.0-2.fc40?arch=noarch&distro=fedora-40&epoch=1",
        "pkg:rpm/fedora/openssl@3.0.13-1.fc40?arch=noarch&distro=fedora-40",
    ];
    assert_eq!(purls(&document), expected);
    let spdx = parsed(&program, "sbom/docker.web.spdx.json");
    let licence = |index: usize| spdx["packages"][index]["licenseDeclared"].as_str().unwrap();
    assert_eq!([licence(2), licence(3)], ["GPL-3.0-or-later", "BSD-2-Clause"]);
}

#[cfg(feature = "docker")]
#[test]
fn summary_comment_outputs_and_manifest_tell_what_has_changed() {
    use crate::action::{GitHub, Runner, TOKEN};
    let github = GitHub::start();
    let head = serde_json::json!({"repo": {"full_name": "org/images"}});
    let event = serde_json::json!({"number": 3, "pull_request": {"number": 3, "head": head}});
    let runner = Runner::new("build")
        .vars(engine().environment())
        .var("GITHUB_API_URL", github.url())
        .event("pull_request", &event)
        .with("github-token", TOKEN)
        .with("sbom", "sbom")
        .file("web.pkr.hcl", DEBIAN);
    let step = runner.run().succeeded();
    let comment = github.thread().comments[0].2.clone();
    let told = "Baked: + nginx 1.24.0-2, openssl 3.0.11-1 → 3.0.13-1, – telnet";
    for text in [&step.summary, &comment] {
        assert!(text.contains("### Packages") && text.contains(told), "{text}");
    }
    println!("{comment}");
    assert_eq!(step.outputs["sbom"], "sbom/docker.web.cdx.json\nsbom/docker.web.spdx.json");
    let contents = &step.json("manifest")["builds"]["docker.web"]["contents"];
    assert_eq!(
        (&contents["packages"], &contents["baked"][2]["name"]),
        (&3.into(), &"telnet".into())
    );
}

#[test]
fn a_machine_over_ssh_is_asked_once_before_and_once_after() {
    let sshd = Sshd::start();
    let program = Program::new();
    program.write(
        "host.pkr.hcl",
        format!(
            "source \"null\" \"host\" {{\n{}}}\nbuild {{\n  sources = [\"null.host\"]\n}}\n",
            sshd.hcl_options()
        ),
    );
    let started = std::time::Instant::now();
    let run = program.run(["build", "-color=false", "-sbom=out/sbom", "host.pkr.hcl"]).succeeded();
    println!("{:?}: {}", started.elapsed(), run.stdout);
    assert!(run.stdout.contains("no package has changed"), "{}", run.stdout);
    let document = parsed(&program, "out/sbom/null.host.cdx.json");
    let dpkg =
        purls(&document).iter().any(|purl| purl.starts_with("pkg:deb/") && purl.contains("/dpkg@"));
    assert!(dpkg, "this is a Debian or an Ubuntu");
    assert_valid(include_str!("../fixtures/sbom/bom-1.6.schema.json"), &document);
}

#[test]
fn where_nobody_can_be_asked_the_build_says_so_and_goes_on() {
    let program = Program::new();
    program.write("none.json", r#"{"builders": [{"type": "null", "communicator": "none"}]}"#);
    let run = program.run(["build", "-color=false", "-sbom=sbom", "none.json"]).succeeded();
    let said = "Warning: no SBOM of `null`: there is nobody to ask: the build has no connection to a machine that answers";
    assert!((run.stdout.clone() + &run.stderr).contains(said), "{}\n{}", run.stdout, run.stderr);
    let written = std::fs::read_dir(program.path("sbom")).unwrap().count();
    assert_eq!(written, 0, "the directory is made before anything is baked");
    // A document of somebody else is not written over.
    let sshd = Sshd::start();
    program.write("sbom/null.n.cdx.json", "precious");
    program.write(
        "host.pkr.hcl",
        format!(
            "source \"null\" \"n\" {{\n{}}}\nbuild {{\n  sources = [\"null.n\"]\n}}\n",
            sshd.hcl_options()
        ),
    );
    let run = program.run(["build", "-color=false", "-sbom=sbom", "host.pkr.hcl"]).succeeded();
    assert!((run.stdout + &run.stderr).contains("is there, but is no SBOM: move it away"));
    assert_eq!(program.read("sbom/null.n.cdx.json"), "precious");
}

/// 2,000 packages, each with a machine-readable copyright file.
#[cfg(feature = "docker")]
#[test]
#[ignore = "a measurement"]
fn two_thousand_packages_take_less_than_five_seconds() {
    let program = Program::new().with(engine().environment());
    let many = DEBIAN.replace(
        "dpkg --force-bad-path -i /nginx.deb /openssl-new.deb && dpkg --force-bad-path -P telnet",
        "sh /many.sh",
    );
    program.write("web.pkr.hcl", many.replace("commit = true", "discard = true"));
    let timed = |arguments: &[&str]| {
        let started = std::time::Instant::now();
        program.run(arguments.iter().copied()).succeeded();
        started.elapsed()
    };
    let without = timed(&["build", "web.pkr.hcl"]);
    let with = timed(&["build", "-sbom=sbom", "web.pkr.hcl"]);
    println!("without {without:?}, with {with:?}");
}
