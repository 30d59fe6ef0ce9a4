//! Functions that ask a service; none of them is built yet, and each says so.

use super::{Call, CallError, Function, Outcome, Param};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("vault", &[Param::string("path"), Param::string("key")], refuse),
    Function::new("consul_key", &[Param::string("key")], refuse),
    Function::new(
        "aws_secretsmanager",
        &[Param::string("name"), Param::string("key").or_null()],
        refuse,
    ),
    Function::new("aws_secretsmanager_raw", &[Param::string("name")], refuse),
];

fn refuse(_call: &Call<'_>) -> Outcome {
    let help = "give the value through a variable, e.g. with PKR_VAR_… in the environment";
    Err(CallError::NotBuilt(help.to_owned()))
}
