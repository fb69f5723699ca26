//! What is seen while the cases run: a bar on a terminal, and what went wrong as it happens.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proofmark_harness::event::{CaseRecord, RunEvent};
use proofmark_harness::report::terminal;
use proofmark_harness::report::{Standing, plural};
use proofmark_harness::suite::CaseId;

use super::error::CliError;
use super::screen::Screen;

const TICK: Duration = Duration::from_millis(100);
const TEMPLATE: &str = "{bar:28} {pos}/{len} {elapsed} {wide_msg}";

/// Follows a run.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    running: Vec<CaseId>,
    failed: usize,
    is_stopping: bool,
}

impl Progress {
    /// A bar over so many cases, hidden unless somebody may watch it.
    pub(crate) fn new(planned: usize, awaits_server: bool, screen: &Screen) -> Self {
        let target = if screen.is_live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(u64::try_from(planned).ok(), target);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        if awaits_server {
            bar.set_message("waiting for the database server");
        }
        Self { bar, running: Vec::new(), failed: 0, is_stopping: false }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, event: &RunEvent, screen: &mut Screen) -> Result<(), CliError> {
        match event {
            RunEvent::Started(header) => {
                let text = terminal::header(header, screen.stdout);
                self.bar.suspend(|| screen.print(&text))?;
                self.bar.enable_steady_tick(TICK);
            }
            RunEvent::ServerReady(server) => {
                let text = terminal::server(server, screen.stdout);
                self.bar.suspend(|| screen.print(&text))?;
            }
            RunEvent::CaseStarted(id) => self.running.push(id.clone()),
            RunEvent::CaseFinished(case) => self.finished(case, screen),
            RunEvent::Finished(_) => self.bar.finish_and_clear(),
            _ => {}
        }
        self.describe();
        Ok(())
    }

    /// Tells that a signal has arrived.
    pub(crate) fn stopping(&mut self, screen: &Screen) {
        self.is_stopping = true;
        self.bar.suspend(|| screen.note("proofmark: stopping and cleaning up; once more to leave at once"));
        self.describe();
    }

    fn finished(&mut self, case: &CaseRecord, screen: &Screen) {
        self.running.retain(|id| *id != case.id);
        self.bar.inc(1);
        if matches!(Standing::of(case), Standing::Failed | Standing::Errored) {
            self.failed += 1;
            self.bar.suspend(|| screen.note(&terminal::problem_line(case, screen.stderr)));
        }
    }

    fn describe(&self) {
        let mut parts = Vec::new();
        if self.is_stopping {
            parts.push("stopping".to_owned());
        }
        if self.failed > 0 {
            parts.push(format!("{} so far", plural(self.failed, "problem")));
        }
        // The oldest is the one that is waited for.
        if let Some(oldest) = self.running.first() {
            parts.push(oldest.to_string());
        }
        if !parts.is_empty() {
            self.bar.set_message(parts.join(" · "));
        }
    }
}
