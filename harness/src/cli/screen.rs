//! The two output streams: results on the standard output, all else on the standard error.

use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd;

use proofmark_harness::error_chain;
use proofmark_harness::report::text::{Look, Tone, clean};

use super::error::CliError;

/// The width when nobody reads along: logs are shown wide.
const WIDTH_ELSEWHERE: usize = 120;

/// What is known about the streams.
#[derive(Debug)]
pub(crate) struct Screen {
    /// How to write to the standard output.
    pub(crate) stdout: Look,
    /// How to write to the standard error.
    pub(crate) stderr: Look,
    /// Whether somebody may watch a progress bar.
    pub(crate) is_live: bool,
    /// Whether the reader of the standard output has gone, as `head` does.
    is_closed: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            stdout: look(&stdout, stdout.is_terminal()),
            stderr: look(&stderr, stderr.is_terminal()),
            is_live: stderr.is_terminal() && !is_set("TERM", Some("dumb")),
            is_closed: false,
        }
    }

    /// Writes to the standard output.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), CliError> {
        if self.is_closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            result => result.map_err(CliError::Stdout),
        }
    }

    /// Writes a line to the standard error. There is nobody to tell when that fails.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Reports an error with its causes.
    pub(crate) fn error(&self, error: &(dyn std::error::Error + 'static)) {
        self.problem(Tone::Bad, "error", &error_chain(error));
    }

    /// Reports something that does not keep the command from doing its work.
    pub(crate) fn warning(&self, text: &str) {
        self.problem(Tone::Odd, "warning", text);
    }

    fn problem(&self, tone: Tone, word: &str, text: &str) {
        self.note(&format!("proofmark: {} {}", self.stderr.paint(tone, &format!("{word}:")), clean(text)));
    }
}

fn look(stream: &impl AsFd, is_terminal: bool) -> Look {
    let width = rustix::termios::tcgetwinsize(stream).map_or(0, |size| usize::from(size.ws_col));
    Look {
        width: if is_terminal && width > 0 { width } else { WIDTH_ELSEWHERE },
        colour: is_terminal && !is_set("NO_COLOR", None) && !is_set("TERM", Some("dumb")),
        // Files and logs are UTF-8, whatever the terminal is.
        unicode: !is_terminal || shows_unicode(),
    }
}

/// Whether the terminal is said to show more than ASCII.
fn shows_unicode() -> bool {
    let of = |variable: &&str| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(of).unwrap_or_default().to_ascii_lowercase();
    let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
    is_utf8 && !is_set("TERM", Some("linux")) && !is_set("TERM", Some("dumb"))
}

/// Whether a variable is set and not empty, or has a certain value.
fn is_set(variable: &str, value: Option<&str>) -> bool {
    std::env::var_os(variable).is_some_and(|found| value.map_or(!found.is_empty(), |value| found == value))
}
