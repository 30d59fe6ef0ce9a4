//! What the post-processors refuse.

use crate::support::Program;

/// What `build` says of a file that goes through this post-processor.
fn process(post_processor: &str) -> String {
    let program = Program::new();
    let text = format!(
        "source \"file\" \"f\" {{\n  content = \"x\"\n  target = \"x\"\n}}\nbuild {{\n  sources = \
         [\"file.f\"]\n{post_processor}\n}}\n"
    );
    program.write("t.pkr.hcl", text);
    let run = program.run(["build", "-color=false", "t.pkr.hcl"]).failed_with(1);
    run.stdout + &run.stderr
}

#[test]
fn only_images_and_exported_containers_are_taken() {
    for (name, options) in [
        ("docker-tag", "repository = \"a\""),
        ("docker-push", ""),
        ("docker-save", "path = \"x.tar\""),
        ("docker-import", "repository = \"a\""),
    ] {
        let said = process(&format!("post-processor \"{name}\" {{\n{options}\n}}"));
        assert!(said.contains("Unknown artifact type: packer.file"), "{name}: {said}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (name, options, expected) in [
        ("docker-tag", "", "`docker-tag` needs `repository`"),
        ("docker-tag", "repository = \"a\"\ntags = [\"b c\"]", "is no name of an image"),
        ("docker-save", "", "`docker-save` needs `path`"),
        ("docker-import", "tag = \"1\"", "`docker-import` needs `repository`"),
        ("docker-push", "docker_path = \"crane\"", "runs no `crane`"),
    ] {
        let said = process(&format!("post-processor \"{name}\" {{\n{options}\n}}"));
        assert!(said.contains(expected), "{name}: {said}");
    }
}
