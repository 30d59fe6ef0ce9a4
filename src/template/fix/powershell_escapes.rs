//! What is given to PowerShell is escaped for it; once, the template had to.

use serde_json::Value;

use super::{Change, Fixer, Object, Types};

pub(super) const FIXER: Fixer = Fixer {
    name: "powershell-escapes",
    does: "PowerShell escapes are removed from `elevated_user`, `elevated_password` and `environment_vars` of the `powershell` provisioner",
    change: Change::Provisioners(Types::Of(&["powershell"]), fix),
};

fn fix(provisioner: &mut Object) {
    for key in ["elevated_user", "elevated_password"] {
        if let Some(Value::String(text)) = provisioner.get_mut(key) {
            *text = unescaped(text);
        }
    }
    match provisioner.get_mut("environment_vars") {
        Some(Value::Array(vars)) if vars.iter().all(Value::is_string) => {
            for var in vars {
                *var = unescaped(var.as_str().unwrap_or_default()).into();
            }
        }
        Some(vars @ Value::Null) => *vars = Value::Array(Vec::new()),
        _ => {}
    }
}

/// Without the backtick in front of each of the characters that PowerShell has it for.
fn unescaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '`' && matches!(next, '$' | '"' | '`' | '\''));
        result.push(escaped.unwrap_or(c));
    }
    result
}
