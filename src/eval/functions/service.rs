//! Functions that ask a service; none of them is built yet, and each says so.

use super::{Call, CallError, Function, Outcome, Param};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "vault",
        "The value of a key in a secret of Vault.",
        &[Param::string("path"), Param::string("key")],
        refuse,
    ),
    Function::new("consul_key", "The value of a key in Consul.", &[Param::string("key")], refuse),
    Function::new(
        "aws_secretsmanager",
        "A secret of AWS Secrets Manager, or one key of it.",
        &[Param::string("name"), Param::string("key").or_null()],
        refuse,
    ),
    Function::new(
        "aws_secretsmanager_raw",
        "The whole text of a secret of AWS Secrets Manager.",
        &[Param::string("name")],
        refuse,
    ),
];

fn refuse(_call: &Call<'_>) -> Outcome {
    let help = "give the value through a variable, e.g. with PKR_VAR_… in the environment";
    Err(CallError::NotBuilt(help.to_owned()))
}
