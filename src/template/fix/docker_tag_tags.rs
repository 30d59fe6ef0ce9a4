//! There may be several tags.

use indexmap::IndexSet;
use serde_json::Value;

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "docker-tag-tags",
    does: "`tag` of the `docker-tag` post-processor is added to `tags`",
    change: Change::PostProcessors(Types::Of(&["docker-tag"]), fix),
};

/// All tags as a list, each once, those of `tag` first.
fn fix(post_processor: &mut Object) {
    let (tag, tags) = (post_processor.get("tag"), post_processor.get("tags"));
    let (Some(tag), Some(tags)) = (tags_in(tag), tags_in(tags)) else { return };
    let all: IndexSet<String> = tag.into_iter().chain(tags).collect();
    post_processor.remove("tag");
    edit::set(post_processor, "tags", Vec::from_iter(all));
}

/// The tags of a list, or of a text with commas. `None` if an item of the list is no text.
fn tags_in(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        Some(Value::String(text)) => {
            Some(text.split(',').map(|tag| tag.trim().to_owned()).collect())
        }
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        }
        _ => Some(Vec::new()),
    }
}
