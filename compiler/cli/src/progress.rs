//! What the user sees while something takes longer than a second: a line on the terminal's error stream, gone when it is done.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// A line that says what is being done; it disappears when this is dropped, and is not there where no one watches.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Starts with the first thing that is done.
    pub(crate) fn start(doing: &str) -> Progress {
        let watched = std::io::stderr().is_terminal();
        let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is constant"));
        bar.set_message(doing.to_string());
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress(bar)
    }

    /// Goes on with the next thing.
    pub(crate) fn next(&self, doing: &str) {
        self.0.set_message(doing.to_string());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
