//! What the fixers promise beyond the cases of the oracle (`tests/fixtures/oracle`): values that do
//! not fit, several components, keys that are set already.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Document, FIXERS, fix};
use crate::diagnostic::{Diagnostics, Severity};
use crate::source::SourceMap;

fn read(text: &str) -> Result<(Document, Diagnostics), Diagnostics> {
    let mut sources = SourceMap::default();
    let file = sources.add("template.json", text);
    Document::read(file, &sources)
}

/// The text of `template` after all fixers.
fn fixed_text(template: &str) -> Result<String, String> {
    let (mut document, _) = read(template).unwrap();
    fix(&mut document).map(|()| document.to_text())
}

fn fixed(template: &Value) -> Value {
    serde_json::from_str(&fixed_text(&template.to_string()).unwrap()).unwrap()
}

/// A builder after all fixers.
fn builder(options: Value) -> Value {
    fixed(&json!({ "builders": [options] }))["builders"][0].take()
}

fn provisioner(options: Value) -> Value {
    fixed(&json!({ "provisioners": [options] }))["provisioners"][0].take()
}

fn post_processor(options: Value) -> Value {
    fixed(&json!({ "post-processors": [options] }))["post-processors"][0].take()
}

#[track_caller]
fn assert_builders(cases: &[(Value, Value)]) {
    for (before, after) in cases {
        assert_eq!(builder(before.clone()), *after, "{before}");
    }
}

#[test]
fn there_are_34_fixers_with_names_of_their_own() {
    let mut names: Vec<&str> = FIXERS.iter().map(|fixer| fixer.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 34);
}

#[test]
fn checksums_become_one_option() {
    assert_builders(&[
        (
            json!({"type": "qemu", "iso_md5": "a", "iso_checksum": "b", "iso_checksum_type": "sha1"}),
            json!({"type": "qemu", "iso_checksum": "md5:a"}),
        ),
        (
            json!({"type": "x", "iso_md5": "a", "iso_checksum_url": "u"}),
            json!({"type": "x", "iso_checksum": "file:u"}),
        ),
        (json!({"type": "x", "iso_md5": null}), json!({"type": "x", "iso_md5": null})),
        (
            json!({"type": "x", "iso_checksum_url": "u", "iso_checksum_type": "t", "iso_checksum": "c"}),
            json!({"type": "x", "iso_checksum": "file:u"}),
        ),
        (json!({"type": "x", "iso_checksum_type": "none"}), json!({"type": "x"})),
        (
            json!({"type": "x", "iso_checksum_url": 5, "iso_checksum_type": "sha1", "iso_checksum": "c"}),
            json!({"type": "x", "iso_checksum": "sha1:c"}),
        ),
        (
            json!({"type": "x", "iso_checksum_type": "md5", "iso_checksum": ["a"]}),
            json!({"type": "x", "iso_checksum": ["a"]}),
        ),
        (
            json!({"type": "x", "iso_checksum_type": "", "iso_checksum": "u"}),
            json!({"type": "x", "iso_checksum": "u"}),
        ),
    ]);
}

#[test]
fn the_time_of_the_build_is_no_field() {
    assert_builders(&[
        (
            json!({"type": "x", "ami_name": "{{ .CreateTime}}-{{.CreateTime }} {{upper .CreateTime}}{{"}),
            json!({"type": "x", "ami_name": "{{timestamp}}-{{timestamp}} {{upper .CreateTime}}{{"}),
        ),
        (
            json!({"type": "x", "vm_name": "{{.CreateTime}}", "bundle_prefix": ["{{.CreateTime}}"]}),
            json!({"type": "x", "vm_name": "{{.CreateTime}}", "bundle_prefix": ["{{.CreateTime}}"]}),
        ),
    ]);
}

#[test]
fn a_renamed_option_gives_way_to_one_that_is_set() {
    for (old, new) in
        [("ssh_key_path", "ssh_private_key_file"), ("ssh_wait_timeout", "ssh_timeout")]
    {
        assert_builders(&[
            (json!({"type": "x", old: "a"}), json!({"type": "x", new: "a"})),
            (json!({"type": "x", old: "a", new: null}), json!({"type": "x", new: null})),
            (json!({"type": "x", old: 5}), json!({"type": "x", old: 5})),
        ]);
    }
    let both = json!({"type": "x", "ssh_wait_timeout": 5, "ssh_timeout": "x"});
    assert_eq!(builder(both), json!({"type": "x", "ssh_timeout": "x"}));
    let both = json!({"type": "ansible-local", "galaxycommand": 5, "galaxy_command": "x"});
    assert_eq!(provisioner(both), json!({"type": "ansible-local", "galaxy_command": "x"}));
}

#[test]
fn a_renamed_option_of_one_type_wins() {
    assert_builders(&[
        (
            json!({"type": "amazon-ebs", "shutdown_behaviour": null, "shutdown_behavior": "b"}),
            json!({"type": "amazon-ebs", "shutdown_behavior": null}),
        ),
        (
            json!({"type": "qemu", "ssh_host_port_min": "1", "host_port_min": 2}),
            json!({"type": "qemu", "host_port_min": "1"}),
        ),
        (
            json!({"type": "hyperv-iso", "cpu": 2, "ram_size": "3", "cpus": 1}),
            json!({"type": "hyperv-iso", "cpus": 2, "memory": "3"}),
        ),
        (
            json!({"type": "amazon", "shutdown_behaviour": "a"}),
            json!({"type": "amazon", "shutdown_behaviour": "a"}),
        ),
    ]);
}

#[test]
fn private_addresses_are_told_as_go_reads_booleans() {
    for (text, interface) in
        [(json!(true), "private_ip"), (json!("T"), "private_ip"), (json!("0"), "public_ip")]
    {
        let after = builder(json!({"type": "amazon-ebs", "ssh_private_ip": text}));
        assert_eq!(after, json!({"type": "amazon-ebs", "ssh_interface": interface}));
    }
    for unknown in [json!("yes"), json!("{{user `x`}}"), json!(1), json!(null)] {
        let template = json!({"builders": [{"type": "amazon-ebs", "ssh_private_ip": unknown}]});
        let why = fixed_text(&template.to_string()).unwrap_err();
        assert!(why.starts_with("amazon-private-ip: `ssh_private_ip`"), "{why}");
    }
}

#[test]
fn adapters_and_disks_come_first_in_their_lists() {
    assert_builders(&[
        (
            json!({"type": "vsphere-iso", "network": "n", "networkCard": "c", "network_adapters": [{"x": 1}]}),
            json!({"type": "vsphere-iso", "network_adapters": [{"network": "n", "network_card": "c"}, {"x": 1}]}),
        ),
        (
            json!({"type": "vsphere-iso", "networkCard": "c", "network_card": null}),
            json!({"type": "vsphere-iso", "network_adapters": [{"network_card": null}]}),
        ),
        (
            json!({"type": "vsphere-iso", "disk_size": true, "storage": []}),
            json!({"type": "vsphere-iso", "storage": [{"disk_size": true}]}),
        ),
    ]);
    let template =
        json!({"builders": [{"type": "vsphere-iso", "network": "n", "network_adapters": 1}]});
    assert!(fixed_text(&template.to_string()).is_err());
}

#[test]
fn disks_of_esxi_are_not_compacted_unless_they_are_thin() {
    let esxi = |more: Value| {
        let mut options = json!({"type": "vmware-iso", "remote_type": "esx5"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    assert_builders(&[
        (esxi(json!({})), esxi(json!({"disk_type_id": "zeroedthick", "skip_compaction": true}))),
        (esxi(json!({"disk_type_id": "thin"})), esxi(json!({"disk_type_id": "thin"}))),
        (esxi(json!({"disk_type_id": 5})), esxi(json!({"disk_type_id": 5}))),
        (
            esxi(json!({"disk_type_id": "x", "skip_compaction": "no"})),
            esxi(json!({"disk_type_id": "x", "skip_compaction": "no"})),
        ),
        (
            esxi(json!({"disk_type_id": "x", "skip_compaction": false})),
            esxi(json!({"disk_type_id": "x", "skip_compaction": true})),
        ),
    ]);
}

#[test]
fn sizes_of_disks_are_whole_megabytes() {
    for (number, text) in
        [(json!(99.99), "99M"), (json!(-0.5), "0M"), (json!(1e10), "10000000000M")]
    {
        let after = builder(json!({"type": "qemu", "disk_size": number}));
        assert_eq!(after, json!({"type": "qemu", "disk_size": text}));
    }
}

#[test]
fn overrides_follow_the_renamed_builder_wherever_they_are() {
    let before = json!({"override": {"virtualbox": null, "virtualbox-iso": {"a": 1}}});
    assert_eq!(provisioner(before), json!({"override": {"virtualbox-iso": null}}));
    let kept = json!({"type": "shell", "override": "x", "only": ["virtualbox"]});
    assert_eq!(provisioner(kept.clone()), kept);
}

#[test]
fn post_processors_are_fixed_in_chains_too() {
    let before = json!(["x", null, {"type": "manifest", "filename": "f", "output": "o"}]);
    assert_eq!(post_processor(before), json!(["x", null, {"type": "manifest", "output": "f"}]));
    let deeper = json!(["x", [{"type": "manifest", "filename": "f"}]]);
    assert_eq!(post_processor(deeper.clone()), deeper);
}

#[test]
fn tags_stand_once_and_in_order() {
    for (tag, tags, all) in [
        (json!("a, b,,a"), json!(null), json!(["a", "b", ""])),
        (json!("a"), json!("b,c"), json!(["a", "b", "c"])),
        (json!(["b", "a"]), json!(["a", "c,d"]), json!(["b", "a", "c,d"])),
        (json!(5), json!({}), json!([])),
    ] {
        let after = post_processor(json!({"type": "docker-tag", "tag": tag, "tags": tags}));
        assert_eq!(after, json!({"type": "docker-tag", "tags": all}));
    }
    let kept = json!({"type": "docker-tag", "tag": "a", "tags": [5]});
    assert_eq!(post_processor(kept.clone()), kept);
}

#[test]
fn powershell_is_given_what_it_was_meant() {
    let before = json!({
        "type": "powershell",
        "elevated_user": "`$a``$b```c`d`'`",
        "elevated_password": 5,
        "environment_vars": ["A=`\"x`\""],
    });
    let after = json!({
        "type": "powershell",
        "elevated_user": "$a`$b``c`d'`",
        "elevated_password": 5,
        "environment_vars": ["A=\"x\""],
    });
    assert_eq!(provisioner(before), after);
    let mixed = json!({"type": "powershell", "environment_vars": ["`$a", 5]});
    assert_eq!(provisioner(mixed.clone()), mixed);
}

#[test]
fn an_address_is_removed_only_beside_post_processors() {
    let builder = json!({"type": "docker", "login_email": null});
    let alone = fixed(&json!({"builders": [builder]}));
    assert_eq!(alone["builders"][0], builder);
    let beside = fixed(&json!({"builders": [builder], "post-processors": []}));
    assert_eq!(beside["builders"][0], json!({"type": "docker"}));
}

#[test]
fn one_provisioner_becomes_a_list_and_none_does_not() {
    let fixed = |provisioners: Value| fixed(&json!({"builders": [], "provisioners": provisioners}));
    let shell = json!({"type": "shell"});
    assert_eq!(fixed(shell.clone())["provisioners"], json!([shell]));
    assert_eq!(fixed(json!({}))["provisioners"], json!({}));
}

#[test]
fn root_keys_are_found_whatever_their_case() {
    let text = fixed_text(r#"{"Builders": [{"type": "vmware"}]}"#).unwrap();
    assert_eq!(
        text,
        "{\n  \"Builders\": [\n    {\n      \"type\": \"vmware-iso\"\n    }\n  ]\n}\n"
    );
}

#[test]
fn a_single_provisioner_becomes_a_list() {
    let template = json!({"provisioners": {"type": "ansible-local", "galaxycommand": "x"}});
    let list = json!([{"type": "ansible-local", "galaxy_command": "x"}]);
    assert_eq!(fixed(&template)["provisioners"], list);
}

#[test]
fn what_is_no_template_is_refused_with_its_place() {
    for text in [
        "[]",
        r#"{"builders": {}}"#,
        r#"{"builders": [null]}"#,
        r#"{"post-processors": "manifest"}"#,
        r#"{"x": 1e999}"#,
        "{oops",
    ] {
        let errors = read(text).unwrap_err();
        assert!(errors.0.iter().all(|error| error.span.is_some()), "{text}");
    }
}

#[test]
fn of_a_key_that_stands_twice_the_later_one_counts_and_is_said() {
    let (document, warnings) = read(r#"{"a": 1, "a": 2, "builders": []}"#).unwrap();
    assert_eq!(document.to_text(), "{\n  \"a\": 2,\n  \"builders\": []\n}\n");
    assert!(matches!(warnings.0.as_slice(), [one] if one.severity == Severity::Warning));
}

/// Types that some fixer looks at.
const KINDS: &str = "amazon-ebs qemu virtualbox vmware-iso vsphere-iso hyperv-iso docker azure-chroot proxmox \
    scaleway parallels-iso powershell ansible-local vagrant manifest docker-tag null";
/// Keys that some fixer looks at.
const KEYS: &str = "iso_md5 iso_checksum iso_checksum_type iso_checksum_url ami_name headless ssh_key_path \
    ssh_private_key_file ssh_disable_agent access_key filename shutdown_behaviour \
    enhanced_networking login_email tag tags elevated_user environment_vars remote_type \
    disk_type_id cpu disk_size storage network network_card ssh_host_port_min override \
    virtualbox aws galaxycommand shared_image_destination guest_additions_attach";

/// One of the words of `list`.
fn word(list: &'static str) -> impl Strategy<Value = &'static str> {
    prop::sample::select(list.split_whitespace().collect::<Vec<_>>())
}

/// A component with values of every kind.
fn component() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z{}. $,<&\u{1}é]{0,6}|esx5|thin|\\{\\{ \\.CreateTime \\}\\}|clean_ami_name"
            .prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-c]|exlude_from_latest|virtualbox", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    (word(KINDS), prop::collection::hash_map(word(KEYS), value, 0..6)).prop_map(
        |(kind, options)| {
            let mut all: Map<String, Value> =
                options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            all.insert("type".to_owned(), kind.into());
            Value::Object(all)
        },
    )
}

fn template() -> impl Strategy<Value = Value> {
    let components = || prop::collection::vec(component(), 0..3);
    (components(), components(), components()).prop_map(|(builders, provisioners, chain)| {
        json!({"builders": builders, "provisioners": provisioners, "post-processors": [chain]})
    })
}

proptest! {
    #[test]
    // Except for the escapes of PowerShell: one may hide another.
    fn fixing_twice_is_fixing_once(template in template()) {
        if let Ok(once) = fixed_text(&template.to_string()) {
            prop_assert_eq!(fixed_text(&once).unwrap(), once);
        }
    }
}
