//! Builds whose machine is reached through AWS Systems Manager.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value as Json, json};

use super::bed::{Bed, Build};
use crate::ssm::agent::Script;
use crate::ssm::service::{Manner, Service};
use crate::support::{ACCESS_KEY, Program, SECRET_KEY, free_port};

/// A cloud whose instances are the machine of a `Bed`, and can be reached in no other way.
struct Cloud {
    bed: Bed,
    service: Service,
}

impl Cloud {
    async fn start(manner: impl Into<Manner>) -> Self {
        let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
        let service = Service::start(bed.moto.endpoint(), bed.sshd.port, manner).await;
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(aws_sdk_iam::config::BehaviorVersion::latest())
            .credentials_provider(aws_sdk_iam::config::Credentials::new(
                ACCESS_KEY, SECRET_KEY, None, None, "test",
            ))
            .region(aws_sdk_iam::config::Region::new("us-east-1"))
            .endpoint_url(bed.moto.endpoint());
        let iam = aws_sdk_iam::Client::from_conf(config.build());
        iam.create_instance_profile().instance_profile_name("managed").send().await.unwrap();
        Self { bed, service }
    }

    fn options(&self, changes: Json) -> Json {
        let mut options = self.bed.options(json!({
            "ssh_host": null,
            "ssh_port": null,
            "ssh_interface": "session_manager",
            "iam_instance_profile": "managed",
        }));
        options.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        options
    }

    fn program(&self, changes: Json, provisioners: Json) -> Program {
        let mut builder = self.options(changes);
        builder["type"] = json!("amazon-ebs");
        let program = Program::new().with([
            ("AWS_ENDPOINT_URL", self.service.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]);
        let template = json!({"builders": [builder], "provisioners": provisioners});
        program.write("t.json", template.to_string());
        program
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_baked_on_a_machine_that_nobody_can_connect_to() {
    let cloud = Cloud::start(Manner { absences: 1, ..Manner::default() }).await;
    let before = cloud.bed.inventory("us-east-1").await;
    let options = cloud.options(json!({"pause_before_ssm": "50ms"}));
    let ended = Build::of(options, cloud.service.endpoint()).run().await;
    let id = ended.artifact().id();
    let ami = id.strip_prefix("us-east-1:").unwrap();
    let after = cloud.bed.inventory("us-east-1").await;
    let new: Vec<_> = after.difference(&before).collect();
    assert_eq!(new.len(), 2, "an AMI and its snapshot: {new:?}");
    assert!(after.contains(ami));
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
    let service = &cloud.service;
    assert_eq!((service.active(), service.count("TerminateSession")), (0, 1));
    assert_eq!(service.count("CreateSecurityGroup"), 1);
    assert_eq!(service.count("AuthorizeSecurityGroupIngress"), 0, "it has no door");
    let asked = &service.calls("StartSession")[0];
    assert!(asked["Target"].as_str().unwrap().starts_with("i-"), "{asked}");
    assert!(asked["Reason"].as_str().unwrap().starts_with("imgbake build "), "{asked}");
    let data = ended.data.as_ref().unwrap();
    assert_eq!((&data["Host"], &data["Port"]), (&json!("localhost"), &json!(22)));
    let said = ended.said.join("\n");
    assert!(said.contains("Pausing 50ms before connecting..."), "{said}");
    assert!(said.contains("Using SSH communicator to connect: localhost"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_end_sessions_may_build_all_the_same() {
    let refusals = vec![("TerminateSession", "AccessDeniedException")];
    let cloud = Cloud::start(Manner { refusals, ..Manner::default() }).await;
    let options = cloud.options(json!({"skip_create_ami": true}));
    let ended = Build::of(options, cloud.service.endpoint()).run().await;
    assert!(ended.result.is_ok(), "{}", ended.error());
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
    assert!(ended.said.iter().any(|line| line.contains("ends with i-")), "{:?}", ended.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_programs_get_a_port_of_this_host_if_the_template_wants_one() {
    let cloud = Cloud::start(Script::default()).await;
    let port = free_port();
    let provisioners = json!([{
        "type": "shell-local",
        "inline": [format!(
            "echo there: $(head -c 7 < /dev/tcp/127.0.0.1/{port}) on {{{{build `Host`}}}}:{{{{build `Port`}}}}"
        )],
        "inline_shebang": "/bin/bash -e",
    }]);
    let options = json!({"session_manager_port": port, "skip_create_ami": true});
    let program = cloud.program(options, provisioners);
    let run = tokio::task::spawn_blocking(move || program.run(["build", "-color=false", "t.json"]));
    let run = run.await.unwrap().succeeded();
    let line = format!("there: SSH-2.0 on localhost:{port}");
    assert!(run.stdout.contains(&line), "{}", run.stdout);
    assert_eq!(cloud.service.active(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_killed_build_is_ended_by_cleanup() {
    let cloud = Cloud::start(Script::default()).await;
    let before = cloud.bed.inventory("us-east-1").await;
    let program = cloud.program(json!({}), json!([{"type": "shell", "inline": ["sleep 60"]}]));
    let (run, active) = tokio::task::spawn_blocking(move || {
        let mut child = program.start(["build", "-color=false", "t.json"]);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Connected to SSH!")), "it connects");
        let active = cloud.service.active();
        child.kill().unwrap();
        child.wait().unwrap();
        // The agent's service does not know yet that nobody is there any more.
        assert_eq!(cloud.service.active(), 1);
        (program.run(["cleanup"]), (active, cloud))
    })
    .await
    .unwrap();
    let run = run.succeeded();
    let (active, cloud) = active;
    assert_eq!((active, cloud.service.active()), (1, 0), "{}\n{}", run.stdout, run.stderr);
    assert_eq!(cloud.service.count("DescribeSessions"), 1, "whether it is ours");
    assert_eq!(cloud.bed.inventory("us-east-1").await, before);
}
