//! `-skip-unchanged`: what was made from the same is not made again, and what has changed is named.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::process::Command;

use super::bed::{Bed, Cloud};
use super::proxy::Proxy;
use crate::support::changes::{SAME, entry, explained};
use crate::support::{Program, Run};

/// A cloud, and a template with its files.
struct Room {
    cloud: Cloud,
    proxy: Proxy,
    program: Program,
}

/// `{options}` and `{more}` are for tests to change.
fn template(bed: &Bed, options: &str, more: &str) -> String {
    format!(
        r#"
        variable "greeting" {{ default = "hello" }}
        variable "idle" {{ default = "1" }}
        variable "password" {{
          default   = "hunter22"
          sensitive = true
        }}
        data "amazon-ami" "base" {{
          region      = "us-east-1"
          filters     = {{ name = "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*" }}
          owners      = ["099720109477"]
          most_recent = true
        }}
        source "amazon-ebs" "web" {{
          region        = "us-east-1"
          ami_name      = "baked ${{formatdate("hh-mm-ss", timestamp())}}"
          instance_type = "t3.micro"
          source_ami    = data.amazon-ami.base.id
          ssh_host      = "127.0.0.1"
          ssh_port      = {}
          ssh_username  = "{}"
          tags          = {{ Built = timestamp() }}
          {options}
        }}
        build {{
          sources = ["source.amazon-ebs.web"]
          provisioner "shell" {{
            inline = ["echo ${{var.greeting}}"]
          }}
          provisioner "shell" {{
            script = "setup.sh"
          }}
          {more}
          post-processor "manifest" {{}}
        }}
        "#,
        bed.sshd.port, bed.sshd.user,
    )
}

impl Room {
    async fn new() -> Self {
        let cloud = Cloud::start().await;
        let proxy = Proxy::before(cloud.bed.moto.endpoint()).with_manners().start().await;
        let room = Self { cloud, proxy, program: Program::new() };
        room.program.write("setup.sh", "true\n");
        room.write("", "");
        room
    }

    fn write(&self, options: &str, more: &str) {
        self.program.write("web.pkr.hcl", template(&self.cloud.bed, options, more));
    }

    async fn build(&self, flags: &[&str], variables: &[(&str, &str)]) -> Run {
        // The API's clock, and that of names, count seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let args = ["build"].iter().chain(flags).chain([&"web.pkr.hcl"]).copied();
        let mut command = Command::from(self.program.command(args));
        command.envs(self.proxy.environment()).envs(variables.iter().copied());
        Run::of(command.output().await.unwrap()).succeeded()
    }

    /// The artifact in the manifest.
    fn artifact(&self) -> String {
        entry(&self.program)["artifact_id"].to_string()
    }

    /// What `-explain-changes` says.
    async fn explain(&self, flags: &[&str], variables: &[(&str, &str)]) -> String {
        let flags: Vec<_> = ["-explain-changes"].iter().chain(flags).copied().collect();
        let run = self.build(&flags, variables).await;
        explained(&run)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unchanged_is_not_baked_again() {
    let room = Room::new().await;
    let first = room.build(&["-skip-unchanged"], &[]).await;
    assert!(first.stdout.contains("Baked: no finished AMI of this build was found"), "{first:#?}");
    let (made, calls) = (room.artifact(), room.proxy.calls().len());
    let second = room.build(&["-skip-unchanged"], &[]).await;
    assert!(second.stdout.contains("was made from the same"), "{second:#?}");
    assert_eq!(room.artifact(), made, "the manifest says the same AMI");
    assert!(room.proxy.calls().len() - calls <= 5, "{:#?}", &room.proxy.calls()[calls..]);
    assert_eq!(room.proxy.count("RunInstances"), 1);
    // What somebody wants anew is baked anew.
    for flags in [&["-skip-unchanged", "-force"][..], &["-skip-unchanged", "-max-age=1s"][..]] {
        let before = room.proxy.count("RunInstances");
        let again = room.build(flags, &[]).await;
        assert_eq!(room.proxy.count("RunInstances"), before + 1, "{again:#?}");
    }
    let newest = room.artifact();
    let young = room.build(&["-skip-unchanged", "-max-age=7d"], &[]).await;
    assert!(young.stdout.contains("was made from the same"), "{young:#?}");
    assert_eq!(room.artifact(), newest, "what was forced counts, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_without_the_flag_has_no_tags_of_ours() {
    let room = Room::new().await;
    room.build(&[], &[]).await;
    let ec2 = room.cloud.bed.ec2("us-east-1");
    let images = ec2.describe_images().owners("self").send().await.unwrap();
    let tags = images.images().iter().flat_map(|image| image.tags());
    let ours = tags.filter(|tag| tag.key().is_some_and(|key| key.starts_with("imgbake")));
    assert_eq!(ours.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_named_as_what_it_is() {
    let room = Room::new().await;
    let more = r#"
        provisioner "file" {
          source      = "site/"
          destination = "/tmp/site"
        }
        # imgbake:inputs(lib/**, COLOUR)
        provisioner "shell-local" { inline = ["true"] }
    "#;
    let write = |name: &str, text: &str| drop(room.program.write(name, text));
    let colour = [("COLOUR", "red")];
    write("site/index.html", "hello");
    write("lib/a.sh", "true");
    room.write("", more);
    room.build(&["-skip-unchanged"], &colour).await;
    let is = async |what: &str, expected: &str| {
        let said = room.explain(&[], &colour).await;
        match expected {
            SAME => assert!(said.ends_with(SAME), "{what}: {said}"),
            expected => assert_eq!(said, expected, "{what}"),
        }
    };
    let untouched = || room.write("", more);
    is("nothing", SAME).await;
    room.write("# a comment", more);
    is("a comment", SAME).await;
    room.write("", &format!("\n\n{more}  "));
    is("white space", SAME).await;
    room.write("", &format!("{more}\npost-processor \"checksum\" {{}}\n"));
    is("a post-processor", SAME).await;
    room.write("", &format!("{more}\npost-processor \"boot-test\" {{ listening = [22] }}\n"));
    is("a test that it has not passed", "the test `boot-test`").await;
    room.write("ami_description = \"new\"", more);
    is("a new option", "`ami_description`").await;
    room.write("", &more.replace("/tmp/site", "/tmp/other"));
    is("where a file goes", "provisioner 3 (file)").await;
    room.write("", &format!("provisioner \"sleep\" {{ duration = \"1s\" }}\n{more}"));
    is("a new provisioner", "provisioner 3 (sleep)").await;
    let (upload, local) = more.split_at(more.find("# imgbake").unwrap());
    room.write("", &format!("{local}{upload}"));
    is("another order", "the order of the provisioners").await;
    room.write("", upload);
    is("fewer provisioners", "a provisioner that is gone, a file that is not used any more and a variable that is not used any more").await;
    untouched();
    write("setup.sh", "false\n");
    is("a script", "setup.sh").await;
    write("setup.sh", "true\n");
    write("site/index.html", "goodbye");
    is("an uploaded file", "site/").await;
    write("site/index.html", "hello");
    write("site/new.html", "");
    is("a file more", "site/").await;
    std::fs::remove_file(room.program.path("site/new.html")).unwrap();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&room.program.path("site/index.html"), 0o755);
    is("what can be executed", "site/").await;
    // Each runner's umask is another.
    set_mode(&room.program.path("site/index.html"), 0o600);
    is("who may read it here", SAME).await;
    write("lib/a.sh", "false");
    is("a declared file", "lib/a.sh").await;
    write("lib/a.sh", "true");
    is("nothing again", SAME).await;
    write("elsewhere/page.html", "hello");
    std::os::unix::fs::symlink("../elsewhere", room.program.path("site/linked")).unwrap();
    is("a linked directory", "site/").await;
    std::fs::remove_file(room.program.path("site/linked")).unwrap();

    assert_eq!(room.explain(&[], &[("COLOUR", "blue")]).await, "the variable COLOUR");
    let var = async |value: &str| room.explain(&["-var", value], &colour).await;
    assert_eq!(var("greeting=goodbye").await, "provisioner 1 (shell)");
    assert!(var("idle=2").await.ends_with(SAME));
    assert_eq!(room.proxy.count("RunInstances"), 1, "nothing was baked for an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_counts_where_there_is_a_key_for_its_digest() {
    let room = Room::new().await;
    room.write("", "provisioner \"shell\" {\n inline = [\"echo ${var.password}\"]\n}");
    let warned = room.build(&["-skip-unchanged"], &[]).await;
    let said = format!("{}{}", warned.stdout, warned.stderr);
    assert!(said.contains("a secret of `shell` at web.pkr.hcl:"), "{said}");
    assert!(said.contains("(IMGBAKE_FINGERPRINT_KEY is not set)"), "{said}");
    let key = [("IMGBAKE_FINGERPRINT_KEY", "correct horse")];
    room.build(&["-skip-unchanged"], &key).await;
    let same = room.build(&["-skip-unchanged"], &key).await;
    assert!(same.stdout.contains("was made from the same"), "{same:#?}");
    assert_eq!(room.explain(&["-var", "password=hunter23"], &key).await, "provisioner 3 (shell)");
    let other = [("IMGBAKE_FINGERPRINT_KEY", "battery staple")];
    assert_ne!(room.explain(&[], &other).await, "", "another key knows nothing of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_sees_is_baked_each_time_and_named() {
    let room = Room::new().await;
    room.write("", "provisioner \"shell-local\" { inline = [\"true\"] }");
    for count in 1..=2 {
        let run = room.build(&["-skip-unchanged"], &[]).await;
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("it cannot be known whether anything has changed"), "{run:#?}");
        assert!(said.contains("`shell-local` at web.pkr.hcl:"), "{run:#?}");
        assert_eq!(room.proxy.count("RunInstances"), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_copies_must_be_there() {
    let room = Room::new().await;
    room.write("ami_regions = [\"eu-west-1\"]", "");
    room.build(&["-skip-unchanged"], &[]).await;
    let made = room.artifact();
    room.build(&["-skip-unchanged"], &[]).await;
    assert_eq!(room.artifact(), made);
    let ec2 = room.cloud.bed.ec2("eu-west-1");
    for image in ec2.describe_images().owners("self").send().await.unwrap().images() {
        let id = image.image_id().unwrap();
        ec2.deregister_image().image_id(id).send().await.unwrap();
    }
    assert_eq!(room.explain(&[], &[]).await, "its copy in eu-west-1 is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_than_tags_are_compared_as_one() {
    let room = Room::new().await;
    for index in 0..600 {
        room.program.write(&format!("lib/{index}-{}.sh", "x".repeat(100)), "true");
    }
    room.write("", "# imgbake:inputs(lib/**)\nprovisioner \"shell-local\" { inline = [\"true\"] }");
    room.build(&["-skip-unchanged"], &[]).await;
    assert!(room.explain(&[], &[]).await.ends_with("was made from the same"));
    room.program.write(&format!("lib/7-{}.sh", "x".repeat(100)), "false");
    assert_eq!(room.explain(&[], &[]).await, "something");
}
