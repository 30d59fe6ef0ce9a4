//! All builders call this function the same.

use serde_json::Value;

use super::{Change, Fixer, Object, Types};

pub(super) const FIXER: Fixer = Fixer {
    name: "clean-image-name",
    does: "the functions `clean_ami_name` and `clean_image_name` become `clean_resource_name`",
    change: Change::Builders(Types::Any, fix),
};

/// Goes through the options that are texts, and through maps of texts.
fn fix(builder: &mut Object) {
    for value in builder.values_mut() {
        match value {
            Value::String(text) => rename_function(text),
            Value::Object(map) => {
                for value in map.values_mut() {
                    if let Value::String(text) = value {
                        rename_function(text);
                    }
                }
            }
            _ => {}
        }
    }
}

fn rename_function(text: &mut String) {
    for old in ["clean_ami_name", "clean_image_name"] {
        if text.contains(old) {
            *text = text.replace(old, "clean_resource_name");
        }
    }
}
