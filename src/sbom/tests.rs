use serde_json::{Value as Json, json};

use jiff::Timestamp;

use super::*;
use crate::event::told;

const SAID: &str = include_str!("../../tests/fixtures/sbom/listing.txt");

/// What machines say, with NULs: a file of the fixtures has `§` for each.
fn said(text: &str) -> Inventory {
    listing::of_posix(text.replace('§', "\0").as_bytes()).unwrap()
}

fn about() -> Subject<'static> {
    let at = Timestamp::UNIX_EPOCH;
    Subject { name: "docker.web", id: "us-east-1:ami-1", builder: "amazon-ebs", at }
}

fn purls(inventory: &Inventory) -> Vec<String> {
    let system = inventory.system.as_ref();
    inventory.packages.iter().map(|package| purl::purl(package, system)).collect()
}

/// The schema, with those that it refers to.
fn validator(schema: &str) -> jsonschema::Validator {
    let parsed = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    let resource = |text| jsonschema::Resource::from_contents(parsed(text));
    let licences = include_str!("../../tests/fixtures/sbom/spdx.SNAPSHOT.schema.json");
    let signatures = include_str!("../../tests/fixtures/sbom/jsf-0.82.SNAPSHOT.schema.json");
    let base = "http://cyclonedx.org/schema/";
    let registry = jsonschema::Registry::new()
        .add(format!("{base}spdx.SNAPSHOT.schema.json"), resource(licences))
        .unwrap()
        .add(format!("{base}jsf-0.82.SNAPSHOT.schema.json"), resource(signatures))
        .unwrap()
        .prepare()
        .unwrap();
    jsonschema::options().with_registry(&registry).build(&parsed(schema)).unwrap()
}

#[track_caller]
fn assert_valid(schema: &str, document: &Json) {
    let validator = validator(schema);
    let wrong: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const CYCLONEDX: &str = include_str!("../../tests/fixtures/sbom/bom-1.6.schema.json");
const SPDX: &str = include_str!("../../tests/fixtures/sbom/spdx-2.3.schema.json");

#[test]
fn each_list_of_packages_is_read() {
    let inventory = said(SAID);
    let system = inventory.system.as_ref().unwrap();
    assert_eq!((system.id.as_str(), system.version.as_str()), ("debian", "12"));
    let packages = inventory.packages.iter().map(|one| {
        let licences = one.licences.join(" & ");
        let source = one.source.as_deref().unwrap_or("-");
        let arch = one.arch.as_deref().unwrap_or("-");
        format!("{:?} {} {} {arch} {source} {licences}", one.ecosystem, one.name, one.version)
    });
    insta::assert_snapshot!(packages.collect::<Vec<_>>().join("\n"));
}

#[test]
fn packages_are_called_as_everybody_calls_them() {
    insta::assert_snapshot!(purls(&said(SAID)).join("\n"));
    let rhel = said(
        "§system\nID=\"rhel\"\nVERSION_ID=\"9.4\"\n§rpm\nbash\t5.1.8-9.el9\tx86_64\tbash-5.1.8-9.el9.src.rpm\tGPLv3+\n§end\n",
    );
    assert_eq!(purls(&rhel), ["pkg:rpm/redhat/bash@5.1.8-9.el9?arch=x86_64&distro=rhel-9.4"]);
}

#[test]
fn documents_are_what_their_schemas_want() {
    let inventory = said(SAID);
    assert_valid(CYCLONEDX, &cyclonedx::document(&inventory, &about()));
    assert_valid(SPDX, &spdx::document(&inventory, &about()));
    let nothing = Inventory::default();
    assert_valid(CYCLONEDX, &cyclonedx::document(&nothing, &about()));
    assert_valid(SPDX, &spdx::document(&nothing, &about()));
    // The schemas say no, too.
    let mut wrong = cyclonedx::document(&inventory, &about());
    wrong["components"][1]["licenses"] = json!([{ "license": { "id": "no such" } }]);
    assert!(!validator(CYCLONEDX).is_valid(&wrong));
    let mut wrong = spdx::document(&inventory, &about());
    wrong["packages"][0].as_object_mut().unwrap().remove("name");
    assert!(!validator(SPDX).is_valid(&wrong));
}

#[test]
fn documents_say_what_the_packages_say() {
    let inventory = said(SAID);
    let document = cyclonedx::document(&inventory, &about());
    let components = document["components"].as_array().unwrap();
    let named = |name: &str| components.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(named("openssl")["licenses"], json!([{ "license": { "id": "Apache-2.0" } }]));
    assert_eq!(named("busybox")["licenses"], json!([{ "license": { "id": "GPL-2.0-only" } }]));
    assert_eq!(named("adduser")["licenses"], json!([{ "license": { "id": "GPL-2.0-or-later" } }]));
    let document = spdx::document(&inventory, &about());
    let packages = document["packages"].as_array().unwrap();
    let named = |name: &str| packages.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(named("libc6")["licenseDeclared"], "NOASSERTION");
    assert_eq!(named("libc6")["licenseComments"], "The package says: GPL-2+; public-domain");
    assert_eq!(named("adduser")["licenseDeclared"], "GPL-2.0-or-later");
}

#[test]
fn the_same_packages_give_the_same_document_and_other_ones_do_not() {
    let document = |text: &str| cyclonedx::document(&said(text), &about()).to_string();
    let (a, b) = ("a\t1-1\tx\ta-1-1.src.rpm\tMIT", "b\t1-1\tx\tb-1-1.src.rpm\tMIT");
    let listed = |lines: [&str; 2]| document(&format!("§rpm\n{}\n§end\n", lines.join("\n")));
    assert_eq!(listed([a, b]), listed([b, a]));
    assert_ne!(listed([a, b]), listed([a, a]));
}

#[test]
fn a_document_can_be_compared_with_what_a_machine_says_now() {
    let before = said(SAID);
    let text = cyclonedx::document(&before, &about()).to_string();
    let read = cyclonedx::read(text.as_bytes()).unwrap();
    assert!(difference(&read, &before).is_empty());
    let now = SAID
        .replace("3.0.11-1~deb12u2", "3.0.13-1~deb12u1")
        .replace("ii \ttelnet\t", "rc \ttelnet\t")
        .replace("§dpkg\n", "§dpkg\nii \tnginx\t1.24.0-2\tamd64\tnginx\n");
    let changes = difference(&read, &said(&now));
    let openssl = "openssl 3.0.11-1~deb12u2 → 3.0.13-1~deb12u1";
    assert_eq!(told(&changes, 9), format!("+ nginx 1.24.0-2, {openssl}, – telnet"));
    assert!(cyclonedx::read(b"{}").is_err() && cyclonedx::read(b"[").is_err());
}

#[test]
fn packages_of_files_that_are_left_out_are_not_listed() {
    let inventory = said(
        "§dpkg\nii \tbash\t1\tamd64\t\n§pip\n/opt/a/lib/python3.12/site-packages/x.dist-info/METADATA:Name: x\n\
         /opt/a/lib/python3.12/site-packages/x.dist-info/METADATA:Version: 1\n\
         /usr/local/lib/python3.12/site-packages/x.dist-info/METADATA:Name: x\n\
         /usr/local/lib/python3.12/site-packages/x.dist-info/METADATA:Version: 1\n\
         §npm /usr/lib/node_modules/y/package.json\n{\"name\":\"y\",\"version\":\"1\"}\n§end\n",
    );
    for (but, left) in [
        ("", "bash x y"),
        ("**/node_modules", "bash x"),
        ("usr/lib/node_modules/*", "bash x"),
        ("usr/*", "bash x"),
        ("*/node_modules", "bash x y"),
        ("opt/**", "bash x y"),
        ("**/site-packages/**", "bash y"),
        ("**/dpkg/status", "x y"),
        ("**", ""),
    ] {
        let found = inventory.without(&[glob::Pattern::new(but).unwrap()]);
        let names: Vec<_> = found.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names.join(" "), left, "{but}");
    }
}

#[test]
fn a_package_in_several_versions_is_one_that_changes() {
    let kernels = |versions: &[&str]| {
        let line = |version: &&str| {
            format!("kernel\t{version}\tx86_64\tkernel-{version}.src.rpm\tGPLv2\n")
        };
        said(&format!("§rpm\n{}§end\n", versions.iter().map(line).collect::<String>()))
    };
    let changes = difference(&kernels(&["5.1-1"]), &kernels(&["5.1-1", "5.2-1"]));
    assert_eq!(told(&changes, 9), "kernel 5.1-1 → 5.1-1, 5.2-1");
}

#[test]
fn what_a_machine_says_does_no_harm() {
    let long = "x".repeat(100_000);
    let hostile = format!(
        "profile says hello\n§system\nID=\x1b[31mevil\n§dpkg\nii \t\x1b]0;t\x07a\rb\t1\x07\tamd64\t\n\
         ii \t{long}\t1\tamd64\t\nii \tno fields\n\n§rpm\ngpg-pubkey\t1-1\t(none)\t(none)\tpubkey\n\
         §npm\n{{\"name\":\n§npm\n[]§pip\n/x/METADATA:Name: a\n§what\n§end\n"
    );
    let inventory = said(&hostile);
    let names: Vec<_> = inventory.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!((names, inventory.system.unwrap().id.as_str()), (vec!["b"], "evil"));
    assert!(listing::of_posix(b"\0dpkg\nii \ta\t1\tamd64\t\n").is_err(), "it has no end");
    assert!(listing::of_posix(b"").is_err());
    for wrong in ["", "{", "{}", "[]", "{\"programs\": 3}"] {
        assert!(listing::of_windows(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn the_programs_of_windows_are_read() {
    let said = "\u{feff}{\"programs\":[{\"DisplayName\":\"7-Zip 23.01 (x64)\",\"DisplayVersion\":\"23.01\",\"Publisher\":\"Igor Pavlov\"},{\"DisplayName\":\"Agent\",\"DisplayVersion\":null,\"Publisher\":null}],\"name\":\"Windows Server 2022 Datacenter\",\"version\":\"20348.2031\"}\r\n";
    let inventory = listing::of_windows(said.as_bytes()).unwrap();
    let expected = ["pkg:generic/7-Zip%2023.01%20%28x64%29@23.01", "pkg:generic/Agent"];
    assert_eq!(purls(&inventory), expected);
    assert_valid(CYCLONEDX, &cyclonedx::document(&inventory, &about()));
    let document = spdx::document(&inventory, &about());
    assert_valid(SPDX, &document);
    assert_eq!(document["packages"][2]["supplier"], "Organization: Igor Pavlov");
}

#[test]
fn two_thousand_packages_take_next_to_no_time() {
    let line = |n: u32| format!("ii \tpackage-{n}\t1.{n}-1\tamd64\tsource-{n}\n");
    let licence = |n: u32| format!("/usr/share/doc/package-{n}/copyright:License: GPL-2+\n");
    let text = format!(
        "§dpkg\n{}§dpkg-licences\n{}§end\n",
        (0..2000).map(line).collect::<String>(),
        (0..2000).map(licence).collect::<String>()
    );
    let started = std::time::Instant::now();
    let inventory = said(&text);
    let (_, _) = (cyclonedx::document(&inventory, &about()), spdx::document(&inventory, &about()));
    assert_eq!(inventory.packages.len(), 2000);
    assert!(started.elapsed().as_secs() < 3, "{:?}", started.elapsed());
}
