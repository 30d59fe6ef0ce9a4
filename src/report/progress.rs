//! Bars for transfers: bytes, rate, time left. Only on a terminal.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::event::{Progress, Target};

/// The bars under the text.
pub(super) struct ProgressBars {
    /// `None`: there is no terminal to draw on.
    area: Option<MultiProgress>,
    bars: HashMap<(Option<Target>, String), ProgressBar>,
}

impl ProgressBars {
    /// Bars on the terminal that standard output is.
    pub fn on_terminal() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self { area: Some(area), bars: HashMap::new() }
    }

    /// No bars.
    pub fn none() -> Self {
        Self { area: None, bars: HashMap::new() }
    }

    /// Shows how far a transfer of `target` is.
    pub fn show(&mut self, target: Option<&Target>, progress: &Progress) {
        let Some(area) = &self.area else { return };
        let key = (target.cloned(), progress.what.clone());
        if progress.finished {
            if let Some(bar) = self.bars.remove(&key) {
                bar.finish_and_clear();
                area.remove(&bar);
            }
            return;
        }
        let bar = self.bars.entry(key).or_insert_with(|| {
            let name = target.map(|target| format!("{target}: ")).unwrap_or_default();
            let bar = area.add(ProgressBar::new(0));
            bar.set_style(style(progress.total.is_some()));
            bar.set_message(format!("{name}{}", progress.what));
            bar
        });
        bar.set_length(progress.total.unwrap_or(progress.done));
        bar.set_position(progress.done);
    }

    /// Takes the bars off the screen while `write` adds lines to it.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.area {
            Some(area) if !self.bars.is_empty() => area.suspend(write),
            _ => write(),
        }
    }
}

/// How a bar looks; without a known end it only counts.
fn style(total_is_known: bool) -> ProgressStyle {
    let template = if total_is_known {
        "    {msg} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left"
    } else {
        "    {msg} {bytes} {bytes_per_sec}"
    };
    // The templates above are right; indicatif's own look is the fallback.
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
