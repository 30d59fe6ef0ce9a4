//! There are more addresses than the private and the public one.

use serde_json::Value;

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "amazon-private-ip",
    does: "`ssh_private_ip` of Amazon builders becomes `ssh_interface`",
    change: Change::BuildersOrNot(Types::Prefix("amazon-"), fix),
};

/// What Go's `ParseBool` takes.
const YES: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
const NO: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

fn fix(builder: &mut Object) -> Result<(), String> {
    if builder.contains_key("ssh_interface") {
        return Ok(());
    }
    let private = match builder.get("ssh_private_ip") {
        None => return Ok(()),
        Some(Value::Bool(private)) => *private,
        Some(Value::String(text)) if YES.contains(&text.as_str()) => true,
        Some(Value::String(text)) if NO.contains(&text.as_str()) => false,
        Some(other) => return Err(format!("`ssh_private_ip` is neither true nor false: {other}")),
    };
    builder.remove("ssh_private_ip");
    edit::set(builder, "ssh_interface", if private { "private_ip" } else { "public_ip" });
    Ok(())
}
