//! Lines of a source as they may be shown, and where its places are in them. What is sensitive is
//! masked before anything is cut: a part of a secret looks like none.

use std::ops::Range;

use crate::secret::{MASK, Redactor, joined};
use crate::source::SourceFile;

/// Some lines of a source.
pub(super) struct Excerpt {
    pub text: String,
    /// What is masked, as it is in the source and as it is here; in order.
    masks: Vec<(Range<usize>, Range<usize>)>,
    start: usize,
}

impl Excerpt {
    /// The bytes `range` of `file`, which begin and end with lines, without what `redactor` knows
    /// and without the `sensitive` parts of the file.
    pub fn of(
        file: &SourceFile,
        range: Range<usize>,
        sensitive: &[Range<usize>],
        redactor: &Redactor,
    ) -> Self {
        let source = &file.text[range.clone()];
        let start = range.start;
        let within = |part: &Range<usize>| part.start < range.end && part.end > range.start;
        let parts = sensitive
            .iter()
            .filter(|part| within(part))
            .map(|part| part.start.max(range.start) - start..part.end.min(range.end) - start);
        let hidden = joined(parts.chain(redactor.find(source)).collect());
        let mut excerpt =
            Self { text: String::with_capacity(source.len()), masks: Vec::new(), start };
        let mut end = 0;
        for part in hidden.into_iter().flat_map(|part| by_lines(source, part)) {
            excerpt.text.push_str(&source[end..part.start]);
            let from = excerpt.text.len();
            excerpt.text.push_str(MASK);
            end = part.end;
            excerpt.masks.push((part, from..excerpt.text.len()));
        }
        excerpt.text.push_str(&source[end..]);
        excerpt
    }

    /// Where the bytes `range` of the source are. All of a mask, if a part of it.
    pub fn place(&self, range: Range<usize>) -> Range<usize> {
        let (start, end) = (range.start - self.start, range.end - self.start);
        self.at(start, |mask| mask.start)..self.at(end, |mask| mask.end)
    }

    fn at(&self, offset: usize, inside: impl Fn(&Range<usize>) -> usize) -> usize {
        let before = self.masks.iter().take_while(|(part, _)| part.start < offset).last();
        match before {
            None => offset,
            Some((part, mask)) if offset < part.end => inside(mask),
            Some((part, mask)) => mask.end + (offset - part.end),
        }
    }
}

/// The parts of `range` on each line: lines stay lines.
fn by_lines(source: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut at = range.start;
    let lines = source[range].split_inclusive('\n').map(|line| {
        let start = at;
        at += line.len();
        start..start + line.trim_end_matches(['\n', '\r']).len()
    });
    lines.filter(|line| !line.is_empty()).collect()
}
