use std::process::Command;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::EcdsaSigningAlgorithm;

use super::*;
use crate::env::Environment;
use crate::interpolate::Scope;
use crate::post_processor::fake::{self, Made};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair,
};

/// A directory with an artifact of one file.
fn artifact() -> (tempfile::TempDir, Made) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("disk.img");
    fs::write(&file, "abc").unwrap();
    (dir, Made { files: vec![file], ..Made::default() })
}

/// The facts of a build in `dir` with these variables in its environment.
fn facts(dir: &Path, variables: &[(&str, &str)]) -> crate::component::Facts {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment =
        Environment::new(variables.collect(), dir.to_owned(), jiff::Timestamp::UNIX_EPOCH);
    let environment = Arc::new(environment);
    let facts = fake::facts();
    crate::component::Facts { scope: Scope { environment, ..facts.scope.clone() }, ..facts }
}

fn read(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_statement_is_written_as_the_reference_has_it() {
    let (dir, made) = artifact();
    let mut facts = facts(
        dir.path(),
        &[
            ("GITHUB_REPOSITORY", "me/images"),
            ("GITHUB_SHA", "0123abcd"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_WORKFLOW_REF", "me/images/.github/workflows/bake.yml@refs/heads/main"),
            ("GITHUB_RUN_ID", "17"),
            ("PKR_VAR_region", "eu-west-1"),
            ("PKR_VAR_password", "x"),
        ],
    );
    facts.sensitive_variables = Arc::from(["password".to_owned()]);
    let options = json!({
        "template": "t.pkr.hcl", "only_builds": ["qemu.x"], "user_variables": {"region": "eu-west-2"}
    });
    let (processed, said) = fake::run_for::<Provenance>(facts, options, made).await;
    let processed = processed.unwrap();
    assert!(processed.keep_input && processed.keep_forced);
    let path = dir.path().join("web.disk.img.provenance.json");
    assert_eq!(said, [format!("Wrote attestation to {}", path.display())]);
    let version = json!({"imgbake": env!("CARGO_PKG_VERSION"), "packer": PACKER_VERSION});
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let wanted = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "disk.img", "digest": {"sha256": sum}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://packer.io/buildtypes/hcl2/v1",
                "externalParameters": {
                    "template": "t.pkr.hcl",
                    "onlyBuilds": ["qemu.x"],
                    "userVariables": {
                        "password": "[sensitive value redacted]", "region": "eu-west-2"
                    }
                },
                "internalParameters": {
                    "packerBuildName": "web",
                    "packerBuilderType": "amazon-ebs",
                    "packerVersion": PACKER_VERSION
                },
                "resolvedDependencies": [{
                    "uri": "git+https://github.com/me/images@refs/heads/main",
                    "digest": {"gitCommit": "0123abcd"}
                }]
            },
            "runDetails": {
                "builder": {
                    "id": "me/images/.github/workflows/bake.yml@refs/heads/main", "version": version
                },
                "metadata": {"invocationId": "17"}
            }
        }
    });
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, serde_json::to_string_pretty(&wanted).unwrap());
}

#[tokio::test]
async fn an_artifact_without_files_is_a_subject_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let state = json!({"b": 1, "a": {"d": 2, "c": 3}});
    let made = Made {
        builder_id: "mitchellh.amazonebs",
        id: "us-east-1:ami-1",
        state: [("par.artifact.metadata".to_owned(), state)].into_iter().collect(),
        ..Made::default()
    };
    let options = json!({"output_dir": dir.path().join("out")});
    let (processed, said) =
        fake::run_for::<Provenance>(facts(dir.path(), &[]), options, made).await;
    processed.unwrap();
    assert!(said[0].starts_with("No Git repository is found here"), "{said:?}");
    let name = "out/web.mitchellh.amazonebs-us-east-1_ami-1.provenance.json";
    let statement = read(&dir.path().join(name));
    let record = r#"{"builderId":"mitchellh.amazonebs","id":"us-east-1:ami-1","state":{"a":{"c":3,"d":2},"b":1}}"#;
    use base64::Engine as _;
    use sha2::Digest as _;
    let content = base64::engine::general_purpose::STANDARD.encode(record);
    let sum = hex::encode(sha2::Sha256::digest(record));
    assert_eq!(
        statement["subject"],
        json!([{"name": "mitchellh.amazonebs:us-east-1:ami-1", "digest": {"sha256": sum}}])
    );
    let details = &statement["predicate"]["runDetails"];
    assert_eq!(
        details["byproducts"],
        json!([{"name": "cloud-artifact-identity", "content": content}])
    );
    assert_eq!(details["builder"]["id"], "https://packer.io/local-build");
    assert!(statement["predicate"]["buildDefinition"].get("resolvedDependencies").is_none());
}

#[tokio::test]
async fn a_git_repository_is_the_source_without_its_credentials() {
    let (dir, made) = artifact();
    let git = |arguments: &[&str]| {
        let status = Command::new("git").args(arguments).current_dir(dir.path()).output().unwrap();
        assert!(status.status.success(), "{status:?}");
        String::from_utf8(status.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet", "--initial-branch", "trunk"]);
    git(&["remote", "add", "origin", "https://me:secret@example.com/a.git"]);
    git(&[
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "a",
    ]);
    let commit = git(&["rev-parse", "HEAD"]);
    let path = std::env::var("PATH").unwrap();
    let facts = facts(dir.path(), &[("PATH", &path)]);
    let (processed, _) = fake::run_for::<Provenance>(facts.clone(), json!({}), made.clone()).await;
    processed.unwrap();
    let source = |dir: &Path| {
        let statement = read(&dir.join("web.disk.img.provenance.json"));
        statement["predicate"]["buildDefinition"]["resolvedDependencies"][0].clone()
    };
    let digest = json!({"gitCommit": commit});
    let uri = "git+https://example.com/a.git@refs/heads/trunk";
    assert_eq!(source(dir.path()), json!({"uri": uri, "digest": digest}));
    let options = json!({"source_uri": "git+https://example.com/b"});
    fake::run_for::<Provenance>(facts, options, made).await.0.unwrap();
    let given = json!({"uri": "git+https://example.com/b", "digest": digest});
    assert_eq!(source(dir.path()), given);
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> String {
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    pem("PRIVATE KEY", key.as_ref())
}

/// A key of this curve, as OpenSSL writes it in SEC 1.
fn sec1(curve: &str) -> String {
    let made =
        Command::new("openssl").args(["ecparam", "-genkey", "-noout", "-name", curve]).output();
    String::from_utf8(made.unwrap().stdout).unwrap()
}

/// Whether OpenSSL accepts the signature in `envelope` with the key in `private`.
fn openssl_accepts(dir: &Path, envelope: &Json, private: &Path) -> bool {
    use base64::Engine as _;
    let decode = |text: &Json| {
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
    };
    let kind = envelope["payloadType"].as_str().unwrap();
    let payload = decode(&envelope["payload"]);
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    fs::write(dir.join("message"), [head.as_bytes(), &payload].concat()).unwrap();
    fs::write(dir.join("signature"), decode(&envelope["signatures"][0]["sig"])).unwrap();
    let openssl = |arguments: &[&str]| {
        Command::new("openssl").args(arguments).current_dir(dir).output().unwrap()
    };
    let public = openssl(&["pkey", "-in", private.to_str().unwrap(), "-pubout", "-out", "public"]);
    assert!(public.status.success(), "{public:?}");
    use sha2::Digest as _;
    let id = hex::encode(sha2::Sha256::digest(fs::read(dir.join("public")).unwrap()));
    assert_eq!(envelope["signatures"][0]["keyid"], id);
    let is_ed25519 = fs::read(dir.join("public")).unwrap().len() < 120;
    let files = ["-verify", "public", "-signature", "signature", "message"];
    let verified = match is_ed25519 {
        true => openssl(&[
            "pkeyutl",
            "-verify",
            "-rawin",
            "-pubin",
            "-inkey",
            "public",
            "-sigfile",
            "signature",
            "-in",
            "message",
        ]),
        false => openssl(&[&["dgst", "-sha256"], &files[..]].concat()),
    };
    verified.status.success()
}

#[tokio::test]
async fn openssl_accepts_what_keys_of_every_kind_sign() {
    let (dir, made) = artifact();
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/oracle/fixtures/keys");
    let rsa = |name: &str| fs::read_to_string(format!("{keys}/{name}.pem")).unwrap();
    let ed25519 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
    for key in [
        pem("PRIVATE KEY", ed25519.as_ref()),
        ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        sec1("secp384r1"),
        ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING),
        rsa("test-only"),
        rsa("test-only-pkcs8"),
    ] {
        let private = dir.path().join("key.pem");
        fs::write(&private, key).unwrap();
        let options = json!({"signing_mode": "key", "signer": private});
        let run = fake::run_for::<Provenance>(facts(dir.path(), &[]), options, made.clone());
        run.await.0.unwrap();
        let envelope = read(&dir.path().join("web.disk.img.provenance.json"));
        assert!(openssl_accepts(dir.path(), &envelope, &private), "{envelope}");
    }
}

#[tokio::test]
async fn nothing_is_written_that_the_verifier_does_not_accept() {
    let (dir, made) = artifact();
    let (key, other) = (dir.path().join("key.pem"), dir.path().join("other.pem"));
    fs::write(&key, ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)).unwrap();
    fs::write(&other, ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)).unwrap();
    let openssl = |private: &Path, public: &Path| {
        let mut command = Command::new("openssl");
        command.args(["pkey", "-pubout", "-in"]).arg(private).arg("-out").arg(public);
        assert!(command.status().unwrap().success());
    };
    let (own, foreign) = (dir.path().join("own.pub"), dir.path().join("foreign.pub"));
    openssl(&key, &own);
    openssl(&other, &foreign);
    let output = dir.path().join("web.disk.img.provenance.json");
    for (signer, verifier, why) in [
        (&key, &foreign, "`verifier` does not accept the signature"),
        (&key, &key, "no public key in PEM is in it"),
        (&own, &own, "no private key in PEM is in it"),
        (&key, &own, ""),
    ] {
        let options = json!({"signing_mode": "key", "key": signer, "verifier": verifier});
        let run = fake::run_for::<Provenance>(facts(dir.path(), &[]), options, made.clone()).await;
        let said = run.0.map(drop).map_or_else(|error| format!("{error:#}"), |()| String::new());
        assert!(said.contains(why) && said.is_empty() == why.is_empty(), "{said}");
        assert_eq!(output.exists(), why.is_empty());
    }
    let unknown =
        Command::new("openssl").args(["genpkey", "-algorithm", "X25519"]).output().unwrap();
    fs::write(&key, unknown.stdout).unwrap();
    let options = json!({"signing_mode": "key", "signer": key});
    let run = fake::run_for::<Provenance>(facts(dir.path(), &[]), options, made).await;
    let said = format!("{:#}", run.0.map(drop).unwrap_err());
    assert!(said.contains("it is none of Ed25519, ECDSA (P-256, P-384, P-521)"), "{said}");
}

#[tokio::test]
async fn an_sbom_is_attested_in_its_own_format() {
    let (dir, made) = artifact();
    let sbom = dir.path().join("sbom.json");
    let run = |text: &'static str, format: &'static str| {
        fs::write(&sbom, text).unwrap();
        let options = json!({"sbom": true, "sbom_format": format, "sbom_scan_path": sbom});
        fake::run_for::<Provenance>(facts(dir.path(), &[]), options, made.clone())
    };
    let cyclonedx = r#"{"bomFormat":"CycloneDX",  "specVersion":"1.6"}"#;
    run(cyclonedx, "cyclonedx").await.0.unwrap();
    let copy = fs::read_to_string(dir.path().join("web.disk.img.sbom.cdx.json")).unwrap();
    assert_eq!(copy, cyclonedx);
    let attested = read(&dir.path().join("web.disk.img.sbom.att.json"));
    assert_eq!(attested["predicateType"], "https://cyclonedx.org/bom");
    assert_eq!(attested["predicate"], json!({"bomFormat": "CycloneDX", "specVersion": "1.6"}));
    run(r#"{"spdxVersion": "SPDX-2.3"}"#, "spdx").await.0.unwrap();
    assert!(dir.path().join("web.disk.img.sbom.spdx.json").exists());
    let wrong = run(cyclonedx, "spdx").await.0.map(drop).unwrap_err();
    assert!(wrong.to_string().contains("is in the format `cyclonedx`"), "{wrong:#}");
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn what_is_not_built_or_missing_is_said_before_anything_runs() {
    let refused = |options: Json| fake::prepare::<Provenance>(options).unwrap_err().join("\n");
    for (options, why) in [
        (
            json!({"signing_mode": "kms", "signer": "gcpkms://a"}),
            "keys of `gcpkms` are not built yet",
        ),
        (json!({"signing_mode": "kms", "signer": "awskms://a"}), "names no key"),
        (json!({"signing_mode": "kms", "signer": "x://a/b"}), "are named `awskms:///…`"),
        (json!({"signing_mode": "keyless"}), "keyless signing is not built yet"),
        (json!({"keyless_identity": "x"}), "`keyless_identity` of `provenance` is not built yet"),
        (
            json!({"sbom": true, "sbom_exclude": ["x"]}),
            "`x` begins with none of `./`, `*/` and `**/`",
        ),
        (json!({"sbom": true, "sbom_exclude": ["./[x"]}), "`./[x`: Pattern syntax error"),
        (json!({"sbom": true, "sbom_scope": "all-layers"}), "what was in earlier layers only"),
        (json!({"signing_mode": "key"}), "needs `signer`"),
        (json!({"signing_mode": "key", "signer": "a", "key": "b"}), "given with another value"),
    ] {
        let said = refused(options.clone());
        assert!(said.contains(why), "{options}: {said}");
    }
}

#[tokio::test]
async fn nothing_is_said_of_an_artifact_where_provenance_is_off() {
    let (dir, made) = artifact();
    let (processed, said) = fake::run::<Provenance>(json!({"provenance": false}), made).await;
    assert!(processed.unwrap().keep_forced && said.is_empty());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
