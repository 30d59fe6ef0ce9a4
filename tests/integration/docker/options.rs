//! What `validate` finds wrong with the options, and where.

use crate::support::Program;

/// What `validate` says of a source with these options.
fn validate(options: &str) -> String {
    let program = Program::new();
    let text = format!(
        "source \"docker\" \"c\" {{\n{options}\n}}\nbuild {{\n  sources = [\"docker.c\"]\n}}\n"
    );
    program.write("t.pkr.hcl", text);
    let run = program.run(["validate", "t.pkr.hcl"]);
    run.stdout + &run.stderr
}

#[test]
fn a_container_is_kept_in_one_way_and_made_of_one_image() {
    for (options, expected) in [
        ("image = \"a\"", "`docker` needs `commit`"),
        ("commit = true", "`docker` needs `image`"),
        ("image = \"a\"\ncommit = true\ndiscard = true", "`commit` excludes it"),
        ("image = \"a\"\ncommit = true\nexport_path = \"x\"", "`commit` excludes it"),
        ("image = \"a\"\nexport_path = \"/tmp\"", "/tmp is a directory"),
        ("image = \"a b\"\ncommit = true", "is no name of an image"),
        (
            "image = \"a\"\ncommit = true\nbuild {\n  path = \"Dockerfile\"\n}",
            "`build` excludes it",
        ),
        ("commit = true\nbuild {}", "`docker` needs `build.path`"),
        ("commit = true\nbuild {\n  path = \"gone\"\n}", "cannot read gone"),
        ("image = \"a\"\ncommit = true\nwindows_container = true", "Windows are not built"),
        ("image = \"a\"\ncommit = true\ndocker_path = \"nerdctl\"", "runs no `nerdctl`"),
        ("image = \"a\"\ncommit = true\ncontainer_dir = \"x\"", "this is no absolute path"),
        (
            "image = \"a\"\ncommit = true\nrun_command = [\"-d\", \"--bogus\", \"{{.Image}}\"]",
            "`--bogus` is no flag of `docker run`",
        ),
        ("image = \"a\"\ncommit = true\nrun_command = [\"-d\", \"{{.Imgae}}\"]", "Imgae"),
        ("image = \"a\"\ncommit = true\necr_login = true", "`docker` needs `login_server`"),
        (
            "image = \"a\"\ncommit = true\necr_login = true\nlogin_server = \"ecr.example.com\"",
            "this is no registry of Amazon's",
        ),
        (
            "image = \"a\"\ncommit = true\nlogin = true\nlogin_username = \"me\"",
            "`docker` needs `login_password`",
        ),
        (
            "image = \"a\"\ncommit = true\ncommunicator = \"dockerWindowsContainer\"",
            "containers of Windows are not built",
        ),
        (
            "image = \"a\"\ndiscard = true\nauthor = \"me\"",
            "changes nothing without `commit = true`",
        ),
        (
            "image = \"a\"\ncommit = true\nlogin_username = \"me\"",
            "changes nothing without `login = true`",
        ),
    ] {
        let said = validate(options);
        assert!(said.contains(expected), "{options}: {said}");
    }
}

#[test]
fn what_is_right_is_valid() {
    for options in [
        "image = \"registry.example.com:5000/a/b:1\"\ncommit = true",
        "image = \"a\"\nexport_path = \"image.tar\"\ndocker_path = \"/usr/bin/docker\"",
        "image = \"a\"\ndiscard = true\nrun_command = [\"-d\", \"-i\", \"-t\", \"{{.Image}}\", \"/bin/bash\"]",
    ] {
        let said = validate(options);
        assert!(said.contains("The configuration is valid."), "{options}: {said}");
    }
}
