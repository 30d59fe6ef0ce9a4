//! A checksum says itself of what kind it is.

use serde_json::Value;

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "iso-checksum-type-and-url",
    does: "`iso_checksum_type` and `iso_checksum_url` of builders become a part of `iso_checksum`",
    change: Change::Builders(Types::Any, fix),
};

fn fix(builder: &mut Object) {
    let url = builder.remove("iso_checksum_url").and_then(text);
    let kind = builder.remove("iso_checksum_type").and_then(text);
    let sum = builder.get("iso_checksum").cloned().and_then(text);
    let checksum = match (url, kind, sum) {
        (Some(url), ..) => format!("file:{url}"),
        (None, Some(kind), Some(sum)) => format!("{kind}:{sum}"),
        _ => return,
    };
    edit::set(builder, "iso_checksum", checksum);
}

/// A text that is not empty.
fn text(value: Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
