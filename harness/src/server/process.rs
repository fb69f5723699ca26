//! A process of a local server: never outlives its owner, and says what went wrong in its own words.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::local::{LocalError, ProcessFailure};
use super::run_directory::RunDirectory;

/// How much of a log an error repeats, in bytes.
const LOG_TAIL_BYTES: u64 = 4096;

const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How long a process may take to stop when asked, before it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(6);

/// A running process that writes to a log, stopped when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    program: String,
    command: String,
    directory: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts a command in the run directory with its output in a new log.
    pub(super) fn spawn(command: &Command, run: &mut RunDirectory, log: &Path) -> Result<Self, LocalError> {
        let directory_error = |source| LocalError::Directory { path: log.to_owned(), source };
        let output = fs::File::create(log).map_err(directory_error)?;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let text = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let program = Path::new(command.get_program()).file_name().unwrap_or_default();
        let program = program.to_string_lossy().into_owned();
        let directory = run.path().to_owned();
        match run.spawn(command, output) {
            Ok(child) => Ok(Self { child, program, command: text, directory, log: log.to_owned() }),
            Err(source) => Err(LocalError::Spawn { command: text, directory, source }),
        }
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end, for so long.
    pub(super) fn wait(&mut self, time_max: Duration) -> io::Result<Option<ExitStatus>> {
        let started = Instant::now();
        loop {
            let ended = self.ended()?;
            if ended.is_some() || started.elapsed() > time_max {
                return Ok(ended);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The last of what it wrote.
    pub(super) fn log_tail(&self) -> String {
        let read = || {
            let mut file = fs::File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
            io::Result::Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        read().unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
    }

    /// The error that says all there is to know about it.
    pub(super) fn failure(&self, what: String) -> LocalError {
        LocalError::Process(Box::new(ProcessFailure {
            program: self.program.clone(),
            what,
            command: self.command.clone(),
            pid: self.child.id(),
            directory: self.directory.clone(),
            log: self.log_tail(),
        }))
    }

    /// Sends it a signal, if it is still there.
    pub(super) fn signal(&mut self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Ok(None), Some(id)) = (self.ended(), id) {
            let _ = rustix::process::kill_process(id, signal);
        }
    }

    /// Stops it at once, without care for its data: that will be deleted.
    pub(super) fn stop(&mut self) {
        if let Ok(Some(_)) = self.ended() {
            return;
        }
        // It is our child and was not waited for, so that the id is still its own, and that of its group.
        let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        let _ = rustix::process::kill_process(id, Signal::QUIT);
        let ended = matches!(self.wait(STOP_TIME_MAX), Ok(Some(_)));
        // The helpers of initdb end a moment after it, and leave shared memory behind if they are killed.
        let started = Instant::now();
        while ended && rustix::process::test_kill_process_group(id).is_ok() && started.elapsed() < STOP_TIME_MAX {
            std::thread::sleep(POLL_INTERVAL);
        }
        if rustix::process::kill_process_group(id, Signal::KILL).is_ok() {
            tracing::warn!(program = self.program, %id, "killed, as it did not stop");
        }
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
