//! `hcp-sbom` and `provenance`: what is in a machine, fetched from it and attested.

use std::fs;
use std::io::Write as _;

use axum::Router;
use axum::extract::Path;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::support::{Program, Run, Served, Sshd};

/// Builds on `sshd` with this provisioner, and then what is in `post_processors`.
fn build(program: &Program, sshd: &Sshd, provisioner: &Json, post_processors: &Json) -> Run {
    let builder = sshd.builder(json!({}));
    let template = json!({
        "builders": [builder], "provisioners": [provisioner], "post-processors": post_processors
    });
    program.write("template.json", template.to_string());
    program.run(["build", "-color=false", "template.json"])
}

const SBOM: &str = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}"#;

#[test]
fn an_sbom_of_a_machine_is_fetched_and_attested() {
    let (program, sshd) = (Program::new(), Sshd::start());
    let source = program.write("on-the-machine.json", SBOM);
    program.write("disk.img", "abc");
    let provisioner = json!({
        "type": "hcp-sbom", "source": source, "destination": "out/sbom.json", "sbom_name": "web-1"
    });
    let post_processors = json!([[
        {"type": "artifice", "files": ["disk.img"]},
        {"type": "provenance", "sbom": true, "sbom_scan_path": "out/sbom.json"}
    ]]);
    let run = build(&program, &sshd, &provisioner, &post_processors).succeeded();
    assert!(run.stdout.contains("The SBOM is kept in out/sbom.json"), "{}", run.stdout);
    assert_eq!(program.read("out/sbom.json"), SBOM);
    assert_eq!(program.read("web.disk.img.sbom.cdx.json"), SBOM);
    let attested: Json = serde_json::from_str(&program.read("web.disk.img.sbom.att.json")).unwrap();
    assert_eq!(attested["predicate"], serde_json::from_str::<Json>(SBOM).unwrap());
    assert_eq!(attested["subject"][0]["name"], "disk.img");
    let statement: Json =
        serde_json::from_str(&program.read("web.disk.img.provenance.json")).unwrap();
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
}

/// Without a file to attest, the machine says what is in it.
#[test]
fn the_packages_of_the_machine_are_attested() {
    let (program, sshd) = (Program::new(), Sshd::start());
    program.write("disk.img", "abc");
    for (format, file, list) in [("cyclonedx", "cdx", "components"), ("spdx", "spdx", "packages")] {
        let post_processors = json!([[
            {"type": "artifice", "files": ["disk.img"]},
            {"type": "provenance", "sbom": true, "sbom_format": format, "sbom_scope": "squashed",
             "sbom_exclude": ["**/node_modules"]}
        ]]);
        let run = build(
            &program,
            &sshd,
            &json!({"type": "shell-local", "inline": ["true"]}),
            &post_processors,
        );
        run.succeeded();
        let written = program.read(&format!("web.disk.img.sbom.{file}.json"));
        let written: Json = serde_json::from_str(&written).unwrap();
        let names =
            written[list].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
        assert!(
            names.clone().any(|name| name == "openssh-server"),
            "{:?}",
            names.collect::<Vec<_>>()
        );
        let attested: Json =
            serde_json::from_str(&program.read("web.disk.img.sbom.att.json")).unwrap();
        assert_eq!(attested["predicate"], written);
    }
    // Where there is no machine, there is no list.
    let template = json!({
        "builders": [{"type": "file", "content": "x", "target": "x.img"}],
        "post-processors": [{"type": "provenance", "sbom": true}]
    });
    program.write("template.json", template.to_string());
    let run = program.run(["build", "-color=false", "template.json"]).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("name an SBOM's file with `sbom_scan_path`"), "{said}");
}

#[cfg(feature = "aws")]
mod kms {
    use std::process::Command;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::support::Moto;

    /// Whether OpenSSL accepts the signature in `envelope` with the public key in `der`.
    fn openssl_accepts(program: &Program, envelope: &Json, der: &[u8], digest: &str) -> bool {
        let decode = |text: &Json| STANDARD.decode(text.as_str().unwrap()).unwrap();
        let payload = decode(&envelope["payload"]);
        let kind = envelope["payloadType"].as_str().unwrap();
        let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
        program.write("message", [head.as_bytes(), &payload].concat());
        program.write("signature", decode(&envelope["signatures"][0]["sig"]));
        program.write("public.der", der);
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", digest, "-keyform", "DER", "-verify", "public.der"]);
        openssl.args(["-signature", "signature", "message"]).current_dir(program.dir());
        openssl.status().unwrap().success()
    }

    #[test]
    fn a_key_of_kms_signs_and_openssl_accepts_it() {
        let moto = Moto::start();
        let program = Program::new().with(moto.environment()).with([("AWS_REGION", "us-east-1")]);
        program.write("disk.img", "abc");
        let write = |signer: &str| {
            let template = json!({
                "builders": [{"type": "null", "communicator": "none"}],
                "post-processors": [[
                    {"type": "artifice", "files": ["disk.img"]},
                    {"type": "provenance", "signing_mode": "kms", "signer": signer}
                ]]
            });
            program.write("template.json", template.to_string());
        };
        let call =
            |name: &str, input: Json| moto.json("kms", &format!("TrentService.{name}"), &input);
        for (spec, digest) in
            [("ECC_NIST_P256", "-sha256"), ("ECC_NIST_P384", "-sha384"), ("RSA_2048", "-sha256")]
        {
            let made = call("CreateKey", json!({"KeySpec": spec, "KeyUsage": "SIGN_VERIFY"}));
            let id = made["KeyMetadata"]["KeyId"].as_str().unwrap();
            let alias = format!("alias/{spec}");
            call("CreateAlias", json!({"AliasName": alias, "TargetKeyId": id}));
            write(&format!("awskms:///{alias}"));
            program.run(["build", "-color=false", "template.json"]).succeeded();
            let public = call("GetPublicKey", json!({"KeyId": id}));
            let public = STANDARD.decode(public["PublicKey"].as_str().unwrap()).unwrap();
            let envelope = program.read("null.disk.img.provenance.json");
            let envelope: Json = serde_json::from_str(&envelope).unwrap();
            assert!(openssl_accepts(&program, &envelope, &public, digest), "{spec}: {envelope}");
            let key = format!("awskms:///{alias}");
            let verified =
                program.run(["verify-attestation", "-key", &key, "null.disk.img.provenance.json"]);
            assert_eq!(verified.succeeded().stdout, "Attestation verified.\n");
        }
        // A key that is not there is known before anything is built.
        write("awskms:///alias/none");
        let run = program.run(["build", "-color=false", "template.json"]).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains("the key alias/none of KMS: GetPublicKey failed"), "{said}");
        assert!(said.contains("`provenance` could not work when the build is done"), "{said}");
        let policy = program.run(["iam-policy", "template.json"]).succeeded().stdout;
        for words in ["kms:Sign", "kms:GetPublicKey", "kms:ResourceAliases", "alias/none"] {
            assert!(policy.contains(words), "{words}: {policy}");
        }
    }
}

#[test]
fn a_build_goes_on_without_its_sbom() {
    let (program, sshd) = (Program::new(), Sshd::start());
    let wrong = program.write("wrong.json", "{}");
    let missing = program.path("missing.json");
    for (source, why) in [(wrong, "it is no SBOM"), (missing, "cannot download")] {
        let provisioner =
            json!({"type": "hcp-sbom", "source": source, "destination": "out/sbom.json"});
        let run = build(&program, &sshd, &provisioner, &json!([])).succeeded();
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(why) && said.contains("Build will continue without SBOM"), "{said}");
        assert!(!program.path("out/sbom.json").exists());
    }
}

/// HashiCorp's site with one release and one to come. Its program lists nothing, and says how it was
/// called.
fn site() -> Served {
    let script = format!("#!/bin/sh\necho \"called: $*\" >&2\necho '{SBOM}'\n");
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("packer", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(script.as_bytes()).unwrap();
    let archive = archive.finish().unwrap().into_inner();
    let sum = hex::encode(Sha256::digest(&archive));
    let platforms = ["linux_amd64", "linux_arm64"];
    let sums = platforms.map(|name| format!("{sum}  packer_1.9.0_{name}.zip\n")).concat();
    let index = json!({"versions": {"1.9.0": {}, "1.8.9": {}, "1.10.0-beta1": {}}}).to_string();
    Served::start(Router::new().route(
        "/packer/{*path}",
        axum::routing::get(move |Path(path): Path<String>| async move {
            match path.as_str() {
                "index.json" => Ok(index.into_bytes()),
                "1.9.0/packer_1.9.0_SHA256SUMS" => Ok(sums.into_bytes()),
                _ if path.starts_with("1.9.0/packer_1.9.0_linux_") => Ok(archive),
                _ => Err(axum::http::StatusCode::NOT_FOUND),
            }
        }),
    ))
}

#[test]
fn an_sbom_is_made_on_the_machine_by_the_newest_release() {
    let (site, sshd) = (site(), Sshd::start());
    let program = Program::new().with([("IMGBAKE_RELEASES_URL", site.url())]);
    let provisioner = json!({
        "type": "hcp-sbom", "auto_generate": true, "destination": "sbom.json", "scan_path": "/etc",
        "execute_command": "chmod +x {{.Path}} && {{.Path}} {{.Args}} {{.ScanPath}} > {{.Output}}"
    });
    let run = build(&program, &sshd, &provisioner, &json!([])).succeeded();
    let said = format!("{}{}", run.stdout, run.stderr);
    for line in [
        "Detected: OS=Linux",
        "The scanner is Packer 1.9.0",
        "called: sbom-generate -o cyclonedx-json /etc",
        "Automatic SBOM generation completed successfully",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(program.read("sbom.json").trim(), SBOM);
    for left in ["/tmp/packer-sbom-runner", "/tmp/packer-sbom.json"] {
        assert!(!fs::exists(left).unwrap(), "{left}");
    }
}
