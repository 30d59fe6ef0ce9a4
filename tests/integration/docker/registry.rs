//! Images go to registries and come from them, and somebody logs in.

use std::os::unix::fs::PermissionsExt;

use axum::Router;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::registry::Registry;
use crate::support::{ACCESS_KEY, Dockerd, Moto, Program, Run, SECRET_KEY, Served};

fn program() -> Program {
    Program::new().with(Dockerd::shared().environment())
}

/// Bakes an image, and pushes it to `repository` with these options.
fn push(program: &Program, repository: &str, options: &str) -> Run {
    let text = format!(
        r#"
source "docker" "c" {{
  image  = "base:1"
  pull   = false
  commit = true
}}
build {{
  sources = ["docker.c"]
  post-processors {{
    post-processor "docker-tag" {{
      repository = "{repository}"
      tags       = ["1", "2"]
    }}
    post-processor "docker-push" {{
      {options}
    }}
  }}
}}
"#
    );
    program.write("t.pkr.hcl", text);
    program.run(["build", "-color=false", "t.pkr.hcl"])
}

/// The password of the registry that wants one; as base64, it has what addresses cannot bear.
const LOGIN: &str = "me:pa>>??ss~~word";

#[test]
fn an_image_is_pushed_under_each_name_once_and_pulled_again() {
    let registry = Registry::start_with_login(LOGIN);
    let repository = format!("{}/team/web", registry.host);
    let (user, password) = LOGIN.split_once(':').unwrap();
    let login = format!(
        "login = true\nlogin_server = \"http://{}/\"\nlogin_username = \"{user}\"\nlogin_password = \"{password}\"",
        registry.host
    );
    let run = push(&program(), &repository, &login).succeeded();
    assert!(run.stdout.contains("2: digest: sha256:"), "{}", run.stdout);
    assert!(!run.stdout.contains(password), "{}", run.stdout);
    assert_eq!(registry.manifests(), ["team/web/1", "team/web/2"]);
    assert_eq!(registry.calls("PUT /v2/team/web/manifests/2"), 1);

    let engine = Dockerd::start();
    let program = Program::new().with(engine.environment());
    program.write(
        "pull.pkr.hcl",
        format!(
            "source \"docker\" \"c\" {{\n  image = \"{repository}:2\"\n  discard = true\n  {login}\n}}\n\
             build {{\n  sources = [\"docker.c\"]\n  provisioner \"shell\" {{\n    inline = [\"echo \
             from ${{build.SourceImageDigest}}\"]\n  }}\n}}\n"
        ),
    );
    let run = program.run(["build", "-color=false", "pull.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains(&format!("from {repository}@sha256:")), "{}", run.stdout);
    assert!(run.stdout.contains("Status: Downloaded newer image"), "{}", run.stdout);
}

#[test]
fn dockers_own_configuration_logs_in() {
    let registry = Registry::start_with_login(LOGIN);
    let repository = format!("{}/configured", registry.host);
    let program = program();
    let run = push(&program, &repository, "").failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("cannot push") && said.contains(&repository), "{said}");
    let auths = serde_json::json!({"auths": {&registry.host: {"auth": STANDARD.encode(LOGIN)}}});
    program.write(".docker/config.json", auths.to_string());
    push(&program, &repository, "").succeeded();
    assert_eq!(registry.manifests().len(), 2);
}

#[test]
fn a_credential_helper_logs_in_and_its_failure_is_told() {
    let registry = Registry::start_with_login(LOGIN);
    let repository = format!("{}/helped", registry.host);
    let (user, password) = LOGIN.split_once(':').unwrap();
    let program = program();
    let helper = |text: &str| {
        let path = program.write("bin/docker-credential-test", format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let config = serde_json::json!({"credHelpers": {&registry.host: "test"}});
    program.write(".docker/config.json", config.to_string());
    let path = format!("{}:{}", program.path("bin").display(), std::env::var("PATH").unwrap());
    helper(&format!(
        "read host; [ \"$1 $host\" = 'get {}' ] || exit 9\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'",
        registry.host
    ));
    let program = program.with([("PATH", path)]);
    push(&program, &repository, "").succeeded();
    let helper =
        |text: &str| program.write("bin/docker-credential-test", format!("#!/bin/sh\n{text}\n"));
    helper("echo 'the keychain is locked'; exit 1");
    let run = push(&program, &repository, "").failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("docker-credential-test says: the keychain is locked"), "{said}");
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn amazons_registry_is_logged_in_to_with_a_token_of_the_account() {
    let moto = Moto::start();
    // No registry of Amazon's is reached: nothing listens at the proxy of this engine.
    let engine = Dockerd::start_with_proxy("http://127.0.0.1:9");
    let program = Program::new().with(engine.environment()).with(moto.environment());
    let server = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let login = format!("ecr_login = true\nlogin_server = \"{server}\"");
    let run = push(&program, &format!("{server}/web"), &login).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("127.0.0.1:9"), "the engine was not asked to push: {said}");
    let login = format!("{login}\naws_access_key = \"AKIAIOSFODNN7EXAMPLE\"");
    let run = push(&program, &format!("{server}/web"), &login).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("`docker-push` needs `aws_secret_key`"));
}

/// Amazon's public registry gives out a token for [`LOGIN`]; as it is documented, for moto knows nothing of it.
fn public_registry() -> Served {
    let answer = |headers: HeaderMap| async move {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-target"), "SpencerFrontendService.GetAuthorizationToken");
        assert_eq!(header("content-type"), "application/x-amz-json-1.1");
        let scope = header("authorization");
        assert!(scope.contains("/us-east-1/ecr-public/aws4_request"), "{scope}");
        assert!(
            scope.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target"),
            "{scope}"
        );
        let token = STANDARD.encode(LOGIN);
        serde_json::json!({"authorizationData": {"authorizationToken": token}}).to_string()
    };
    Served::start(Router::new().route("/", axum::routing::post(answer)))
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn amazons_public_registry_is_logged_in_to_with_a_token_of_its_one_region() {
    let (registry, tokens) = (Registry::start_with_login(LOGIN), public_registry());
    let program = program().with([
        ("AWS_ENDPOINT_URL_ECR_PUBLIC", tokens.url().as_str()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", "eu-west-1"),
    ]);
    let server = &registry.host;
    let login =
        format!("ecr_login = true\naws_force_use_public_ecr = true\nlogin_server = \"{server}\"");
    let run = push(&program, &format!("{server}/alias/web"), &login).succeeded();
    let (_, password) = LOGIN.split_once(':').unwrap();
    assert!(!run.stdout.contains(password), "{}", run.stdout);
    assert_eq!(registry.manifests(), ["alias/web/1", "alias/web/2"]);
}
