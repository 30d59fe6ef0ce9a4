//! A cloud, a machine, and the builder between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use imgbake::builder::amazon::AmazonEbs;
use imgbake::component::{
    Artifact, BuildContext, Builder as _, Communicator, Facts, OnError, Provisioning, prepare,
};
use imgbake::config::{Entry, Form, Node, NodeKind};
use imgbake::diagnostic::Diagnostics;
use imgbake::env::Environment;
use imgbake::event::{Message, Ui};
use imgbake::interpolate::{BuildData, Scope};
use imgbake::journal::Journal;
use imgbake::registry::Registry;
use imgbake::secret::Redactor;
use imgbake::source::{SourceMap, Span};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::ami_tools::AmiTools;
use crate::support::{ACCESS_KEY, Moto, Program, SECRET_KEY, Sshd};

/// What most tests need.
pub struct Bed {
    pub moto: Moto,
    pub sshd: Sshd,
    /// On the machine.
    pub tools: AmiTools,
    /// Making a client takes as long as some builds: it reads the certificates of the system.
    clients: Mutex<HashMap<&'static str, Client>>,
}

/// How a build ended, and all that was said in it.
pub struct Ended {
    pub result: anyhow::Result<Option<Arc<dyn Artifact>>>,
    pub said: Vec<String>,
    pub steps: Vec<String>,
    pub journal: Journal,
    /// What provisioners were given.
    pub data: Option<BuildData>,
}

impl Ended {
    #[track_caller]
    pub fn artifact(&self) -> &dyn Artifact {
        match &self.result {
            Ok(Some(artifact)) => &**artifact,
            Ok(None) => panic!("no artifact; {:#?}", self.said),
            Err(error) => panic!("{error:#}; {:#?}", self.said),
        }
    }

    #[track_caller]
    pub fn error(&self) -> String {
        match &self.result {
            Ok(_) => panic!("it worked; {:#?}", self.said),
            Err(error) => format!("{error:#}"),
        }
    }
}

/// It accepts any key, as if it were the instance that EC2 gave the key to.
const ANY_KEY: &str = "AuthorizedKeysCommand /bin/echo %t %k\nAuthorizedKeysCommandUser root";

/// The bucket of the tests.
const BUCKET: &str = "imports";

const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

/// The tags that say what is ours, for things of this `kind`.
pub fn marked(kind: ResourceType, run: &str, build: &str) -> TagSpecification {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = TagSpecification::builder().resource_type(kind);
    tags.tags(tag("imgbake:run", run)).tags(tag("imgbake:build", build)).build()
}

impl Bed {
    /// A machine that accepts any key, as if it were the instance that EC2 gave the key to.
    pub fn new() -> Self {
        let (moto, tools) = (Moto::start(), AmiTools::new());
        let sshd = Sshd::start_with(&format!("{ANY_KEY}\n{}", tools.settings(&moto)));
        Self { moto, sshd, tools, clients: Mutex::default() }
    }

    /// Somebody's machine, and what `with` asks for besides: its id.
    pub async fn machine(
        &self,
        region: &'static str,
        with: impl FnOnce(RunInstancesFluentBuilder) -> RunInstancesFluentBuilder,
    ) -> String {
        let ec2 = self.ec2(region);
        let images = ec2.describe_images().send().await.unwrap();
        let request = ec2.run_instances().image_id(images.images()[0].image_id().unwrap());
        let started = with(request.min_count(1).max_count(1)).send().await.unwrap();
        started.instances()[0].instance_id().unwrap().to_owned()
    }

    /// The options of a build, changed by `changes`; `null` takes one away.
    pub fn options(&self, changes: Json) -> Json {
        let mut options = json!({
            "region": "us-east-1",
            "ami_name": "baked",
            "instance_type": "t3.micro",
            "source_ami_filter": {
                "filters": {"name": "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*"},
                "owners": ["099720109477"],
                "most_recent": true,
            },
            "ssh_host": "127.0.0.1",
            "ssh_port": self.sshd.port,
            "ssh_username": self.sshd.user,
            "ssh_timeout": "60s",
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Json::Null => options.as_object_mut().unwrap().remove(name),
                value => options.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        options
    }

    pub fn ec2(&self, region: &'static str) -> Client {
        let make = || {
            let config = aws_sdk_ec2::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
                .region(Region::new(region))
                .endpoint_url(self.moto.endpoint());
            Client::from_conf(config.build())
        };
        self.clients.lock().unwrap().entry(region).or_insert_with(make).clone()
    }

    /// Everything of ours that costs money or is in the way.
    pub async fn inventory(&self, region: &'static str) -> BTreeSet<String> {
        let ec2 = self.ec2(region);
        let mut all = BTreeSet::new();
        let instances = ec2.describe_instances().send().await.unwrap();
        for instance in instances.reservations().iter().flat_map(|found| found.instances()) {
            let state = instance.state().unwrap().name().unwrap().as_str();
            if state != "terminated" {
                all.insert(format!("{} {state}", instance.instance_id().unwrap()));
            }
        }
        let keys = ec2.describe_key_pairs().send().await.unwrap();
        all.extend(keys.key_pairs().iter().filter_map(|key| key.key_name.clone()));
        let groups = ec2.describe_security_groups().send().await.unwrap();
        all.extend(
            groups.security_groups().iter().map(|group| {
                format!("{} {}", group.group_id().unwrap(), group.group_name().unwrap())
            }),
        );
        let volumes = ec2.describe_volumes().send().await.unwrap();
        all.extend(volumes.volumes().iter().filter_map(|volume| volume.volume_id.clone()));
        let images = ec2.describe_images().owners("self").send().await.unwrap();
        all.extend(images.images().iter().filter_map(|image| image.image_id.clone()));
        let snapshots = ec2.describe_snapshots().owner_ids("self").send().await.unwrap();
        all.extend(snapshots.snapshots().iter().filter_map(|one| one.snapshot_id.clone()));
        let templates = ec2.describe_launch_templates().send().await.unwrap();
        let templates = templates.launch_templates().iter();
        all.extend(templates.filter_map(|one| one.launch_template_id.clone()));
        all
    }

    /// Roles and instance profiles, which are the same in all regions.
    async fn roles(&self) -> BTreeSet<String> {
        let iam = self.moto.iam();
        let roles = iam.list_roles().send().await.unwrap();
        let profiles = iam.list_instance_profiles().send().await.unwrap();
        let roles = roles.roles().iter().map(|role| format!("role {}", role.role_name()));
        let profiles = profiles.instance_profiles().iter();
        let profiles = profiles.map(|one| format!("profile {}", one.instance_profile_name()));
        roles.chain(profiles).collect()
    }

    /// The same, of both regions that the tests build in, and of the bucket.
    pub async fn inventory_of_all(&self) -> BTreeSet<String> {
        let (here, abroad) = (self.inventory("us-east-1"), self.inventory("eu-west-1"));
        let (here, abroad, roles) = tokio::join!(here, abroad, self.roles());
        let objects = self.in_bucket().into_iter().map(|key| format!("s3 {key}"));
        here.into_iter().chain(abroad).chain(roles).chain(objects).collect()
    }

    /// Asks moto for `what` in S3.
    pub fn s3(&self, what: &str) -> String {
        let endpoint = self.moto.endpoint();
        let host = endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        let scope = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request"
        );
        let head =
            format!("{what} HTTP/1.0\r\nHost: {host}\r\n{scope}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Makes the bucket, if it is not there.
    pub fn bucket(&self) -> &'static str {
        assert!(self.s3(&format!("PUT /{BUCKET}")).contains(" 200 "), "there is a bucket");
        BUCKET
    }

    /// What is in the bucket: objects and uploads.
    pub fn in_bucket(&self) -> Vec<String> {
        let lists = [
            self.s3(&format!("GET /{BUCKET}?list-type=2")),
            self.s3(&format!("GET /{BUCKET}?uploads=")),
        ];
        let keys = lists.iter().flat_map(|list| list.split("<Key>").skip(1));
        keys.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }

    /// Makes an image.
    pub async fn image(&self, region: &'static str, name: &str) {
        let ec2 = self.ec2(region);
        let found = ec2.describe_images().owners("099720109477").send().await.unwrap();
        let source = found.images()[0].image_id().unwrap();
        let started = ec2.run_instances().image_id(source).min_count(1).max_count(1).send().await;
        let id = started.unwrap().instances()[0].instance_id().unwrap().to_owned();
        ec2.create_image().instance_id(&id).name(name).send().await.unwrap();
        ec2.terminate_instances().instance_ids(&id).send().await.unwrap();
    }

    /// Removes images, wherever they are, and their snapshots.
    pub async fn remove_images(&self, ids: &BTreeSet<String>) {
        if ids.is_empty() {
            return;
        }
        for region in REGIONS {
            let ec2 = self.ec2(region);
            let found = ec2.describe_images().owners("self").send().await.unwrap();
            for image in found.images().iter().filter(|one| ids.contains(one.image_id().unwrap())) {
                let id = image.image_id().unwrap();
                ec2.deregister_image().image_id(id).send().await.unwrap();
                let disks = image.block_device_mappings().iter();
                for snapshot in disks.filter_map(|disk| disk.ebs()?.snapshot_id()) {
                    ec2.delete_snapshot().snapshot_id(snapshot).send().await.unwrap();
                }
            }
        }
    }

    /// Removes all that was not there `before`.
    pub async fn sweep(&self, before: &BTreeSet<String>) {
        for region in REGIONS {
            let ec2 = self.ec2(region);
            let mut new: Vec<_> = self.inventory(region).await.into_iter().collect();
            new.retain(|one| !before.contains(one));
            // Instances let go of volumes and groups, images of snapshots.
            new.sort_by_key(|one| !one.starts_with("i-") && !one.starts_with("ami-"));
            for one in new {
                let id = one.split(' ').next().unwrap();
                match id.split('-').next().unwrap() {
                    "i" => drop(ec2.terminate_instances().instance_ids(id).send().await),
                    "ami" => drop(ec2.deregister_image().image_id(id).send().await),
                    "snap" => drop(ec2.delete_snapshot().snapshot_id(id).send().await),
                    "vol" => drop(ec2.delete_volume().volume_id(id).send().await),
                    "lt" => drop(ec2.delete_launch_template().launch_template_id(id).send().await),
                    "sg" => drop(ec2.delete_security_group().group_id(id).send().await),
                    _ => drop(ec2.delete_key_pair().key_name(id).send().await),
                }
            }
        }
        for object in self.in_bucket() {
            if !before.contains(&format!("s3 {object}")) {
                self.s3(&format!("DELETE /{BUCKET}/{object}"));
            }
        }
        assert_eq!(self.inventory_of_all().await.difference(before).count(), 0, "all is swept");
    }

    /// Builds against moto itself.
    pub async fn build(&self, options: Json) -> Ended {
        Build::of(options, self.moto.endpoint()).run().await
    }
}

/// A cloud of its own, and what is in it by itself.
pub struct Cloud {
    pub bed: Bed,
    pub before: BTreeSet<String>,
}

impl Cloud {
    pub async fn start() -> Self {
        Self::of(tokio::task::spawn_blocking(Bed::new).await.unwrap()).await
    }

    /// Whatever is in `bed` now belongs there.
    pub async fn of(bed: Bed) -> Self {
        let before = bed.inventory_of_all().await;
        Self { bed, before }
    }

    /// What came since, and did not go.
    pub async fn left(&self) -> BTreeSet<String> {
        self.bed.inventory_of_all().await.difference(&self.before).cloned().collect()
    }
}

/// When a build is interrupted or made to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// When the step of this name starts, and this much later.
    Interrupted(String, Duration),
    /// The provisioners.
    Fails,
}

/// A build to run.
pub struct Build {
    options: Json,
    endpoint: String,
    pub trouble: Trouble,
    pub vars: BTreeMap<String, String>,
    pub force: bool,
    pub debug: bool,
    pub on_error: OnError,
    /// The working directory.
    pub cwd: PathBuf,
}

impl Build {
    pub fn of(options: Json, endpoint: String) -> Self {
        let (trouble, vars, cwd) = (Trouble::None, BTreeMap::new(), "/tmp".into());
        let on_error = OnError::Cleanup;
        Self { options, endpoint, trouble, vars, force: false, debug: false, on_error, cwd }
    }

    pub fn with(mut self, trouble: Trouble) -> Self {
        self.trouble = trouble;
        self
    }

    fn facts(&self) -> Facts {
        let mut vars = self.vars.clone();
        vars.extend([
            ("AWS_ENDPOINT_URL".to_owned(), self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID".to_owned(), ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET_KEY.to_owned()),
        ]);
        let environment = Environment::new(vars, self.cwd.clone(), jiff::Timestamp::now());
        let scope = Scope {
            build_name: Some("ubuntu".into()),
            build_type: Some("amazon-ebs".into()),
            template_dir: Some(PathBuf::from("/tmp")),
            ..Scope::new(Arc::new(environment))
        };
        let facts = Facts::without_build("amazon-ebs", scope).named("ubuntu");
        let facts = facts.with_connectors(Registry::built_in().connectors());
        Facts { force: self.force, debug: self.debug, ..facts }
    }

    /// What is wrong with the options, before anything runs.
    pub fn check(&self) -> Result<(AmazonEbs, Facts, Redactor), Diagnostics> {
        let (facts, redactor) = (self.facts(), Redactor::default());
        let (builder, _) = prepare::<AmazonEbs>(&node(&self.options), &facts, &redactor)?;
        Ok((builder, facts, redactor))
    }

    /// What `validate` warns of.
    pub fn warnings(&self) -> Vec<String> {
        let prepared =
            prepare::<AmazonEbs>(&node(&self.options), &self.facts(), &Redactor::default());
        let (_, found) = prepared.unwrap_or_else(|found| panic!("{found:#?}"));
        let without_lints = found.0.into_iter().filter(|warning| !warning.code.is_lint());
        without_lints.map(|warning| warning.summary).collect()
    }

    pub async fn run(self) -> Ended {
        let (builder, facts, redactor) = self.check().unwrap_or_else(|found| panic!("{found:#?}"));
        let (ui, mut heard) = Ui::redacting(redactor.clone());
        let double =
            Arc::new(Double { fails: self.trouble == Trouble::Fails, data: Mutex::default() });
        let cx = BuildContext {
            skip_unchanged: None,
            keep_failed: None,
            facts: Arc::new(facts),
            ui: ui.for_target("ubuntu"),
            cancel: CancellationToken::new(),
            stop: Default::default(),
            on_error: self.on_error,
            journal: Journal::default(),
            redactor,
            provisioning: double.clone(),
            fingerprint: Default::default(),
        };
        let (cancel, trouble, journal) =
            (cx.cancel.clone(), self.trouble.clone(), cx.journal.clone());
        let listener = tokio::spawn(async move {
            let (mut said, mut steps) = (Vec::new(), Vec::new());
            while let Some(event) = heard.recv().await {
                match event.message {
                    Message::StepStarted { step, .. } => {
                        if let Trouble::Interrupted(at, later) = &trouble
                            && *at == step
                        {
                            let (cancel, later) = (cancel.clone(), *later);
                            tokio::spawn(async move {
                                tokio::time::sleep(later).await;
                                cancel.cancel();
                            });
                        }
                        steps.push(step);
                    }
                    Message::Say(text) | Message::Error(text) => said.push(text),
                    _ => {}
                }
            }
            (said, steps)
        });
        let result = builder.build(&cx).await;
        let data = double.data.lock().unwrap().take();
        drop((cx, ui, builder));
        let (said, steps) = listener.await.unwrap();
        Ended { result, said, steps, journal, data }
    }
}

/// Provisioners that run one command, and fail if they should.
struct Double {
    fails: bool,
    data: Mutex<Option<BuildData>>,
}

#[async_trait]
impl Provisioning for Double {
    async fn provision(
        &self,
        cx: &BuildContext,
        communicator: Arc<dyn Communicator>,
        data: BuildData,
    ) -> anyhow::Result<()> {
        *self.data.lock().unwrap() = Some(data);
        let command = communicator.run_shown("echo provisioned", &cx.ui);
        imgbake::retry::or_cancelled(&cx.cancel, command).await??;
        anyhow::ensure!(!self.fails, "the provisioner failed");
        Ok(())
    }
}

/// A body from JSON. All its places are the same.
fn node(json: &Json) -> Node {
    let span = Span::new(SourceMap::default().add("test.json", ""), 0, 0);
    let kind = match json {
        Json::Null => NodeKind::Null,
        Json::Bool(value) => NodeKind::Bool(*value),
        Json::Number(value) => NodeKind::Number(value.to_string()),
        Json::String(text) => NodeKind::String(text.clone()),
        Json::Array(items) => NodeKind::List(items.iter().map(node).collect()),
        Json::Object(map) => {
            let entry = |(key, value): (&String, &Json)| {
                (key.clone(), Entry { key: span, value: node(value), form: Form::Weak })
            };
            NodeKind::Map(map.iter().map(entry).collect())
        }
    };
    Node::new(span, kind)
}

/// What `validate` says of the options of `builder` with these `changes`; those that are null are left out.
pub fn validated(program: &Program, mut builder: Json, changes: &Json) -> (Option<i32>, String) {
    for (name, value) in changes.as_object().unwrap() {
        builder[name] = value.clone();
    }
    builder.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    program.write("wrong.json", json!({"builders": [builder]}).to_string());
    let output = program.command(["validate", "wrong.json"]).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
