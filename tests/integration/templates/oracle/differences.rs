//! The cases in which imgbake differs, by reason. A case that matches must be taken out.

/// Reason and cases.
pub const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "`qemu` starts from a disk image: installer ISOs and floppies are not built",
        &["108-temporary-key-bits-unchecked"],
    ),
    ("`hcl2_upgrade` writes no block that would be refused", &["766-ansible-and-vagrant"]),
    ("an empty text is an option not given, a duration among them", &["172-empty-string"]),
    ("a plugin that no build needs may be missing", &["374-required-plugin-not-there"]),
    (
        "imgbake has the function in both languages, as Packer's own advice assumes",
        &["226-clean-resource-name-in-ami-name"],
    ),
    (
        "what cannot work is refused before the build, not during it",
        &["080-vagrant-compression-level", "114-agent-without-socket"],
    ),
    (
        "a local that has no value hides no other from `inspect`",
        &["630-failing-local-is-not-an-error"],
    ),
    (
        "an unclosed string is said where it opens, not where its line ends",
        &["428-newline-in-string"],
    ),
    (
        "a value from the environment is no file: the place is that of the variable",
        &["460-env-list-not-hcl"],
    ),
    (
        "an unknown type is said where the type is written, not where the source is used",
        &["518-source-type-near-miss"],
    ),
];
