//! The post-processor `vagrant-registry`, against a server that plays HCP, its login and its storage.

use serde_json::json;

use super::{Server, publish_with};
use crate::support::{Program, Run, Served};

const SECRET: &str = "secret-of-the-test";
const TOKEN: &str = "token-of-the-test";

const BOX: &str = "/vagrant/2022-09-30/registry/me/box/web";
const VERSION: &str = "/vagrant/2022-09-30/registry/me/box/web/version/1.0.0";
const PROVIDER: &str =
    "/vagrant/2022-09-30/registry/me/box/web/version/1.0.0/provider/vmware_desktop";

/// A server that has nothing yet, and takes all.
fn working(hcp: &Server, url: &str) {
    hcp.answer("POST /oauth2/token", 200, json!({ "access_token": TOKEN }));
    let location = json!({"organization_id": "o-1", "project_id": "p-1"});
    let operation = json!({"operation": {"id": "op-1", "location": location}});
    hcp.answer("POST /vagrant/2022-09-30/registry/me/boxes", 200, operation);
    let done = json!({"operation": {"state": "DONE"}});
    let wait = "GET /operation/2020-05-05/organizations/o-1/projects/p-1/operations/op-1/wait";
    hcp.answer(wait, 200, done);
    let version = json!({"version": {"name": "1.0.0", "state": "UNRELEASED"}});
    hcp.answer(&format!("POST {BOX}/versions"), 200, version);
    hcp.answer(&format!("POST {VERSION}/providers"), 200, json!({}));
    hcp.answer(&format!("POST {PROVIDER}/architectures"), 200, json!({}));
    let direct = json!({"url": format!("{url}/storage"), "object": "object-1"});
    hcp.answer(&format!("GET {PROVIDER}/architecture/amd64/direct/upload"), 200, direct);
    let through = json!({"url": format!("{url}/through")});
    hcp.answer(&format!("GET {PROVIDER}/architecture/amd64/upload"), 200, through);
    hcp.answer("PUT /storage", 200, json!({}));
    hcp.answer("PUT /through", 200, json!({}));
    let complete = format!("PUT {PROVIDER}/architecture/amd64/direct/complete/object-1");
    hcp.answer(&complete, 200, json!({}));
    hcp.answer(&format!("PUT {VERSION}/release"), 200, json!({}));
}

/// A build whose box goes to `server` with these `options`.
fn publish(server: &Served, options: &str) -> Run {
    let options = format!(
        "box_tag = \"me/web\"\n version = \"1.0.0\"\n client_id = \"me\"\n \
         hcp_api_address = \"{0}\"\n hcp_auth_url = \"{0}\"\n {options}",
        server.url()
    );
    publish_with("vagrant-registry", &options, &[("HCP_CLIENT_SECRET", SECRET)])
}

#[test]
fn what_is_missing_of_a_box_is_made_and_the_box_uploaded() {
    let hcp = Server::default();
    let server = hcp.serve();
    working(&hcp, &server.url());
    let options = "box_description = \"a\"\n box_private = true\n version_description = \"b\"\n \
                   default_architecture = \"amd64\"\n box_checksum = \"sha256:aa\"";
    let run = publish(&server, options).succeeded();
    for line in [
        "Created new box: me/web",
        "Created new version: 1.0.0",
        "Created new provider: vmware_desktop",
        "Box successfully uploaded",
        "Version successfully released and available",
        "'vmware_desktop': me/web",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    let boxes = hcp.body("POST /vagrant/2022-09-30/registry/me/boxes");
    assert_eq!(boxes, json!({"name": "web", "description": "a", "is_private": true}));
    let version = hcp.body(&format!("POST {BOX}/versions"));
    assert_eq!(version, json!({"name": "1.0.0", "description": "b"}));
    let architecture = hcp.body(&format!("POST {PROVIDER}/architectures"));
    assert_eq!(
        architecture,
        json!({
            "architecture_type": "amd64", "default": true,
            "box_data": {"checksum_type": "SHA256", "checksum": "aa"}
        })
    );
    let asked = hcp.asked();
    let login = String::from_utf8(asked[0].body.clone()).unwrap();
    assert_eq!(
        login,
        format!(
            "grant_type=client_credentials&client_id=me&client_secret={SECRET}\
             &audience=https%3A%2F%2Fapi.hashicorp.cloud"
        )
    );
    let stored = asked.iter().find(|one| one.what == "PUT /storage").unwrap();
    assert_eq!((stored.token.as_str(), &stored.body[..2]), ("", &[0x1f, 0x8b][..]));
    let last = asked.last().unwrap();
    assert_eq!(
        (last.what.as_str(), last.token.as_str()),
        (format!("PUT {VERSION}/release").as_str(), format!("Bearer {TOKEN}").as_str())
    );
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(!said.contains(TOKEN) && !said.contains(SECRET), "{said}");
}

#[test]
fn what_is_there_is_used_again() {
    let hcp = Server::default();
    let server = hcp.serve();
    hcp.answer(&format!("GET {BOX}"), 200, json!({}));
    hcp.answer(&format!("GET {VERSION}"), 200, json!({"version": {"state": "RELEASED"}}));
    hcp.answer(&format!("GET {PROVIDER}"), 200, json!({}));
    hcp.answer(&format!("GET {PROVIDER}/architecture/amd64"), 200, json!({}));
    hcp.answer(&format!("PUT {PROVIDER}/architecture/amd64"), 200, json!({}));
    working(&hcp, &server.url());
    let run = publish(&server, "no_direct_upload = true").succeeded();
    assert!(run.stdout.contains("Version not in unreleased state"), "{}", run.stdout);
    let whats = hcp.whats();
    assert!(whats.contains(&"PUT /through".to_owned()), "{whats:?}");
    assert!(!whats.iter().any(|what| what.starts_with("POST /vagrant")), "{whats:?}");
    assert!(!whats.iter().any(|what| what.contains("direct") || what.contains("release")));
    let architecture = hcp.body(&format!("PUT {PROVIDER}/architecture/amd64"));
    assert_eq!(architecture, json!({"box_data": {"checksum_type": "NONE"}}));
}

#[test]
fn an_upload_is_tried_again_and_a_refusal_is_told_in_the_servers_words() {
    let hcp = Server::default();
    let server = hcp.serve();
    hcp.answer("PUT /storage", 503, json!({}));
    working(&hcp, &server.url());
    let run = publish(&server, "no_release = true").succeeded();
    assert!(run.stdout.contains("It is tried again"), "{}", run.stdout);
    assert_eq!(hcp.whats().iter().filter(|what| *what == "PUT /storage").count(), 2);
    assert!(!hcp.whats().iter().any(|what| what.ends_with("/release")));

    let hcp = Server::default();
    let server = hcp.serve();
    hcp.answer(&format!("GET {BOX}"), 403, json!({"code": 7, "message": "not yours"}));
    working(&hcp, &server.url());
    let run = publish(&server, "").failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("Failure retrieving box") && said.contains("not yours"), "{said}");
}

#[test]
fn a_box_that_is_elsewhere_is_not_uploaded() {
    let hcp = Server::default();
    let server = hcp.serve();
    working(&hcp, &server.url());
    publish(&server, "box_download_url = \"https://example.test/{{ .Provider }}.box\"").succeeded();
    let architecture = hcp.body(&format!("POST {PROVIDER}/architectures"));
    let url = &architecture["box_data"]["download_url"];
    assert_eq!(url, "https://example.test/vmware_desktop.box");
    assert!(!hcp.whats().iter().any(|what| what.contains("upload")));
}

#[test]
fn what_is_missing_is_said_before_anything_runs() {
    let program = Program::new();
    let said = |options: &str| {
        let template = format!(
            "source \"null\" \"x\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.x\"]\n  post-processor \"vagrant-registry\" {{\n{options}\n  }}\n}}\n"
        );
        program.write("t.pkr.hcl", template);
        let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
        format!("{}{}", run.stdout, run.stderr)
    };
    let text = said("    box_checksum = \"aa\"");
    for missing in ["`box_tag`", "`version`", "`client_id`", "`client_secret`", "t.pkr.hcl:7:20"] {
        assert!(text.contains(missing), "{missing}: {text}");
    }
    let credentials = "    version = \"1\"\n    client_id = \"a\"\n    client_secret = \"b\"\n";
    let text =
        said(&format!("{credentials}    box_tag = \"web\"\n    insecure_skip_tls_verify = true"));
    assert!(
        text.contains("`registry/name`") && text.contains("cannot be enabled for HCP"),
        "{text}"
    );
    let text = said(&format!(
        "{credentials}    box_tag = \"a/b\"\n    hcp_api_address = \"http://example.test\""
    ));
    assert!(text.contains("the token is not sent over http"), "{text}");
}
