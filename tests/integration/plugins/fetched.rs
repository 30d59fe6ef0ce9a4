//! `init` and `plugins …`, against a server that plays the sites of plugins.

use std::process::Command;

use axum::http::StatusCode;

use super::site::{Files, asking, script, zipped};
use super::{file_name, put, requiring, with_plugins};
use crate::support::{Program, Run, Served};

const SOURCE: &str = "github.com/acme/x";

fn template(program: &Program, constraint: &str) {
    program.write("t.pkr.hcl", requiring("x", SOURCE, constraint, ""));
}

/// A site with `files`, and a program that asks it, with a template that wants any version.
fn wanting(files: &Files) -> (Served, Program) {
    let server = files.serve();
    let program = asking(&server);
    template(&program, ">= 1");
    (server, program)
}

fn said(run: &Run) -> String {
    format!("{}{}", run.stdout, run.stderr)
}

fn good(version: &str) -> Vec<u8> {
    zipped(&file_name("x", version), &script(version))
}

/// `init` of a template that takes `archive` as the version 1.1.0.
fn init_with(archive: &[u8]) -> (Program, Run) {
    let files = Files::default();
    files.publish("1.1.0", archive);
    let (_server, program) = wanting(&files);
    let run = program.run(["init", "t.pkr.hcl"]);
    (program, run)
}

#[test]
fn init_installs_the_newest_release_and_locks_it() {
    let files = Files::default();
    files.publish("1.0.0", &good("1.0.0"));
    files.publish("1.1.0", &good("1.1.0"));
    let server = files.serve();
    let program = asking(&server).with([("PACKER_GITHUB_API_TOKEN", "ghp_x")]);
    template(&program, ">= 1");
    let run = program.run(["init", "t.pkr.hcl"]).succeeded();
    let installed = format!("plugins/{SOURCE}/{}", file_name("x", "1.1.0"));
    assert!(run.stdout.contains(&format!("Installed plugin {SOURCE} v1.1.0")), "{}", run.stdout);
    assert!(run.stdout.contains("its publisher does not sign"), "{}", run.stdout);
    assert_eq!(program.read(&format!("{installed}_SHA256SUM")).len(), 64);
    let lock = program.read("imgbake.lock.hcl");
    assert!(lock.contains("1.1.0") && lock.contains("plan9_mips"), "{lock}");
    let with_token = files.asked().into_iter().filter(|asked| asked.contains("ghp_x"));
    assert!(with_token.clone().count() > 0);
    assert!(
        with_token.into_iter().all(|asked| asked.starts_with("/repos/")),
        "{:?}",
        files.asked()
    );
    // All is there: nobody is asked, and no network is needed.
    drop(server);
    program.run(["init", "t.pkr.hcl"]).succeeded();
    let list = program.run(["plugins", "installed"]).succeeded().stdout;
    assert!(list.contains(&installed), "{list}");
    let required = program.run(["plugins", "required", "t.pkr.hcl"]).succeeded().stdout;
    assert!(required.contains(&format!("x {SOURCE} \">= 1\"")) && required.contains(&installed));
    program.run(["plugins", "remove", SOURCE, ">= 1"]).succeeded();
    assert_eq!(program.run(["plugins", "installed"]).succeeded().stdout, "");
    program.run(["plugins", "remove", SOURCE]).failed_with(1);
}

#[test]
fn a_plugin_of_hashicorp_comes_from_its_own_site() {
    let files = Files::default();
    files.publish_there("1.2.0", &good("1.2.0"));
    let server = files.serve();
    let program = asking(&server);
    program.run(["plugins", "install", "github.com/hashicorp/x"]).succeeded();
    assert!(files.asked().iter().all(|asked| asked.starts_with("/packer-plugin-x/")));
    let file = format!("plugins/github.com/hashicorp/x/{}", file_name("x", "1.2.0"));
    assert!(program.path(&file).exists());
}

#[test]
fn install_takes_the_newest_version_though_an_older_one_is_installed() {
    let files = Files::default();
    files.publish("1.0.0", &good("1.0.0"));
    let server = files.serve();
    let program = asking(&server);
    program.run(["plugins", "install", SOURCE]).succeeded();
    files.publish("1.1.0", &good("1.1.0"));
    let run = program.run(["plugins", "install", SOURCE]).succeeded();
    assert!(run.stdout.contains(&format!("Installed plugin {SOURCE} v1.1.0")), "{}", run.stdout);
    let run = program.run(["plugins", "install", SOURCE]).succeeded();
    assert!(run.stdout.contains(&format!("{SOURCE} is installed: ")), "{}", run.stdout);
}

#[test]
fn a_plugin_of_any_host_is_installed_from_a_file_and_serves_its_template() {
    let program = with_plugins();
    let source = "gitlab.corp/team/infra/x";
    let file = program.write("x", script("1.0.0"));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    program.run(["plugins", "install", "-path", "x", source]).succeeded();
    program.write("t.pkr.hcl", requiring("x", source, ">= 1", ""));
    program.run(["init", "t.pkr.hcl"]).succeeded();
    program.write("t.pkr.hcl", requiring("x", source, ">= 2", ""));
    let run = program.run(["init", "-upgrade", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("plugins are fetched from github.com only"), "{}", said(&run));
}

#[test]
fn an_archive_that_is_not_what_its_sum_says_is_refused() {
    let files = Files::default();
    files.publish("1.1.0", &good("1.1.0"));
    let zip =
        format!("/acme/packer-plugin-x/releases/download/v1.1.0/{}.zip", file_name("x", "1.1.0"));
    files.put(&zip, good("1.0.0"));
    let (_server, program) = wanting(&files);
    let run = program.run(["init", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("damaged or swapped"), "{}", said(&run));
    assert!(said(&run).contains(&format!("Failed getting the \"{SOURCE}\" plugin:")));
    assert!(!program.path("imgbake.lock.hcl").exists());
}

#[test]
fn an_archive_cannot_put_anything_but_its_program_in_place() {
    let whole = good("1.1.0");
    let (_, run) = init_with(&whole[..whole.len() / 2]);
    assert!(said(&run.failed_with(1)).contains("the archive cannot be read"));
    let outside = format!("../../../../{}", file_name("x", "1.1.0"));
    let (program, run) = init_with(&zipped(&outside, &script("1.1.0")));
    assert!(said(&run.failed_with(1)).contains("the archive has no file"));
    assert!(!program.path(&file_name("x", "1.1.0")).exists());
    let (_, run) = init_with(&zipped(&file_name("x", "1.1.0"), &script("6.6.6")));
    assert!(said(&run.failed_with(1)).contains("it says that it is version 6.6.6"));
}

#[test]
fn a_rate_limit_is_said_with_what_helps() {
    let files = Files::default();
    let tags = "/repos/acme/packer-plugin-x/git/matching-refs/tags";
    let message = r#"{"message":"API rate limit exceeded for 127.0.0.1.","documentation_url":"x"}"#;
    files.answer(tags, StatusCode::FORBIDDEN, message);
    let (_server, program) = wanting(&files);
    let run = program.run(["init", "t.pkr.hcl"]).failed_with(1);
    let text = said(&run);
    assert!(text.contains("rate limit") && text.contains("PACKER_GITHUB_API_TOKEN"), "{text}");
}

#[test]
fn a_release_that_is_swapped_under_its_version_is_an_error() {
    let files = Files::default();
    files.publish("1.1.0", &good("1.1.0"));
    let (_server, program) = wanting(&files);
    program.run(["init", "t.pkr.hcl"]).succeeded();
    let mut other = script("1.1.0");
    other.extend(b"# other\n");
    files.publish("1.1.0", &zipped(&file_name("x", "1.1.0"), &other));
    let run = program.run(["init", "-force", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("the release was swapped"), "{}", said(&run));
    program.run(["init", "-upgrade", "t.pkr.hcl"]).succeeded();
    // What is installed is held against the lock by every command.
    put(&program, SOURCE, "1.1.0", &script("1.1.0"));
    let run = program.run(["init", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("imgbake.lock.hcl locks"), "{}", said(&run));
    template(&program, ">= 2");
    let run = program.run(["init", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("which the template does not allow"), "{}", said(&run));
}

const SUMS: &str =
    "/acme/packer-plugin-x/releases/download/v1.1.0/packer-plugin-x_v1.1.0_SHA256SUMS";

/// A publisher with a key of its own, where `gpg` is there.
struct Publisher {
    home: tempfile::TempDir,
}

impl Publisher {
    fn new() -> Option<Self> {
        let publisher = Self { home: tempfile::tempdir().unwrap() };
        let has_both = ["gpg", "gpgv"]
            .into_iter()
            .all(|program| Command::new(program).arg("--version").output().is_ok());
        if !has_both {
            println!("no gpg here: good signatures are not tested");
            return None;
        }
        publisher
            .gpg(&["--quick-gen-key", "publisher@example.test", "ed25519", "sign", "never"], b"");
        Some(publisher)
    }

    /// What `gpg` makes of `input`.
    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let file = self.home.path().join("input");
        std::fs::write(&file, input).unwrap();
        let output = Command::new("gpg")
            .args(["--batch", "--yes", "--passphrase", "", "--pinentry-mode", "loopback"])
            .arg("--homedir")
            .arg(self.home.path())
            .args(arguments)
            .stdin(std::fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn key(&self) -> Vec<u8> {
        self.gpg(&["--export"], b"")
    }

    fn signature(&self, content: &[u8]) -> Vec<u8> {
        self.gpg(&["--detach-sign", "--output", "-"], content)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // It has started an agent for the key, which ends by itself where this does not work.
        let kill = ["--homedir", self.home.path().to_str().unwrap(), "--kill", "gpg-agent"];
        let _ = Command::new("gpgconf").args(kill).output();
    }
}

/// `init` of the release 1.1.0 whose sums have `signature`; with `keys`, where some are trusted.
fn init_signed(signature: Option<&[u8]>, keys: Option<&[u8]>) -> Run {
    let files = Files::default();
    files.publish("1.1.0", &good("1.1.0"));
    if let Some(signature) = signature {
        files.put(&format!("{SUMS}.sig"), signature);
    }
    let (_server, program) = wanting(&files);
    match keys {
        Some(keys) => {
            program.write("keys.gpg", keys);
            program.with([("IMGBAKE_PLUGIN_KEYS", "keys.gpg")]).run(["init", "t.pkr.hcl"])
        }
        None => program.run(["init", "t.pkr.hcl"]),
    }
}

#[test]
fn a_signature_is_checked_only_against_keys_that_are_trusted() {
    let run = init_signed(Some(b"no signature"), None).succeeded();
    assert!(run.stdout.contains("its signature was not checked"), "{}", run.stdout);
    let run = init_signed(None, Some(b"")).failed_with(1);
    assert!(said(&run).contains("its sums are not signed"), "{}", said(&run));
    let has_gpgv = Command::new("gpgv").arg("--version").output().is_ok();
    let run = init_signed(Some(b"no signature"), Some(b"")).failed_with(1);
    let cause = if has_gpgv { "the signature of its sums is wrong" } else { "there is no `gpgv`" };
    assert!(said(&run).contains(cause), "{}", said(&run));
}

#[test]
fn only_a_signature_of_a_trusted_key_over_the_sums_is_good() {
    let (Some(publisher), Some(stranger)) = (Publisher::new(), Publisher::new()) else { return };
    let files = Files::default();
    files.publish("1.1.0", &good("1.1.0"));
    let sums = files.content(SUMS);
    let (signature, key) = (publisher.signature(&sums), publisher.key());
    let run = init_signed(Some(&signature), Some(&key)).succeeded();
    assert!(run.stdout.contains("its signature is by a key of"), "{}", run.stdout);
    let other = publisher.signature(b"other sums");
    for (signature, key) in [(&other, &key), (&signature, &stranger.key())] {
        let run = init_signed(Some(signature), Some(key)).failed_with(1);
        assert!(said(&run).contains("the signature of its sums is wrong"), "{}", said(&run));
    }
}

#[test]
fn the_lock_holds_the_sums_of_all_platforms() {
    let files = Files::default();
    files.publish("1.1.0", &good("1.1.0"));
    let (_server, program) = wanting(&files);
    program.run(["init", "t.pkr.hcl"]).succeeded();
    let lock = program.read("imgbake.lock.hcl");
    let here = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(good("1.1.0")));
    assert!(lock.contains(&format!("\"{here}\"")), "{lock}");
    assert!(lock.contains(&format!("plan9_mips  = \"{}\"", "0".repeat(64))), "{lock}");
    // Another machine, which has only the lock: the release must be the same there.
    std::fs::remove_dir_all(program.path("plugins")).unwrap();
    program.write("imgbake.lock.hcl", lock.replace(&here, &"1".repeat(64)));
    let run = program.run(["init", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("the release was swapped"), "{}", said(&run));
}

#[test]
fn a_lock_keeps_what_other_platforms_have_put_into_it() {
    let files = Files::default();
    files.publish("1.1.0", &good("1.1.0"));
    let (_server, program) = wanting(&files);
    program.run(["init", "t.pkr.hcl"]).succeeded();
    let lock = program.read("imgbake.lock.hcl");
    let here = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(script("1.1.0")));
    assert!(lock.contains(&here), "{lock}");
    // As it comes from a colleague with another system.
    let theirs =
        lock.replace(&format!("{} = \"{here}\"", super::platform()), "plan9_mips = \"77\"");
    assert_ne!(theirs, lock);
    let installed: [&[&str]; 3] = [&["init"], &["init", "-force"], &["init", "-upgrade"]];
    for arguments in installed {
        program.write("imgbake.lock.hcl", &theirs);
        program.run(arguments.iter().copied().chain(["t.pkr.hcl"])).succeeded();
        let both = program.read("imgbake.lock.hcl");
        assert!(both.contains(&here) && both.contains("\"77\""), "{arguments:?}: {both}");
    }
    // A release that was swapped for one of the platforms is wrong for all that have the lock.
    std::fs::remove_dir_all(program.path("plugins")).unwrap();
    program.write("imgbake.lock.hcl", theirs.replace(&"0".repeat(64), &"1".repeat(64)));
    let run = program.run(["init", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("for plan9_mips has the SHA-256"), "{}", said(&run));
}

#[test]
fn init_goes_on_to_the_version_before_where_the_newest_has_no_files_yet() {
    let files = Files::default();
    // 1.1.0 is a tag there, too.
    files.publish("1.0.0", &good("1.0.0"));
    let (_server, program) = wanting(&files);
    let run = program.run(["init", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains(&format!("Installed plugin {SOURCE} v1.0.0")), "{}", run.stdout);
    assert!(run.stdout.contains("version 1.1.0 has no files at"), "{}", run.stdout);
    // A site that does not answer as it should is no reason to take an older version.
    let sums = "/acme/packer-plugin-x/releases/download/v1.1.0/packer-plugin-x_v1.1.0_SHA256SUMS";
    files.answer(sums, StatusCode::BAD_GATEWAY, "");
    let run = program.run(["init", "-upgrade", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("version 1.1.0: "), "{}", said(&run));
    assert!(said(&run).contains("the server answers 502"), "{}", said(&run));
}

#[test]
fn init_goes_on_to_github_where_the_other_site_has_no_version_that_would_do() {
    let files = Files::default();
    files.publish_there("2.0.0", &good("2.0.0"));
    files.publish("1.1.0", &good("1.1.0"));
    files.also_of("hashicorp");
    let server = files.serve();
    let program = asking(&server);
    let source = "github.com/hashicorp/x";
    program.write("t.pkr.hcl", requiring("x", source, "~> 1.1.0", ""));
    let run = program.run(["init", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains(&format!("Installed plugin {source} v1.1.0")), "{}", run.stdout);
    program.write("t.pkr.hcl", requiring("x", source, "~> 3.0", ""));
    let run = program.run(["init", "-upgrade", "t.pkr.hcl"]).failed_with(1);
    let all = said(&run);
    assert_eq!(all.matches("it has no version that the template allows").count(), 2, "{all}");
}

#[test]
fn only_a_site_that_has_no_signature_says_that_its_publisher_does_not_sign() {
    let files = Files::default();
    files.publish("1.1.0", &good("1.1.0"));
    files.answer(&format!("{SUMS}.sig"), StatusCode::SERVICE_UNAVAILABLE, "");
    let (_server, program) = wanting(&files);
    let run = program.run(["init", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains("was not checked, and cannot be had: "), "{}", run.stdout);
    program.write("keys.gpg", "");
    let program = program.with([("IMGBAKE_PLUGIN_KEYS", "keys.gpg")]);
    let run = program.run(["init", "-force", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("the signature of its sums: "), "{}", said(&run));
    assert!(said(&run).contains("the server answers 503"), "{}", said(&run));
}

#[test]
fn a_lock_of_what_is_installed_has_the_sums_of_all_platforms_too() {
    let files = Files::default();
    files.publish("1.1.0", &good("1.1.0"));
    let server = files.serve();
    let program = asking(&server);
    template(&program, ">= 1");
    put(&program, SOURCE, "1.1.0", &script("1.1.0"));
    program.run(["init", "t.pkr.hcl"]).succeeded();
    let lock = program.read("imgbake.lock.hcl");
    let here = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(script("1.1.0")));
    assert!(lock.contains("plan9_mips") && lock.contains(&here), "{lock}");
    assert!(!files.asked().iter().any(|asked| asked.ends_with(".zip")), "{:?}", files.asked());
    // It is whole: nobody is asked again.
    let asked = files.asked().len();
    program.run(["init", "t.pkr.hcl"]).succeeded();
    assert_eq!(files.asked().len(), asked);
    // Where the release cannot be asked for, that is said, and the program is locked.
    std::fs::remove_file(program.path("imgbake.lock.hcl")).unwrap();
    drop(server);
    let run = program.run(["init", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains("for this platform alone"), "{}", run.stdout);
    assert!(program.read("imgbake.lock.hcl").contains(&here));
}

#[test]
fn versions_that_are_no_releases_are_left_out_on_request() {
    let program = with_plugins();
    template(&program, ">= 1");
    let body = "source \"null\" \"n\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.n\"]\n  provisioner \"x\" {}\n}\n";
    program.write("t.pkr.hcl", requiring("x", SOURCE, ">= 1", body));
    for version in ["1.1.0", "1.2.0-dev"] {
        let asked = [&script(version)[..], format!("echo {version} >>asked\n").as_bytes()].concat();
        put(&program, SOURCE, version, &asked);
    }
    let asked = |flags: &[&str]| {
        program.write("asked", "");
        program.run(["validate"].iter().chain(flags).chain(&["t.pkr.hcl"]).copied());
        let asked = program.read("asked");
        (asked.contains("1.1.0"), asked.contains("1.2.0-dev"))
    };
    assert_eq!(asked(&[]), (false, true));
    assert_eq!(asked(&["-ignore-prerelease-plugins"]), (true, false));
}

#[test]
fn a_release_of_hashicorps_that_somebody_else_has_signed_is_refused() {
    let Some(stranger) = Publisher::new() else { return };
    let files = Files::default();
    files.publish_there("1.2.0", &good("1.2.0"));
    let sums = "/packer-plugin-x/1.2.0/packer-plugin-x_1.2.0_SHA256SUMS";
    files.put(&format!("{sums}.sig"), stranger.signature(&files.content(sums)));
    let server = files.serve();
    let program = asking(&server);
    let install = ["plugins", "install", "github.com/hashicorp/x"];
    let run = program.run(install).failed_with(1);
    assert!(said(&run).contains("the signature of its sums is wrong"), "{}", said(&run));
    // At GitHub, where HashiCorp's teams had other keys, it is said.
    let teams = Files::default();
    teams.publish("1.1.0", &good("1.1.0"));
    teams.put(&format!("{SUMS}.sig"), stranger.signature(&teams.content(SUMS)));
    teams.also_of("hashicorp");
    let run = asking(&teams.serve()).run(install).succeeded();
    assert!(run.stdout.contains("by a key that is not known here"), "{}", run.stdout);
    // Who trusts somebody else says so.
    program.write("keys.gpg", stranger.key());
    let run = program.with([("IMGBAKE_PLUGIN_KEYS", "keys.gpg")]).run(install).succeeded();
    assert!(
        run.stdout.contains("its signature is by a key of IMGBAKE_PLUGIN_KEYS"),
        "{}",
        run.stdout
    );
}

#[test]
fn without_a_network_what_is_installed_serves_and_what_is_not_is_named() {
    let files = Files::default();
    let (server, program) = wanting(&files);
    drop(server);
    let run = program.run(["init", "t.pkr.hcl"]).failed_with(1);
    let words = said(&run);
    assert!(words.contains("its versions cannot be listed"), "{words}");
    assert!(words.contains("GitHub cannot be asked: Connection refused"), "{words}");
    put(&program, SOURCE, "1.1.0", &script("1.1.0"));
    program.run(["init", "t.pkr.hcl"]).succeeded();
}

#[test]
fn a_plugin_that_others_may_change_is_not_run() {
    let program = with_plugins();
    let body = "source \"null\" \"n\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.n\"]\n  provisioner \"x\" {}\n}\n";
    program.write("t.pkr.hcl", requiring("x", SOURCE, ">= 1", body));
    let file = put(&program, SOURCE, "1.1.0", &script("1.1.0"));
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&file, mode(0o757)).unwrap();
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    assert!(said(&run).contains("everybody may write to"), "{}", said(&run));
    std::fs::set_permissions(&file, mode(0o755)).unwrap();
    for above in ["plugins/github.com/acme/x", "plugins/github.com", "plugins"] {
        std::fs::set_permissions(program.path(above), mode(0o777)).unwrap();
        let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
        assert!(said(&run).contains("everybody may write to"), "{above}: {}", said(&run));
        std::fs::set_permissions(program.path(above), mode(0o755)).unwrap();
    }
}

#[test]
fn plugins_have_one_directory() {
    let program = with_plugins().with([("PACKER_PLUGIN_PATH", "one:two")]);
    let run = program.run(["plugins", "installed"]).failed_with(1);
    assert!(said(&run).contains("PACKER_PLUGIN_PATH has several directories"), "{}", said(&run));
}

#[test]
fn a_mirror_stands_for_all_sites() {
    let program = with_plugins().with([("IMGBAKE_PLUGIN_MIRROR", "mirror")]);
    let archive = good("1.1.0");
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&archive));
    let zip = format!("{}.zip", file_name("x", "1.1.0"));
    let sums = format!("mirror/{SOURCE}/packer-plugin-x_v1.1.0_SHA256SUMS");
    program.write(&sums, format!("{sum}  {zip}\n"));
    program.write(&format!("mirror/{SOURCE}/{zip}"), archive);
    template(&program, "~> 1.1");
    program.run(["init", "t.pkr.hcl"]).succeeded();
    let installed = format!("plugins/{SOURCE}/{}", file_name("x", "1.1.0"));
    assert!(program.path(&installed).is_file());
}

#[test]
fn a_program_is_installed_from_a_file() {
    let program = with_plugins();
    let file = program.write("x", script("1.0.0-dev"));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = program.run(["plugins", "install", "-path", "x", SOURCE]).succeeded();
    assert!(run.stdout.contains("Successfully installed plugin"), "{}", run.stdout);
    assert!(program.path(&format!("plugins/{SOURCE}/{}", file_name("x", "1.0.0-dev"))).exists());
    for bad in ["github.com/acme/packer-plugin-x", "acme/x", "github.com/../x"] {
        program.run(["plugins", "install", "-path", "x", bad]).failed_with(1);
    }
}
