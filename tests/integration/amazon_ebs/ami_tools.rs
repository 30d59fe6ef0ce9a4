//! Amazon's AMI tools on the "machine", played by `sh` and `curl`: they write down how they are called, and
//! what they upload really comes to moto's S3.

use std::path::Path;

use tempfile::TempDir;

use crate::support::Moto;

/// `sudo` without becoming anybody else.
const SUDO: &str = r#"
[ "$1 $2" = "-i -n" ] || exit 9
shift 2
exec "$@"
"#;

/// Reads what it needs to sign with, and makes a manifest and two parts.
const BUNDLE: &str = r#"
echo "ec2-bundle-vol $*" >> "$AMI_TOOLS/commands"
while [ $# -gt 0 ]; do
  case $1 in
    -k) key=$2 ;; -u) account=$2 ;; -c) cert=$2 ;; -r) kind=$2 ;; -e) secrets=$2 ;;
    -d) to=$2 ;; -p) prefix=$2 ;; --batch|--no-filter) shift; continue ;;
    *) echo "invalid option $1" >&2; exit 1 ;;
  esac
  shift 2
done
[ "$secrets" = "$cert,$key" ] && grep -q CERTIFICATE "$cert" && grep -q "PRIVATE KEY" "$key" || exit 2
[ "$(stat -c %a "$key")" = 600 ] || { echo "anybody may read $key" >&2; exit 2; }
for part in part.0 part.1 manifest.xml; do echo "$account $kind" > "$to/$prefix.$part"; done
"#;

/// Uploads the parts and last the manifest. While there is a file `hold`, it stops after the first part.
const UPLOAD: &str = r#"
echo "ec2-upload-bundle $*" >> "$AMI_TOOLS/commands"
while [ $# -gt 0 ]; do
  case $1 in
    -b) bucket=$2 ;; -m) manifest=$2 ;; -a) key=$2 ;; -s) secret=$2 ;; -t) token=$2 ;; -d) from=$2 ;;
    --region) region=$2 ;; --batch|--retry) shift; continue ;;
    *) echo "invalid option $1" >&2; exit 1 ;;
  esac
  shift 2
done
prefix=$(basename "$manifest" .manifest.xml)
for part in part.0 part.1 manifest.xml; do
  curl -sSf -o /dev/null -T "$from/$prefix.$part" "$S3_OF_MOTO/$bucket/$prefix.$part" \
    -H "Authorization: AWS4-HMAC-SHA256 Credential=${key:-role}/20260101/$region/s3/aws4_request" || exit 3
  while [ -e "$AMI_TOOLS/hold" ]; do sleep 0.05; [ -d "$AMI_TOOLS" ] || exit 1; done
  [ ! -e "$AMI_TOOLS/fails" ] || exit 3
done
"#;

/// Where they are, and what they have written.
pub struct AmiTools(TempDir);

impl AmiTools {
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::Builder::new().prefix("imgbake-ami-tools").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bundle")).unwrap();
        for (name, text) in
            [("sudo", SUDO), ("ec2-bundle-vol", BUNDLE), ("ec2-upload-bundle", UPLOAD)]
        {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh{text}")).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(dir)
    }

    /// What `sshd_config` says so that they are found on the machine.
    pub fn settings(&self, moto: &Moto) -> String {
        let (dir, s3) = (self.dir().display(), moto.endpoint());
        format!("SetEnv PATH={dir}:/usr/bin:/bin SHLVL=1 AMI_TOOLS={dir} S3_OF_MOTO={s3}")
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    /// How they were called.
    pub fn commands(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir().join("commands")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
