//! Ids of access keys, told from other words.

use std::ops::Range;

/// How ids of access keys begin: those of users, and temporary ones.
const PREFIXES: [&str; 2] = ["AKIA", "ASIA"];
/// Characters after the prefix.
const REST: usize = 16;

/// Where ids of access keys stand in `text`.
pub fn access_key_ids(text: &str) -> impl Iterator<Item = Range<usize>> {
    PREFIXES.into_iter().flat_map(move |prefix| {
        text.match_indices(prefix)
            .map(|(at, _)| at)
            .filter(move |&at| is_id(text, at))
            .map(|at| at..at + PREFIXES[0].len() + REST)
    })
}

fn is_id(text: &str, at: usize) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    let end = at + PREFIXES[0].len() + REST;
    let is_key = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    bytes.get(at..end).is_some_and(|id| id.iter().all(is_key))
        && !at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(is_word)
        && !bytes.get(end).is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_longer_words() {
        let found = |text| access_key_ids(text).map(|id| id.start).collect::<Vec<_>>();
        assert_eq!(found("key = \"AKIAIOSFODNN7EXAMPLE\""), [7]);
        assert_eq!(found("# ASIAIOSFODNN7EXAMPLE"), [2]);
        for text in ["AKIA", "AKIAIOSFODNN7EXAMPLEX", "xAKIAIOSFODNN7EXAMPLE", "AKIA_OSFODNN7"] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
