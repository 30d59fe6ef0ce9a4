//! Names could hold the time of the build as a field.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "createtime",
    does: "`{{.CreateTime}}` in the names of images becomes `{{timestamp}}`",
    change: Change::Builders(Types::Any, fix),
};

const NAMES: [&str; 3] = ["ami_name", "bundle_prefix", "snapshot_name"];

fn fix(builder: &mut Object) {
    for key in NAMES {
        if let Some(name) = edit::text(builder, key) {
            let name = without_field(name);
            edit::set(builder, key, name);
        }
    }
}

/// `{{ .CreateTime }}` → `{{timestamp}}`, wherever it stands.
fn without_field(text: &str) -> String {
    let mut parts = text.split("{{");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.trim_start().strip_prefix(".CreateTime").map(str::trim_start) {
            Some(rest) if rest.starts_with("}}") => {
                result.push_str("{{timestamp");
                result.push_str(rest);
            }
            _ => {
                result.push_str("{{");
                result.push_str(part);
            }
        }
    }
    result
}
