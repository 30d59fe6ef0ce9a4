//! The data sources of Amazon and the functions that read secrets, against moto.

use aws_sdk_secretsmanager as secretsmanager;
use aws_sdk_ssm as ssm;
use secretsmanager::config::{BehaviorVersion, Credentials, Region};

use crate::support::{ACCESS_KEY, Moto, Program, Run, SECRET_KEY};

const REGION: &str = "us-east-1";
const DATABASE: &str = r#"{"user": "me", "password": "correct horse", "port": 5432}"#;

/// A cloud with secrets and parameters in it.
async fn cloud() -> Moto {
    let moto = Moto::start();
    let credentials = || Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    let config = secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials())
        .region(Region::new(REGION))
        .endpoint_url(moto.endpoint());
    let secrets = secretsmanager::Client::from_conf(config.build());
    for (name, text) in [("database", DATABASE), ("plain", "hunter22 in plain text")] {
        secrets.create_secret().name(name).secret_string(text).send().await.unwrap();
    }
    let config = ssm::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials())
        .region(Region::new(REGION))
        .endpoint_url(moto.endpoint());
    let parameters = ssm::Client::from_conf(config.build());
    let kinds = [ssm::types::ParameterType::String, ssm::types::ParameterType::SecureString];
    for (name, kind) in ["/app/release", "/app/token"].into_iter().zip(kinds) {
        let request = parameters.put_parameter().name(name).r#type(kind);
        request.value(format!("value of {name}")).send().await.unwrap();
    }
    moto
}

/// A build that writes `content` into a file, and says it.
fn program(moto: &Moto, blocks: &str, content: &str) -> Program {
    let program = Program::new().with(moto.environment()).with([("AWS_REGION", REGION)]);
    let template = format!(
        r#"
{blocks}
source "file" "f" {{
  content = "{content}"
  target  = "answer.txt"
}}
build {{
  sources = ["source.file.f"]
  post-processor "shell-local" {{
    inline = ["echo 'it says: {content}'"]
  }}
}}
"#
    );
    program.write("t.pkr.hcl", template);
    program
}

fn build(program: &Program) -> Run {
    program.run(["build", "-color=false", "t.pkr.hcl"])
}

/// What the file of the build says, and what is shown of it.
fn answered(moto: &Moto, blocks: &str, content: &str) -> (String, String) {
    let program = program(moto, blocks, content);
    let run = build(&program).succeeded();
    let shown =
        run.stdout.lines().find_map(|line| Some(line.split_once("it says: ")?.1.to_owned()));
    (program.read("answer.txt"), shown.unwrap_or_else(|| panic!("{}", run.stdout)))
}

/// What is said of a build that fails.
fn refused(moto: &Moto, blocks: &str, content: &str) -> String {
    let run = build(&program(moto, blocks, content)).failed_with(1);
    run.stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_template_and_no_output() {
    let moto = cloud().await;
    let block = r#"data "amazon-secretsmanager" "db" {
  name = "database"
  key  = "password"
}"#;
    let data = "data.amazon-secretsmanager.db";
    let (answer, shown) = answered(&moto, block, &format!("${{{data}.value}}"));
    assert_eq!((answer.as_str(), shown.as_str()), ("correct horse", "<sensitive>"));
    let port = format!("${{jsondecode({data}.secret_string).port}}");
    assert_eq!(answered(&moto, block, &port).0, "5432");
    let (version, shown) = answered(&moto, block, &format!("${{{data}.version_id}}"));
    assert_eq!((version.len(), version), (36, shown));
    let plain = block.replace("\"database\"", "\"plain\"");
    let whole = answered(&moto, &plain, &format!("${{{data}.value}}"));
    assert_eq!(whole, ("hunter22 in plain text".to_owned(), "<sensitive>".to_owned()));
    let missing = block.replace("\"database\"", "\"nowhere\"");
    let error = refused(&moto, &missing, "x");
    assert!(error.contains("`amazon-secretsmanager` has no answer"), "{error}");
    assert!(error.contains("there is no secret `nowhere` in us-east-1: GetSecretValue"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_is_shown_unless_it_is_a_secure_string() {
    let moto = cloud().await;
    let block = |name: &str| {
        format!(
            "data \"amazon-parameterstore\" \"p\" {{\n  name = \"{name}\"\n  with_decryption = true\n}}"
        )
    };
    let value = "${data.amazon-parameterstore.p.value}";
    let plain = "value of /app/release".to_owned();
    assert_eq!(answered(&moto, &block("/app/release"), value), (plain.clone(), plain));
    let (answer, shown) = answered(&moto, &block("/app/token"), value);
    assert_eq!((answer.as_str(), shown.as_str()), ("value of /app/token", "<sensitive>"));
    let rest = "${data.amazon-parameterstore.p.version} ${data.amazon-parameterstore.p.arn}";
    let (rest, _) = answered(&moto, &block("/app/release"), rest);
    assert_eq!(rest, "1 arn:aws:ssm:us-east-1:123456789012:parameter/app/release");
    let error = refused(&moto, &block("/app/nothing"), "x");
    assert!(error.contains("the parameter `/app/nothing` cannot be read in us-east-1"), "{error}");
    assert!(error.contains("ParameterNotFound"), "{error}");
}

const UBUNTU: &str = r#"data "amazon-ami" "base" {
  filters = {
    name = "ubuntu/images/hvm-ssd/*"
  }
  owners      = ["099720109477"]
  most_recent = true
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_is_found_by_filters_and_owners() {
    let moto = cloud().await;
    let base = "data.amazon-ami.base";
    let content =
        format!("${{{base}.id}} ${{{base}.name}} ${{{base}.owner}} ${{length({base}.tags)}}");
    let (answer, _) = answered(&moto, UBUNTU, &content);
    let words: Vec<_> = answer.split(' ').collect();
    assert!(words[0].starts_with("ami-"), "{answer}");
    assert!(words[1].starts_with("ubuntu/images/"), "{answer}");
    assert_eq!(words[2..], ["099720109477", "0"], "{answer}");
    let several = UBUNTU.replace("true", "false");
    let error = refused(&moto, &several, "x");
    assert!(error.contains("2 AMIs match the filters: make them narrower"), "{error}");
    let none = UBUNTU.replace("hvm-ssd", "none");
    let error = refused(&moto, &none, "x");
    assert!(error.contains("no AMI in us-east-1 matches the filters"), "{error}");
}

#[test]
fn whose_ami_must_be_said_and_nobody_is_asked_by_validate() {
    // Nobody listens there.
    let program = Program::new().with([("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]);
    let build = "source \"null\" \"n\" {\n  communicator = \"none\"\n}\n\
                 build {\n  sources = [\"null.n\"]\n}\n";
    program.write("t.pkr.hcl", format!("{UBUNTU}\n{build}"));
    program.run(["validate", "t.pkr.hcl"]).succeeded();
    program.write("t.pkr.hcl", format!("data \"amazon-ami\" \"any\" {{}}\n{build}"));
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    for missing in ["`amazon-ami` needs `owners`", "`amazon-ami` needs `filters`"] {
        assert!(run.stderr.contains(missing), "{}", run.stderr);
    }
    let empty = "data \"amazon-secretsmanager\" \"s\" {}\ndata \"amazon-parameterstore\" \"p\" {}";
    program.write("t.pkr.hcl", format!("{empty}\n{build}"));
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    assert_eq!(run.stderr.matches("needs `name`").count(), 2, "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_both_languages_read_secrets() {
    let moto = cloud().await;
    let call = |call: &str| answered(&moto, "", &format!("${{{call}}}"));
    let password = call(r#"aws_secretsmanager("database", "password")"#);
    assert_eq!(password, ("correct horse".to_owned(), "<sensitive>".to_owned()));
    assert_eq!(call(r#"aws_secretsmanager("plain", null)"#).0, "hunter22 in plain text");
    assert_eq!(call(r#"jsondecode(aws_secretsmanager_raw("database")).user"#).0, "me");
    let error = refused(&moto, "", r#"${aws_secretsmanager("database", null)}"#);
    assert!(error.contains("Secret has multiple values and no key was set"), "{error}");

    let program = Program::new().with(moto.environment()).with([("AWS_REGION", REGION)]);
    let template = serde_json::json!({
        "variables": {
            "port": "{{aws_secretsmanager `database` `port`}}",
            "plain": "{{aws_secretsmanager `plain`}}",
            "raw": "{{aws_secretsmanager_raw `database`}}",
        },
        "builders": [{
            "type": "file",
            "content": "{{user `port`}} {{user `plain`}} {{user `raw`}}",
            "target": "answer.txt",
        }],
    });
    program.write("t.json", template.to_string());
    let run = program.run(["build", "t.json"]).succeeded();
    assert_eq!(program.read("answer.txt"), format!("5432 hunter22 in plain text {DATABASE}"));
    assert!(!run.stdout.contains("hunter22"), "{}", run.stdout);
    let missing = template.to_string().replace("`port`", "`host`");
    program.write("t.json", missing);
    let run = program.run(["build", "t.json"]).failed_with(1);
    assert!(run.stderr.contains("No secret found for key \"host\""), "{}", run.stderr);
    let outside = serde_json::json!({
        "builders": [{"type": "file", "content": "{{aws_secretsmanager `plain`}}", "target": "t"}],
    });
    program.write("t.json", outside.to_string());
    let run = program.run(["validate", "t.json"]).failed_with(1);
    assert!(run.stderr.contains("only allowed in the variables section"), "{}", run.stderr);
}

#[test]
fn without_credentials_or_region_it_is_said_what_to_do() {
    let vars = [("AWS_REGION", REGION), ("AWS_EC2_METADATA_DISABLED", "true")];
    let secret = "locals {\n  s = aws_secretsmanager_raw(\"plain\")\n}\n";
    let build = "source \"null\" \"n\" {\n  communicator = \"none\"\n}\n\
                 build {\n  sources = [\"null.n\"]\n}\n";
    let data = "data \"amazon-parameterstore\" \"p\" {\n  name = \"x\"\n}\n";
    for blocks in [secret, data] {
        let program = Program::new().with(vars);
        program.write("t.pkr.hcl", format!("{blocks}{build}"));
        let run = program.run(["build", "t.pkr.hcl"]).failed_with(1);
        assert!(run.stderr.contains("no AWS credentials were found in"), "{}", run.stderr);
        let program = Program::new().with([vars[1]]);
        program.write("t.pkr.hcl", format!("{blocks}{build}"));
        let run = program.run(["build", "t.pkr.hcl"]).failed_with(1);
        assert!(run.stderr.contains("no AWS region: give `region`"), "{}", run.stderr);
    }
}
