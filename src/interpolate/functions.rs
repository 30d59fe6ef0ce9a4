//! The functions of the template engine: what a template may know of its run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::lex::QUOTES;
use super::value::type_name;
use super::{Scope, builtin, time};
use crate::budget::Limit;
use crate::diagnostic::did_you_mean;
use crate::env::PACKER_VERSION;
use crate::secret::SecretStore;

/// A function: what it knows, and its arguments.
type Function = fn(&Scope, &[Value]) -> Result<Value, String>;

/// The engine's own functions. Those that Go's templates have are in [`builtin`].
const FUNCTIONS: &[(&str, Function)] = &[
    ("aws_secretsmanager", |scope, arguments| {
        let (name, key) = match arguments {
            [name] => (string(name)?, None),
            [name, key] => (string(name)?, Some(string(key)?)),
            _ => {
                let got = arguments.len();
                return Err(format!(
                    "wrong number of args for aws_secretsmanager: want 1 or 2 got {got}"
                ));
            }
        };
        let form =
            format!("aws_secretsmanager({name:?}, {})", key.map_or("null".to_owned(), quoted));
        Ok(secrets(scope, &form)?.entry(name, key)?.expose().into())
    }),
    ("aws_secretsmanager_raw", |scope, arguments| {
        let name = text("aws_secretsmanager_raw", arguments)?;
        let form = format!("aws_secretsmanager_raw({name:?})");
        Ok(secrets(scope, &form)?.whole(name)?.expose().into())
    }),
    ("build", build),
    ("build_name", |scope, arguments| {
        none("build_name", arguments)?;
        fact(scope.build_name.as_deref(), "build_name not available")
    }),
    ("build_type", |scope, arguments| {
        none("build_type", arguments)?;
        fact(scope.build_type.as_deref(), "build_type not available")
    }),
    ("clean_resource_name", clean_resource_name),
    ("consul_key", |scope, arguments| not_built(scope, "consul_key", arguments, "Consul")),
    ("env", env),
    ("isotime", isotime),
    ("lower", |_, arguments| Ok(recase(text("lower", arguments)?, char::to_lowercase).into())),
    ("packer_version", |_, arguments| {
        none("packer_version", arguments)?;
        Ok(PACKER_VERSION.into())
    }),
    ("pwd", |scope, arguments| {
        none("pwd", arguments)?;
        Ok(scope.environment.cwd.to_string_lossy().into())
    }),
    ("replace", replace),
    ("replace_all", replace_all),
    ("sed", |_, _| Err("it no longer exists: use `replace` or `replace_all`".into())),
    ("split", split),
    ("strftime", |scope, arguments| {
        Ok(time::strftime(text("strftime", arguments)?, scope.environment.started).into())
    }),
    ("template_dir", |scope, arguments| {
        none("template_dir", arguments)?;
        json_only(scope, "path.root")?;
        let dir = scope.template_dir.as_ref().map(|dir| dir.to_string_lossy());
        fact(dir.as_deref(), "template path not available")
    }),
    ("timestamp", |scope, arguments| {
        none("timestamp", arguments)?;
        Ok(scope.environment.started.as_second().into())
    }),
    ("upper", |_, arguments| Ok(recase(text("upper", arguments)?, char::to_uppercase).into())),
    ("user", user),
    ("uuid", uuid),
    ("vault", |scope, arguments| not_built(scope, "vault", arguments, "Vault")),
];

/// Whether a function of this name exists.
pub(super) fn exists(name: &str) -> bool {
    names().any(|known| known == name)
}

/// All functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name).chain(builtin::names())
}

/// Calls the function `name`, which exists.
pub(super) fn call(name: &str, arguments: &[Value], scope: &Scope) -> Result<Value, String> {
    match FUNCTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, function)) => function(scope, arguments),
        None => builtin::call(name, arguments),
    }
}

/// Holds the number of arguments against what `name` takes.
pub(super) fn count<'a, const N: usize>(
    name: &str,
    arguments: &'a [Value],
) -> Result<&'a [Value; N], String> {
    arguments
        .try_into()
        .map_err(|_| format!("wrong number of args for {name}: want {N} got {}", arguments.len()))
}

fn none(name: &str, arguments: &[Value]) -> Result<(), String> {
    count::<0>(name, arguments).map(|_| ())
}

/// An argument that must be a string.
pub(super) fn string(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| {
        let cause = format!("expected a string, got {}", type_name(value));
        // `'x'` is a number in Go.
        if value.is_u64() { format!("{cause}\n{QUOTES}") } else { cause }
    })
}

/// The only argument, a string.
fn text<'a>(name: &str, arguments: &'a [Value]) -> Result<&'a str, String> {
    let [text] = count(name, arguments)?;
    string(text)
}

/// Character by character, as Go does: `ß`, which two capitals would stand for, stays.
fn recase<I: ExactSizeIterator<Item = char>>(text: &str, case: fn(char) -> I) -> String {
    text.chars().map(|c| case(c).next().filter(|_| case(c).len() == 1).unwrap_or(c)).collect()
}

fn integer(value: &Value) -> Result<i64, String> {
    value.as_i64().ok_or_else(|| format!("expected an integer, got {}", type_name(value)))
}

fn fact(value: Option<&str>, otherwise: &str) -> Result<Value, String> {
    value.filter(|value| !value.is_empty()).map(Value::from).ok_or_else(|| otherwise.to_owned())
}

/// The user variables. HCL2 has none: what it writes instead is `form`.
fn json_only<'s>(scope: &'s Scope, form: &str) -> Result<&'s BTreeMap<String, String>, String> {
    let refused = || format!("HCL2 has another word for it\nwrite ${{{form}}}");
    scope.user_variables.as_deref().ok_or_else(refused)
}

/// The stores of secrets are for the `variables` section only; `form` is how HCL2 asks them.
fn variables_only(scope: &Scope, store: &str, form: &str) -> Result<(), String> {
    json_only(scope, form)?;
    let refused = || {
        format!(
            "{store} vars are only allowed in the variables section\n\
             read it into a variable, and use `user`"
        )
    };
    scope.in_variables.then_some(()).ok_or_else(refused)
}

fn secrets<'s>(scope: &'s Scope, form: &str) -> Result<&'s dyn SecretStore, String> {
    variables_only(scope, "AWS Secrets Manager", form)?;
    scope.environment.secrets.as_deref().ok_or_else(|| "there is no store of secrets here".into())
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn not_built(
    scope: &Scope,
    function: &str,
    arguments: &[Value],
    store: &str,
) -> Result<Value, String> {
    let arguments: Vec<String> = arguments.iter().map(Value::to_string).collect();
    variables_only(scope, store, &format!("{function}({})", arguments.join(", ")))?;
    Err(format!(
        "reading from {store} is not built in imgbake yet; pass the value with -var or env"
    ))
}

fn user(scope: &Scope, arguments: &[Value]) -> Result<Value, String> {
    let name = text("user", arguments)?;
    match json_only(scope, &format!("var.{name}"))?.get(name) {
        Some(value) => Ok(value.as_str().into()),
        None if scope.in_variables => Err(format!("variable not set: {name}")),
        None => Ok("".into()),
    }
}

fn env(scope: &Scope, arguments: &[Value]) -> Result<Value, String> {
    let name = text("env", arguments)?;
    if scope.user_variables.is_none() {
        return Err(format!(
            "HCL2 reads the environment in the default of a variable\n\
             declare `variable \"{name}\" {{ default = env(\"{name}\") }}`, and write ${{var.{name}}}"
        ));
    }
    if !scope.in_variables {
        return Err("env vars are not allowed here\nread it into a variable, and use `user`".into());
    }
    Ok(scope.environment.get(name).unwrap_or_default().into())
}

/// A fact about the machine. Before there is one, it stands for itself.
fn build(scope: &Scope, arguments: &[Value]) -> Result<Value, String> {
    let key = text("build", arguments)?;
    let Some(data) = &scope.build_data else {
        return Err("Error validating build variable: a builder has no data of its build".into());
    };
    if data.is_empty() {
        if !scope.build_names().any(|known| known == key) {
            let help = match did_you_mean(key, scope.build_names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!("there are: {}", scope.build_names().collect::<Vec<_>>().join(", "))
                }
            };
            return Err(format!("no machine has `{key}`\n{help}"));
        }
        return Ok(format!("{{{{.{key}}}}}").into());
    }
    data.get(key).cloned().ok_or_else(|| format!("loaded data, but couldnt find {key} in it."))
}

fn isotime(scope: &Scope, arguments: &[Value]) -> Result<Value, String> {
    let layout = match arguments {
        [] => time::RFC3339,
        [layout] => string(layout)?,
        _ => return Err(format!("too many values, 1 needed: {}", arguments.len())),
    };
    Ok(time::format(layout, scope.environment.started).into())
}

/// Eight hex digits of the time, so that later ones sort later, and random ones.
fn uuid(scope: &Scope, arguments: &[Value]) -> Result<Value, String> {
    none("uuid", arguments)?;
    let seconds = scope.environment.started.as_second() & 0xffff_ffff;
    let random = scope.environment.new_uuid().simple().to_string();
    let (a, b, c, d) = (&random[8..12], &random[12..16], &random[16..20], &random[20..]);
    Ok(format!("{seconds:08x}-{a}-{b}-{c}-{d}").into())
}

fn split(_: &Scope, arguments: &[Value]) -> Result<Value, String> {
    let [source, separator, index] = count("split", arguments)?;
    let (source, separator, index) = (string(source)?, string(separator)?, integer(index)?);
    let parts: Vec<&str> = match separator {
        "" => source.split("").filter(|part| !part.is_empty()).collect(),
        _ => source.split(separator).collect(),
    };
    let part = usize::try_from(index).ok().and_then(|index| parts.get(index));
    part.map(|part| Value::from(*part)).ok_or_else(|| {
        format!(
            "the substring {index} was unavailable using the separator value, {separator}, only {} \
             values were found",
            parts.len()
        )
    })
}

fn replace(_: &Scope, arguments: &[Value]) -> Result<Value, String> {
    let [old, new, times, source] = count("replace", arguments)?;
    let (old, new, source) = (string(old)?, string(new)?, string(source)?);
    match usize::try_from(integer(times)?) {
        Ok(times) => Ok(source.replacen(old, bounded(source, new)?, times).into()),
        Err(_negative) => Ok(source.replace(old, bounded(source, new)?).into()),
    }
}

fn replace_all(_: &Scope, arguments: &[Value]) -> Result<Value, String> {
    let [old, new, source] = count("replace_all", arguments)?;
    let (old, new, source) = (string(old)?, string(new)?, string(source)?);
    Ok(source.replace(old, bounded(source, new)?).into())
}

/// `new`, if putting it everywhere into `source` cannot exhaust the memory.
fn bounded<'a>(source: &str, new: &'a str) -> Result<&'a str, String> {
    let largest = (source.len() + 1).saturating_mul(new.len());
    Limit::TEXT.check(largest).map(|()| new).map_err(|exceeded| exceeded.to_string())
}

/// What a name of an image may hold is the builder's matter.
fn clean_resource_name(scope: &Scope, arguments: &[Value]) -> Result<Value, String> {
    let name = text("clean_resource_name", arguments)?;
    match scope.build_type.as_deref() {
        Some(kind) if kind.starts_with("amazon-") => {}
        Some(kind) => return Err(format!("the builder {kind} has no rule for names")),
        None => return Err("only a builder has a rule for names".into()),
    }
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"()[] ./-'@_".contains(&byte);
    let clean = |byte| if keep(byte) { char::from(byte) } else { '-' };
    Ok(name.bytes().map(clean).collect::<String>().into())
}
