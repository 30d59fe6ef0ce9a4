//! The post-processor `vagrant-cloud`, against a server that plays Vagrant Cloud and its storage.

use serde_json::json;

use super::{Server, publish_box, publish_with};
use crate::support::{Program, Run, Served};

/// A server that has the box, and takes all.
fn working(cloud: &Server, url: &str) {
    let provider = "/box/me/box/version/1.0.0/provider/vmware_desktop/amd64";
    cloud.answer("GET /box/me/box", 200, json!({"tag": "me/box", "versions": []}));
    cloud.answer("POST /box/me/box/versions", 200, json!({"version": "1.0.0"}));
    cloud.answer(
        "POST /box/me/box/version/1.0.0/providers",
        201,
        json!({"name": "vmware_desktop"}),
    );
    let direct = json!({
        "upload_path": format!("{url}/storage"), "callback": format!("{url}/complete")
    });
    cloud.answer(&format!("GET {provider}/upload/direct"), 200, direct);
    let through = json!({ "upload_path": format!("{url}/through") });
    cloud.answer(&format!("GET {provider}/upload"), 200, through);
    for what in ["PUT /storage", "PUT /through", "PUT /complete"] {
        cloud.answer(what, 200, json!({}));
    }
    cloud.answer("PUT /box/me/box/version/1.0.0/release", 200, json!({}));
    cloud.answer(&format!("DELETE {provider}"), 200, json!({}));
}

const TOKEN: &str = "token-of-the-test";

/// A build whose box goes to `server` with these `options`.
fn publish(server: &Served, options: &str) -> Run {
    let options = format!(
        "box_tag = \"me/box\"\n version = \"1.0.0\"\n vagrant_cloud_url = \"{}\"\n {options}",
        server.url()
    );
    publish_with("vagrant-cloud", &options, &[("VAGRANT_CLOUD_TOKEN", TOKEN)])
}

#[test]
fn a_box_is_published_as_a_new_version() {
    let cloud = Server::default();
    let server = cloud.serve();
    working(&cloud, &server.url());
    let options = "version_description = \"new\"\n default_architecture = \"amd64\"\n box_checksum = \"sha256:aa\"";
    let run = publish(&server, options).succeeded();
    assert!(run.stdout.contains("'vmware_desktop': me/box"), "{}", run.stdout);
    assert!(run.stdout.contains("Version successfully released"), "{}", run.stdout);
    let version = json!({"version": {"version": "1.0.0", "description": "new"}});
    assert_eq!(cloud.body("POST /box/me/box/versions"), version);
    let provider = json!({"provider": {
        "name": "vmware_desktop", "architecture": "amd64", "default_architecture": true,
        "checksum_type": "sha256", "checksum": "aa"
    }});
    assert_eq!(cloud.body("POST /box/me/box/version/1.0.0/providers"), provider);
    let asked = cloud.asked();
    let (last, stored) =
        (asked.last().unwrap(), asked.iter().find(|one| one.what == "PUT /storage"));
    assert_eq!(last.what, "PUT /box/me/box/version/1.0.0/release");
    assert_eq!(last.token, format!("Bearer {TOKEN}"));
    // The storage is another server: its URL is what lets in.
    assert_eq!(stored.unwrap().token, "");
    assert_eq!(&stored.unwrap().body[..2], [0x1f, 0x8b]);
    assert!(!format!("{}{}", run.stdout, run.stderr).contains(TOKEN));
}

#[test]
fn a_version_that_is_there_gets_another_provider() {
    let cloud = Server::default();
    let server = cloud.serve();
    let there = json!({"tag": "me/box", "versions": [{"version": "1.0.0"}]});
    cloud.answer("GET /box/me/box", 200, there);
    working(&cloud, &server.url());
    let run = publish(&server, "no_release = true\n no_direct_upload = true").succeeded();
    assert!(run.stdout.contains("Version exists, skipping creation"), "{}", run.stdout);
    let whats = cloud.whats();
    assert!(whats.contains(&"PUT /through".to_owned()), "{whats:?}");
    for never in ["POST /box/me/box/versions", "PUT /complete", "PUT /storage"] {
        assert!(!whats.contains(&never.to_owned()), "{whats:?}");
    }
    assert!(!whats.iter().any(|what| what.ends_with("/release")), "{whats:?}");
}

#[test]
fn an_upload_is_tried_again_and_what_cannot_be_uploaded_leaves_no_provider() {
    let cloud = Server::default();
    let server = cloud.serve();
    cloud.answer("PUT /storage", 503, json!({}));
    working(&cloud, &server.url());
    let run = publish(&server, "").succeeded();
    assert!(run.stdout.contains("It is tried again"), "{}", run.stdout);
    assert_eq!(cloud.whats().iter().filter(|what| *what == "PUT /storage").count(), 2);

    let cloud = Server::default();
    let server = cloud.serve();
    cloud.answer("PUT /complete", 422, json!({"errors": [{"box": "is broken"}, "no"]}));
    working(&cloud, &server.url());
    cloud.0.lock().unwrap().answers.get_mut("PUT /complete").unwrap().truncate(1);
    let run = publish(&server, "").failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("Error confirming upload"), "{said}");
    assert!(said.contains("box is broken. no"), "{said}");
    let last = cloud.whats().pop().unwrap();
    assert_eq!(last, "DELETE /box/me/box/version/1.0.0/provider/vmware_desktop/amd64");
}

#[test]
fn a_box_that_is_elsewhere_is_not_uploaded() {
    let cloud = Server::default();
    let server = cloud.serve();
    working(&cloud, &server.url());
    let options =
        "box_download_url = \"https://example.test/{{ .Provider }}-{{ .Architecture }}.box\"";
    publish(&server, options).succeeded();
    let provider = cloud.body("POST /box/me/box/version/1.0.0/providers");
    assert_eq!(provider["provider"]["url"], "https://example.test/vmware_desktop-amd64.box");
    assert!(!cloud.whats().iter().any(|what| what.contains("upload")));
}

#[test]
fn a_token_that_is_not_taken_is_told_before_the_build() {
    let cloud = Server::default();
    let server = cloud.serve();
    cloud.answer("GET /authenticate", 401, json!({"errors": ["Invalid authentication token"]}));
    working(&cloud, &server.url());
    let run = publish(&server, "").failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("Invalid authentication token"), "{said}");
    assert!(said.contains("t.pkr.hcl:11:20: `vagrant-cloud` could not work"), "{said}");
    assert!(!said.contains("Running post-processor"), "{said}");
    assert_eq!(cloud.whats(), ["GET /authenticate"]);
}

#[test]
fn a_box_whose_names_lead_elsewhere_is_not_published() {
    for of_box in [
        r#"{"provider": "../../../../x?y=", "architecture": "amd64"}"#,
        r#"{"provider": "virtualbox", "architecture": "a/b"}"#,
        r#"{"provider": "virtualbox#x", "architecture": "amd64"}"#,
    ] {
        let cloud = Server::default();
        let server = cloud.serve();
        working(&cloud, &server.url());
        let options = format!(
            "box_tag = \"me/box\"\n version = \"1.0.0\"\n vagrant_cloud_url = \"{}\"",
            server.url()
        );
        let variables = [("VAGRANT_CLOUD_TOKEN", TOKEN)];
        let run = publish_box("vagrant-cloud", &options, &variables, of_box).failed_with(1);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("cannot be used"), "{said}");
        assert_eq!(cloud.whats(), ["GET /authenticate"], "{of_box}");
    }
}

#[test]
fn what_is_missing_is_said_before_anything_runs() {
    let program = Program::new();
    let template = |options: &str| {
        format!(
            "source \"null\" \"x\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.x\"]\n  post-processor \"vagrant-cloud\" {{\n{options}\n  }}\n}}\n"
        )
    };
    program.write("t.pkr.hcl", template("    box_checksum = \"aa\""));
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    for missing in ["`box_tag`", "`version`", "`access_token`", "t.pkr.hcl:7:20"] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    program.write("t.pkr.hcl", template("    box_tag = \"me/box\"\n    version = \"1\""));
    let program = program.with([("ATLAS_TOKEN", TOKEN)]);
    program.run(["validate", "t.pkr.hcl"]).succeeded();
    // What it is given is no box.
    let run = program.run(["build", "t.pkr.hcl"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("Unknown artifact type"), "{said}");
}
