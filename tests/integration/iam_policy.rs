//! `imgbake iam-policy`: printed for a template as it stands. That builds need exactly this is shown
//! in `amazon_ebs::policy`.

use crate::support::Program;

const TEMPLATE: &str = r#"
variable "regions" {
  type    = list(string)
  default = []
}
source "amazon-ebs" "web" {
  region        = "cn-north-1"
  ami_name      = "web"
  ami_regions   = var.regions
  instance_type = "t3.micro"
  source_ami    = "ami-0123456789abcdef0"
  ssh_username  = "admin"
}
source "null" "x" {
  communicator = "none"
}
build {
  sources = ["amazon-ebs.web", "null.x"]
}
"#;

#[test]
fn the_policy_of_a_template_is_printed() {
    let program = Program::new();
    program.write("t.pkr.hcl", TEMPLATE);
    let run = program.run(["iam-policy", "t.pkr.hcl"]).succeeded();
    insta::assert_snapshot!(run.stdout);
    let forced =
        program.run(["iam-policy", "-force", "-var=regions=[\"cn-northwest-1\"]", "t.pkr.hcl"]);
    let forced = forced.succeeded().stdout;
    assert!(forced.contains("arn:aws-cn:ec2:cn-northwest-1:*:image/*"), "{forced}");
}

#[test]
fn data_sources_and_registries_need_their_own() {
    let program = Program::new();
    let server = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    program.write(
        "t.pkr.hcl",
        format!(
            r#"
data "amazon-ami" "base" {{
  region      = "eu-west-1"
  owners      = ["099720109477"]
  filters     = {{ name = "ubuntu/*" }}
  most_recent = true
}}
data "amazon-secretsmanager" "token" {{
  region = "eu-west-1"
  name   = "ci/token"
}}
data "amazon-parameterstore" "version" {{
  region = "eu-west-1"
  name   = "/web/version:3"
}}
source "null" "n" {{
  communicator = "none"
}}
build {{
  sources = ["null.n"]
  provisioner "shell-local" {{
    inline = ["echo ${{data.amazon-ami.base.id}}"]
  }}
  post-processors {{
    post-processor "artifice" {{
      files = ["image.tar"]
    }}
    post-processor "docker-import" {{
      repository = "{server}/web"
      tag        = "1"
    }}
    post-processor "docker-push" {{
      ecr_login    = true
      login_server = "{server}"
    }}
  }}
}}
"#
        ),
    );
    let run = program.run(["iam-policy", "t.pkr.hcl"]).succeeded();
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn a_template_that_needs_no_account_has_none() {
    let program = Program::new();
    program.write("t.pkr.hcl", TEMPLATE);
    let run = program.run(["iam-policy", "-only=null.x", "t.pkr.hcl"]).failed_with(1);
    assert!(run.stdout.contains("needs an AWS account"), "{}", run.stdout);
    let run = program.run(["iam-policy", "nowhere.pkr.hcl"]).failed_with(1);
    assert!(run.stderr.contains("T001"), "{}", run.stderr);
}
