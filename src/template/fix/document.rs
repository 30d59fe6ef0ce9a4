//! A legacy template as `fix` sees it: JSON without places, whose parts can be changed.

use serde_json::Value;

use super::edit::Object;
use super::text;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::{FileId, SourceMap};
use crate::template::json::{self, Kind};

/// A legacy template, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Document(Object);

impl Document {
    /// Reads a text of `sources`. Of a key that stands twice, the later one counts, and what comes
    /// behind the template is left out; a warning says so.
    pub fn read(file: FileId, sources: &SourceMap) -> Result<(Self, Diagnostics), Diagnostics> {
        let (root, mut found) = json::parse_first(file, sources);
        let Some(root) = root else { return Err(found) };
        let mut twice = Diagnostics::default();
        root.refuse_duplicates(&mut twice);
        found.extend(twice.into_iter().map(|error| error.help(LATER_COUNTS).into_warning()));
        refuse_shapes(&root, &mut found);
        match root.into_plain(&mut found) {
            Value::Object(mut root) => {
                if !root.keys().any(|key| key.eq_ignore_ascii_case(BUILDERS)) {
                    root.insert(BUILDERS.to_owned(), Value::Null);
                }
                let mut document = Self(root);
                if let Some(provisioners) = document.part(PROVISIONERS) {
                    make_list(provisioners);
                }
                found.into_result(document)
            }
            _ => Err(found),
        }
    }

    /// The JSON text: sorted keys, two blanks per level, and a line's end.
    pub fn to_text(&self) -> String {
        text::of(&self.0)
    }

    /// Whether there is a list of post-processors; it may be empty.
    pub(super) fn has_post_processors(&mut self) -> bool {
        self.part(POST_PROCESSORS).is_some_and(|part| part.is_array())
    }

    pub(super) fn builders(&mut self) -> impl Iterator<Item = &mut Object> {
        self.part(BUILDERS).into_iter().flat_map(one_or_several).filter_map(Value::as_object_mut)
    }

    pub(super) fn provisioners(&mut self) -> impl Iterator<Item = &mut Object> {
        self.part(PROVISIONERS)
            .into_iter()
            .flat_map(one_or_several)
            .filter_map(Value::as_object_mut)
    }

    /// All of them, those in chains too.
    pub(super) fn post_processors(&mut self) -> impl Iterator<Item = &mut Object> {
        self.part(POST_PROCESSORS)
            .into_iter()
            .flat_map(one_or_several)
            .flat_map(one_or_several)
            .filter_map(Value::as_object_mut)
    }

    /// The part called `name`; case does not matter.
    fn part(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, part)| part)
    }
}

const BUILDERS: &str = "builders";
const PROVISIONERS: &str = "provisioners";
const POST_PROCESSORS: &str = "post-processors";
const LATER_COUNTS: &str = "the later one counts; remove the other";

/// The items of a list. What is one thing instead of a list counts as its only item.
fn one_or_several(value: &mut Value) -> std::slice::IterMut<'_, Value> {
    match value {
        Value::Array(items) => items.iter_mut(),
        single => std::slice::from_mut(single).iter_mut(),
    }
}

/// One thing → a list of it; an object without any key is no thing.
fn make_list(value: &mut Value) {
    let is_empty = value.as_object().is_some_and(Object::is_empty);
    if !value.is_array() && !value.is_null() && !is_empty {
        *value = Value::Array(vec![value.take()]);
    }
}

/// Says what no fixer could make sense of.
fn refuse_shapes(root: &json::Value, found: &mut Diagnostics) {
    let mut refuse = |value: &json::Value, what: &str| {
        let error = Diagnostic::error(code::JSON_SHAPE, what).at(value.span);
        found.push(error.because(format!("this is {}", value.kind_name())));
    };
    let Kind::Object(members) = &root.kind else {
        return refuse(root, "a template must be an object");
    };
    for member in members {
        let is_builders = member.key.value.eq_ignore_ascii_case(BUILDERS);
        match &member.value.kind {
            Kind::Array(builders) if is_builders => {
                let is_object = |builder: &&json::Value| matches!(builder.kind, Kind::Object(_));
                for builder in builders.iter().filter(|builder| !is_object(builder)) {
                    refuse(builder, "a builder must be an object");
                }
            }
            Kind::Array(_) | Kind::Null => {}
            _ if is_builders => refuse(&member.value, "`builders` must be a list"),
            _ if member.key.value.eq_ignore_ascii_case(POST_PROCESSORS) => {
                refuse(&member.value, "`post-processors` must be a list");
            }
            _ => {}
        }
    }
}
