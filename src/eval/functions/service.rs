//! Functions that ask a service.

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::types::Type;
use crate::eval::value::{Data, Value};
use crate::secret::{Secret, SecretStore};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "vault",
        "The value of a key in a secret of Vault.",
        &[Param::string("path"), Param::string("key")],
        refuse,
    )
    .result(Want::String),
    Function::new("consul_key", "The value of a key in Consul.", &[Param::string("key")], refuse)
        .result(Want::String),
    Function::new(
        "aws_secretsmanager",
        "A secret of AWS Secrets Manager, or one key of it.",
        &[Param::string("name"), Param::string("key").or_null().or_untyped()],
        aws_secretsmanager,
    )
    .result(Want::String),
    Function::new(
        "aws_secretsmanager_raw",
        "The whole text of a secret of AWS Secrets Manager.",
        &[Param::string("name")],
        aws_secretsmanager_raw,
    )
    .result(Want::String),
];

fn refuse(_call: &Call<'_>) -> Outcome {
    let help = "give the value through a variable, e.g. with PKR_VAR_… in the environment";
    Err(CallError::NotBuilt(help.to_owned()))
}

fn aws_secretsmanager(call: &Call<'_>) -> Outcome {
    let key = call.args.get(1).and_then(Value::as_str);
    read(call, |store| store.entry(call.text(0), key))
}

fn aws_secretsmanager_raw(call: &Call<'_>) -> Outcome {
    read(call, |store| store.whole(call.text(0)))
}

/// What the store says; nobody may see it. Where nobody is to be asked, it is unknown.
fn read(call: &Call<'_>, what: impl FnOnce(&dyn SecretStore) -> Result<Secret, String>) -> Outcome {
    let Some(store) = call.host.environment.secrets.as_deref() else {
        return Ok(Data::Unknown(Type::String).public().marked(true));
    };
    let secret = what(store).map_err(CallError::failed)?;
    Ok(Value::string(secret.expose()).marked(true))
}
