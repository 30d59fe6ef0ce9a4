//! Debian's `packer` 1.6.6 as real plugin processes: each of its components is a plugin of its own. It
//! greets as plugins did before 2021, and tells its options as gob.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::process::Start;
use super::remote::{Identity, Remote, word};
use super::spec::{Item, Type};
use crate::component::{
    Artifact, BuildContext, Command, Communicator, Exit, Facts, PostProcessContext,
    ProvisionContext, Provisioning, Upload,
};
use crate::config::Node;
use crate::env::Environment;
use crate::event::{Message, Stream, Ui};
use crate::guest::GuestOutput;
use crate::interpolate::{BuildData, Scope};
use crate::secret::Redactor;
use crate::template::ast::Role;

/// The program, where it is installed; said where it is not.
fn packer() -> Option<PathBuf> {
    let found = which::which("packer").ok().filter(|packer| {
        let version = std::process::Command::new(packer).arg("version").output();
        version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("v1.6."))
    });
    if found.is_none() {
        #[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
        {
            println!("no packer 1.6 here: its components are not tested as plugins");
        }
    }
    found
}

fn remote(role: Role, name: &str, dir: &Path) -> Option<Remote> {
    let program = packer()?;
    let vars = BTreeMap::from([
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("HOME".to_owned(), dir.display().to_string()),
    ]);
    let environment = Environment::new(vars, dir.to_owned(), Timestamp::UNIX_EPOCH);
    let start = Start {
        program: program.clone(),
        arguments: vec!["plugin".to_owned(), format!("packer-{}-{name}", word(role))],
        called: format!("the plugin `{name}`"),
        takes_old_greeting: true,
    };
    let identity = Identity {
        program,
        source: "packer".to_owned(),
        version: "1.6.6".to_owned(),
        role,
        own_name: name.to_owned(),
        name: name.to_owned(),
        speaks_protobuf: false,
    };
    Some(Remote::with_start(start, identity, Arc::new(environment), None))
}

fn options(remote: &Remote, name: &str) -> Item {
    let spec = remote.spec().unwrap();
    spec.iter().find(|(option, _)| option == name).map(|(_, item)| item.clone()).unwrap()
}

/// The facts of a build whose machine is known.
fn facts() -> Facts {
    let data = BuildData::from([("ID".to_owned(), json!("i-1"))]);
    let scope = Scope::for_tests();
    let facts = Facts::without_build("null", scope).named("web");
    facts.with_build_data(data)
}

/// Notes the data of the machine that it should provision.
#[derive(Default)]
struct Noting(Mutex<Vec<BuildData>>);

#[async_trait]
impl Provisioning for Noting {
    async fn provision(
        &self,
        _cx: &BuildContext,
        _communicator: Arc<dyn Communicator>,
        data: BuildData,
    ) -> anyhow::Result<()> {
        self.0.lock().unwrap().push(data);
        Ok(())
    }
}

/// A machine that notes what it is asked for.
#[derive(Default)]
struct Machine {
    uploads: Mutex<Vec<(String, Vec<u8>)>>,
    commands: Mutex<Vec<String>>,
}

#[async_trait]
impl Communicator for Machine {
    async fn run(
        &self,
        command: Command<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        self.commands.lock().unwrap().push(command.text().to_owned());
        output.chunk(Stream::Stdout, b"from the machine\n").await;
        Ok(Exit::Status(0))
    }
    async fn upload(&self, from: Upload<'_>, to: &str, _: &Ui) -> anyhow::Result<()> {
        let Upload::File(path) = from else { anyhow::bail!("no file") };
        self.uploads
            .lock()
            .unwrap()
            .push((to.to_owned(), crate::peer::read_regular(path, 1 << 20)?));
        Ok(())
    }
    async fn upload_dir(&self, _: &str, _: &str, _: &Ui) -> anyhow::Result<()> {
        Ok(())
    }
    async fn download(&self, _: &str, _: &Path, _: &Ui) -> anyhow::Result<()> {
        Ok(())
    }
    async fn download_dir(&self, _: &str, _: &Path, _: &Ui) -> anyhow::Result<()> {
        Ok(())
    }
    async fn close(&self) {}
}

fn made<T: ?Sized>(prepare: &crate::component::Prepare<T>, body: &Json, facts: &Facts) -> Box<T> {
    let body = Node::for_tests(body);
    match prepare(&body, facts, &Redactor::default()) {
        Ok((component, _)) => component,
        Err(found) => panic!("{found:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_null_builder_of_packer_has_our_provisioners_run() {
    let dir = tempfile::tempdir().unwrap();
    let Some(remote) = remote(Role::Builder, "null", dir.path()) else { return };
    assert_eq!(remote.spec().unwrap().len(), 57);
    let argument = |ty| Item::Argument { ty, required: false };
    assert_eq!(options(&remote, "ssh_port"), argument(Type::Number));
    assert_eq!(options(&remote, "ssh_pty"), argument(Type::Bool));
    let (mut cx, _said) = BuildContext::for_tests();
    let noting = Arc::new(Noting::default());
    cx.provisioning = noting.clone();
    let descriptor = remote.builder();
    let unknown = Node::for_tests(&json!({"communicator": "none", "ssh_prot": 1}));
    let refused = (descriptor.prepare)(&unknown, &cx.facts, &Redactor::default());
    let refused = refused.err().unwrap();
    assert!(format!("{refused:?}").contains("ssh_port"), "{refused:?}");
    let builder = made(&descriptor.prepare, &json!({"communicator": "none"}), &cx.facts);
    let artifact = builder.build(&cx).await.unwrap().unwrap();
    assert_eq!(artifact.id(), "Null");
    assert_eq!(noting.0.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_builder_of_packer_makes_files_that_its_artifact_names_and_removes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(remote) = remote(Role::Builder, "file", dir.path()) else { return };
    let (mut cx, _said) = BuildContext::for_tests();
    cx.provisioning = Arc::new(Noting::default());
    let target = dir.path().join("made");
    let body = json!({"target": target.to_str(), "content": "x"});
    let builder = made(&remote.builder().prepare, &body, &cx.facts);
    let artifact = builder.build(&cx).await.unwrap().unwrap();
    assert_eq!(artifact.files(), std::slice::from_ref(&target));
    artifact.destroy().await.unwrap();
    assert!(!target.exists());
}

#[test]
fn options_of_packers_amazon_builder_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let Some(remote) = remote(Role::Builder, "amazon-ebs", dir.path()) else { return };
    assert_eq!(remote.spec().unwrap().len(), 135);
    assert!(matches!(options(&remote, "source_ami_filter"), Item::Block(_)));
    assert!(matches!(options(&remote, "launch_block_device_mappings"), Item::Blocks(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_provisioner_of_packer_works_on_a_machine_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let Some(remote) = remote(Role::Provisioner, "shell", dir.path()) else { return };
    let provisioner =
        made(&remote.provisioner().prepare, &json!({"inline": ["echo hi"]}), &facts());
    let machine = Arc::new(Machine::default());
    let (ui, mut said) = Ui::new();
    let cx = ProvisionContext {
        facts: Arc::new(facts()),
        ui: ui.for_target("web"),
        cancel: Default::default(),
        communicator: machine.clone(),
        on_error: Default::default(),
        redactor: Redactor::default(),
    };
    provisioner.provision(&cx).await.unwrap();
    let uploads = machine.uploads.lock().unwrap().clone();
    assert!(String::from_utf8_lossy(&uploads[0].1).contains("echo hi"), "{uploads:?}");
    assert_eq!(machine.commands.lock().unwrap().len(), 4);
    let mut printed = String::new();
    while let Ok(event) = said.try_recv() {
        if let Message::Output { text, .. } = event.message {
            printed += &text;
        }
    }
    assert!(printed.contains("from the machine"), "{printed}");
}

/// An artifact of one file.
struct Box1(PathBuf);

#[async_trait]
impl Artifact for Box1 {
    fn builder_id(&self) -> &str {
        "imgbake.test"
    }
    fn id(&self) -> String {
        "box-1".to_owned()
    }
    fn files(&self) -> Vec<PathBuf> {
        vec![self.0.clone()]
    }
    fn describe(&self) -> String {
        "a box".to_owned()
    }
    async fn destroy(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_of_packer_takes_an_artifact_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let Some(remote) = remote(Role::PostProcessor, "manifest", dir.path()) else { return };
    let output = dir.path().join("manifest.json");
    let body = json!({"output": output.to_str()});
    let post_processor = made(&remote.post_processor().prepare, &body, &facts());
    let file = dir.path().join("box");
    std::fs::write(&file, "x").unwrap();
    let (cx, _said) = PostProcessContext::for_tests(facts());
    let processed = post_processor.post_process(&cx, Arc::new(Box1(file))).await.unwrap();
    assert!(processed.keep_input && processed.keep_forced);
    let manifest = crate::peer::read_regular_text(&output, 1 << 20).unwrap();
    assert!(manifest.contains("box-1"), "{manifest}");
}
