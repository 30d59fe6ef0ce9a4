//! Images that come from repositories and from object stores.

use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use sha2::Digest as _;

use crate::support::{Program, Run, Served, Then, small_disk};

/// Builds an image of a guest that powers off by itself, from what is at `url`.
fn build(program: &Program, url: &str, checksum: &str) -> Run {
    let text = format!(
        r#"source "qemu" "q" {{
  disk_image   = true
  disk_size    = "2M"
  memory       = 16
  headless     = true
  accelerator  = "tcg"
  communicator = "none"
  vm_name      = "small"
  format       = "raw"
  iso_url      = "{url}"
  iso_checksum = "{checksum}"
}}
build {{
  sources = ["qemu.q"]
}}
"#
    );
    program.write("small.pkr.hcl", text);
    program.run(["build", "-force", "-color=false", "small.pkr.hcl"])
}

/// The image that was made is `disk`.
#[track_caller]
fn assert_made_of(program: &Program, disk: &[u8]) {
    let made = std::fs::read(program.path("output-q/small")).expect("the image");
    assert_eq!(made[..disk.len()], *disk);
}

/// Two disks that differ.
fn disks() -> [Vec<u8>; 2] {
    let first = small_disk(Then::PowerOff);
    let mut second = first.clone();
    second[4000] = 1;
    [first, second]
}

fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(content)))
}

#[track_caller]
fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output().expect(program);
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("a text").trim().to_owned()
}

#[test]
fn an_image_in_a_repository_of_git_is_that_of_its_tag_branch_or_commit() {
    let repository = tempfile::tempdir().expect("a directory");
    let [first, second] = disks();
    let git = |args: &[&str]| {
        run(
            repository.path(),
            "git",
            &[&["-c", "user.name=a", "-c", "user.email=a@b"], args].concat(),
        )
    };
    git(&["init", "--quiet", "-b", "main"]);
    let mut commits = Vec::new();
    std::fs::create_dir(repository.path().join("disks")).expect("a directory");
    for disk in [&first, &second] {
        std::fs::write(repository.path().join("disks/small.img"), disk).expect("a file");
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "a disk"]);
        commits.push(git(&["rev-parse", "HEAD"]));
    }
    git(&["tag", "v1", &commits[0]]);
    let program = Program::new();
    let url = format!("git::file://{}//disks/small.img", repository.path().display());
    let made = build(&program, &url, "none").succeeded();
    assert!(made.stdout.contains(&format!("Trying {url}")), "{}", made.stdout);
    assert_made_of(&program, &second);
    for (revision, disk) in [("v1", &first), ("main", &second), (commits[0].as_str(), &first)] {
        build(&program, &format!("{url}?ref={revision}"), &sha256(disk)).succeeded();
        assert_made_of(&program, disk);
    }
    // A download that is in the cache already is not fetched again.
    std::fs::remove_dir_all(repository.path().join(".git")).expect("a repository");
    build(&program, &format!("{url}?ref=v1"), &sha256(&first)).succeeded();
    let gone = build(&program, &format!("{url}?ref=v2"), "none").failed_with(1);
    let said = gone.stdout + &gone.stderr;
    assert!(said.contains("`git` failed"), "{said}");
    assert_eq!(program.temporary(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_image_in_a_repository_of_mercurial_is_that_of_its_revision() {
    let repository = tempfile::tempdir().expect("a directory");
    let [first, second] = disks();
    let hg = |args: &[&str]| run(repository.path(), "hg", args);
    hg(&["init"]);
    for disk in [&first, &second] {
        std::fs::write(repository.path().join("small.img"), disk).expect("a file");
        hg(&["commit", "--quiet", "--addremove", "--user", "a", "--message", "a disk"]);
    }
    let program = Program::new();
    let url = format!("hg::file://{}//small.img", repository.path().display());
    build(&program, &url, "none").succeeded();
    assert_made_of(&program, &second);
    build(&program, &format!("{url}?rev=0"), &sha256(&first)).succeeded();
    assert_made_of(&program, &first);
    let other = url.replace("small.img", "other.img");
    let gone = build(&program, &other, "none").failed_with(1);
    let said = gone.stdout + &gone.stderr;
    assert!(said.contains("`hg` failed"), "{said}");
}

#[test]
fn an_object_of_google_is_fetched_with_the_token_of_the_environment() {
    let [disk, _] = disks();
    let served = disk.clone();
    let answer = move |headers: HeaderMap| async move {
        let token = headers.get("authorization").and_then(|value| value.to_str().ok());
        match token {
            Some("Bearer a-token-of-google") => Ok(served),
            _ => Err(StatusCode::FORBIDDEN),
        }
    };
    let route = axum::routing::get(answer);
    let google = Served::start(Router::new().route("/images/base/small%20disk.img", route));
    let program = Program::new().with([("STORAGE_EMULATOR_HOST", google.url())]);
    let url = "gcs::https://www.googleapis.com/storage/v1/images/base/small%20disk.img";
    let refused = build(&program, url, &sha256(&disk)).failed_with(1);
    let said = refused.stdout + &refused.stderr;
    assert!(said.contains("the server answers 403"), "{said}");
    let program = program.with([("GOOGLE_OAUTH_ACCESS_TOKEN", "a-token-of-google")]);
    build(&program, url, &sha256(&disk)).succeeded();
    assert_made_of(&program, &disk);
}

#[cfg(feature = "aws")]
mod s3 {
    use super::*;
    use crate::support::Moto;

    /// Puts `content` at `path` in moto's S3.
    fn put(moto: &Moto, path: &str, content: &Path) {
        let url = format!("{}/{path}", moto.endpoint());
        let file = content.to_str().expect("a path");
        run(Path::new("/"), "curl", &["-fsS", "-T", file, &url]);
    }

    #[test]
    fn an_object_of_s3_is_fetched_with_the_credentials_of_the_account() {
        let moto = Moto::start();
        let [disk, _] = disks();
        let program = Program::new().with(moto.environment());
        let nothing = program.write("nothing", "");
        put(&moto, "images", &nothing);
        put(&moto, "images/base/small.img", &program.write("disk", &disk));
        let sums = format!("{}  small.img\n", sha256(&disk).trim_start_matches("sha256:"));
        put(&moto, "images/base/SHA256SUMS", &program.write("sums", sums));
        let listed = "file:s3://images/base/SHA256SUMS";
        for (url, checksum) in [
            ("s3::https://s3.us-east-1.amazonaws.com/images/base/small.img".to_owned(), "none"),
            ("s3::https://images.s3.amazonaws.com/base/small.img".to_owned(), listed),
            (format!("s3::{}/images/base/small.img?region=us-east-1", moto.endpoint()), "none"),
        ] {
            let program = Program::new().with(moto.environment());
            build(&program, &url, checksum).succeeded();
            assert_made_of(&program, &disk);
        }
        let gone = build(&program, "s3://images/base/other.img", "none").failed_with(1);
        let said = gone.stdout + &gone.stderr;
        assert!(said.contains("GetObject failed") && said.contains("NoSuchKey"), "{said}");
        let policy = program.run(["iam-policy", "small.pkr.hcl"]).succeeded().stdout;
        assert!(policy.contains("arn:aws:s3:::images/base/other.img"), "{policy}");
    }
}

#[test]
fn what_nobody_reads_is_refused_and_says_what_to_do() {
    let program = Program::new();
    for (url, why) in [
        ("smb://server/share/small.img", "mount it, and give the path of the file"),
        ("ftp://server/small.img", "nothing here reads `ftp`"),
        (
            "git::https://server/disks.git//small.img?sshkey=x",
            "`sshkey` in the address is not built",
        ),
    ] {
        let run = build(&program, url, "none").failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains(why) && said.contains("small.pkr.hcl:"), "{url}: {said}");
    }
}
