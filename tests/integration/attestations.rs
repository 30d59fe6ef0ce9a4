//! `provenance` signs, and `verify-attestation` says whether that holds.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::support::{Program, Run};

/// Attests `disk.img`, as the options of `provenance` say.
fn attest(program: &Program, mut options: Json) -> Run {
    program.write("disk.img", "abc");
    options["type"] = "provenance".into();
    let template = json!({
        "builders": [{"type": "null", "communicator": "none"}],
        "post-processors": [[{"type": "artifice", "files": ["disk.img"]}, options]]
    });
    program.write("template.json", template.to_string());
    program.run(["build", "-color=false", "template.json"])
}

const ATTESTATION: &str = "null.disk.img.provenance.json";

/// What `verify-attestation` says.
fn verify(program: &Program, flags: &[&str]) -> String {
    let run = program.run([&["verify-attestation"][..], flags, &[ATTESTATION]].concat());
    match run.code {
        Some(0) => assert_eq!(run.stdout, "Attestation verified.\n"),
        code => assert_eq!(code, Some(1), "{}{}", run.stdout, run.stderr),
    }
    run.stdout + &run.stderr
}

const VERIFIED: &str = "Attestation verified.\n";

fn parsed(program: &Program, file: &str) -> Json {
    serde_json::from_str(&program.read(file)).unwrap()
}

fn openssl(program: &Program, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(program.dir()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_a_key_has_signed_is_verified_with_all_that_has_its_public_half() {
    let program = Program::new().with([
        ("GITHUB_REPOSITORY", "me/images"),
        ("GITHUB_SHA", "0123abcd"),
        ("GITHUB_WORKFLOW_REF", "me/images/bake.yml"),
    ]);
    for key in ["ed25519", "rsa", "P-384", "P-521", "P-256"] {
        let curve = format!("ec_paramgen_curve:{key}");
        match key {
            "ed25519" => openssl(&program, &["genpkey", "-algorithm", key, "-out", "key.pem"]),
            "rsa" => openssl(&program, &["genrsa", "-out", "key.pem", "2048"]),
            _ => openssl(
                &program,
                &["genpkey", "-algorithm", "EC", "-pkeyopt", &curve, "-out", "key.pem"],
            ),
        }
        openssl(&program, &["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
        let request =
            ["req", "-x509", "-key", "key.pem", "-subj", "/CN=a", "-out", "certificate.pem"];
        openssl(&program, &request);
        attest(&program, json!({"signing_mode": "key", "signer": "key.pem"})).succeeded();
        for flags in [
            &["-key", "public.pem"][..],
            &["-key", "certificate.pem"],
            &["-key", "key.pem", "-signing-mode=key"],
            &["-verifier", "public.pem"],
            &["-verifier", "certificate.pem", "-key", "no-such-file"],
        ] {
            assert_eq!(verify(&program, flags), VERIFIED, "{key}: {flags:?}");
        }
    }
    let flags = [
        ("-predicate-type", "https://slsa.dev/provenance/v1", "is of the type"),
        ("-builder-id", "me/images/bake.yml", "its builder is `me/images/bake.yml`, where `x`"),
        ("-source-uri", "git+https://github.com/me/images", "its sources are `git+https://"),
        ("-artifact", "disk.img", "-artifact x: No such file"),
    ];
    for (flag, value, wrong) in flags {
        let with = |value| verify(&program, &["-key", "public.pem", flag, value]);
        assert_eq!(with(value), VERIFIED, "{flag}");
        let said = with("x");
        assert!(said.contains(wrong), "{flag}: {said}");
    }
    program.write("disk.img", "abd");
    let said = verify(&program, &["-key", "public.pem", "-artifact", "disk.img"]);
    assert!(said.contains("by its SHA-256, `disk.img` is `ba7816bf8f01cfea"), "{said}");
}

#[test]
fn what_does_not_hold_is_told_with_its_file_and_its_cause() {
    let program = Program::new();
    for key in ["key.pem", "other.pem"] {
        let args = ["genpkey", "-algorithm", "ed25519", "-out", key];
        openssl(&program, &args);
    }
    attest(&program, json!({"signing_mode": "key", "signer": "key.pem"})).succeeded();
    for (flags, why) in [
        (&["-key", "other.pem"][..], "the key in other.pem ("),
        (&["-key", "other.pem"], "has not signed it: its signatures are of `"),
        (&["-verifier", "key.pem"], "the key in key.pem: no public key in PEM is in it"),
        (&["-key", "missing.pem"], "the key in missing.pem: No such file"),
        (&["-key", "disk.img"], "neither a public key nor a certificate in PEM is in it"),
        (&["-key", "gcpkms://a/b"], "-key gcpkms://a/b: keys of `gcpkms` are not built yet"),
        (&["-key", "key.pem", "-signing-mode=kms"], "it begins with `awskms://`"),
        (&["-key", "awskms:///a", "-signing-mode=key"], "with -signing-mode=key it is a file"),
        (&["-signing-mode=key"], "say with -key or -verifier whose signature counts"),
        (&[], "say with -key or -verifier whose signature counts"),
    ] {
        let said = verify(&program, flags);
        assert!(said.contains(why), "{flags:?}: {said}");
    }
    // Nobody can change what was signed.
    let mut envelope = parsed(&program, ATTESTATION);
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap().replace("disk.img", "disc.img");
    envelope["payload"] = STANDARD.encode(payload).into();
    program.write(ATTESTATION, envelope.to_string());
    let said = verify(&program, &["-key", "key.pem"]);
    assert!(said.contains("the key in key.pem (") && said.contains("has not signed it"), "{said}");
    attest(&program, json!({})).succeeded();
    let said = verify(&program, &["-key", "key.pem"]);
    assert!(said.contains("nobody has signed it: it is a statement without an envelope"), "{said}");
}
