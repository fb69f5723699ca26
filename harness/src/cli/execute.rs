//! Runs cases for a command: progress, the audit table, the files.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use proofmark_harness::event::{RunRecord, Signal};
use proofmark_harness::exit::Exit;
use proofmark_harness::report::terminal;
use proofmark_harness::report::text::Tone;
use proofmark_harness::runner::{CASE_TIME_LIMIT, Options, stopped};
#[cfg(feature = "containers")]
use proofmark_harness::server::ImageName;
use proofmark_harness::server::ServerChoice;
use proofmark_harness::session::{Session, SessionError};
use proofmark_harness::suite::PlannedCase;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::error::CliError;
use super::output::{Outputs, Reports, last_run, record_last};
use super::progress::Progress;
use super::screen::Screen;

/// Where the database server comes from.
#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    /// Where the database server comes from: `auto` ($PROOFMARK_SERVER or $PROOFMARK_DATABASE_URL if set, else the
    /// server of `proofmark db up` if it runs, else a container if an engine answers, else local), `container`,
    /// `local` (started from this machine's binaries), or a URL such as postgres://user@host:5432/postgres
    #[arg(long, value_name = "auto|container|local|URL", default_value = "auto", hide_default_value = true)]
    server: String,
    /// The image for `--server container`; $PROOFMARK_POSTGRES_IMAGE if set, else postgres:18
    #[cfg(feature = "containers")]
    #[arg(long, value_name = "NAME:TAG")]
    image: Option<ImageName>,
}

impl ServerArguments {
    pub(crate) fn choice(&self) -> Result<ServerChoice, CliError> {
        let server = self.server.parse().map_err(CliError::Server)?;
        #[cfg(feature = "containers")]
        if let Some(image) = &self.image {
            return match server {
                ServerChoice::Container(_) => Ok(ServerChoice::Container(Some(image.clone()))),
                server => Err(CliError::Image { server }),
            };
        }
        Ok(server)
    }
}

/// How cases are run, and what is written about it.
#[derive(Debug, Args)]
pub(crate) struct Execution {
    #[command(flatten)]
    server: ServerArguments,
    /// The seed of all generated data; a new one for every run unless given
    #[arg(long, value_name = "N", env = "PROOFMARK_SEED")]
    seed: Option<u64>,
    /// The most cases at one time; as many as there are processors unless given
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u16>::new().range(1..=1024))]
    jobs: Option<u16>,
    /// The time that a case may take, in seconds; 60 unless given, and 900 for the cases of `migrations`
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400),
    )]
    time_limit: Option<u64>,
    /// Write the recorded run as JSON; `proofmark audit` finds the last one without it
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    reports: Reports,
}

/// What is done with the record of a run; says what to tell about it.
pub(crate) type After<'a> = &'a dyn Fn(&RunRecord) -> Result<Vec<String>, CliError>;

/// Cases to be run, and what a command adds to it.
pub(crate) struct Task<'a> {
    /// What a repetition begins with.
    pub(crate) command: String,
    /// Where the subject was read from, if it was.
    pub(crate) directory: Option<&'a Path>,
    /// The cases.
    pub(crate) cases: Vec<PlannedCase>,
    /// How long a case may take unless the user says otherwise.
    pub(crate) time_limit: Duration,
    /// What is done when all has run.
    pub(crate) after: Option<After<'a>>,
}

impl Execution {
    /// Runs cases; `command` is what a repetition begins with.
    pub(crate) fn run(
        &self,
        command: String,
        cases: Vec<PlannedCase>,
        screen: &mut Screen,
    ) -> Result<Exit, CliError> {
        self.run_task(Task { command, directory: None, cases, time_limit: CASE_TIME_LIMIT, after: None }, screen)
    }

    /// The same for a command that adds to it.
    pub(crate) fn run_task(&self, task: Task<'_>, screen: &mut Screen) -> Result<Exit, CliError> {
        let directory = task.directory.map(|directory| directory.to_string_lossy().into_owned());
        let server = self.server.choice()?;
        let outputs = Outputs::check(self.json.as_deref(), &self.reports)?;
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let options = Options {
            seed: self.seed.unwrap_or_else(new_seed),
            concurrency: self.jobs.map_or(processors, usize::from),
            time_limit: self.time_limit.map_or(task.time_limit, Duration::from_secs),
            keep: true,
        };
        let session = Session { command: task.command, directory, cases: task.cases, server, options };
        let runtime = Builder::new_multi_thread()
            .worker_threads(processors.max(2))
            .enable_all()
            .build()
            .map_err(CliError::Runtime)?;
        let ended = runtime.block_on(follow(&session, screen));
        let exit = ended.and_then(|(record, result)| {
            conclude(&record, &outputs, task.after, screen)?;
            result?;
            Ok(Exit::of(&record))
        });
        // A case that never ended must not keep the process from ending.
        runtime.shutdown_background();
        exit
    }
}

/// Runs the session and shows what happens. Returns the record of a run in which cases could run, and what went
/// wrong beside them.
async fn follow(session: &Session, screen: &mut Screen) -> Result<(RunRecord, Result<(), CliError>), CliError> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let (stop, mut stopping) = watch::channel(None);
    listen(stop).map_err(CliError::Runtime)?;
    let mut record = RunRecord::new(session.header());
    let mut progress = Progress::new(session.cases.len(), session.needs_server(), screen);
    let run = session.run(events, stopping.clone());
    let watch = async {
        // An output that fails must not keep the run from cleaning up.
        let mut shown = Ok(());
        let mut is_stopping = false;
        loop {
            tokio::select! {
                event = inbox.recv() => {
                    let Some(event) = event else { break };
                    record.apply(&event);
                    shown = shown.and(progress.event(&event, screen));
                }
                () = stopped(&mut stopping), if !is_stopping => {
                    is_stopping = true;
                    progress.stopping(screen);
                }
            }
        }
        shown
    };
    let (ran, shown) = tokio::join!(run, watch);
    if let Err(error @ SessionError::Start(_)) = ran {
        return Err(error.into());
    }
    // Cases end in another order every time; reports keep to that of the plan.
    let places: HashMap<_, _> = session.cases.iter().enumerate().map(|(place, case)| (&case.id, place)).collect();
    record.cases.sort_by_key(|case| places.get(&case.id).copied());
    Ok((record, shown.and(ran.map_err(CliError::from))))
}

/// Writes the files, then the tables.
fn conclude(
    record: &RunRecord,
    outputs: &Outputs,
    after: Option<After<'_>>,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let mut written = Vec::new();
    if let Some(path) = last_run() {
        match record_last(&path, record) {
            Ok(()) => written.push(format!("recorded in {}", path.display())),
            Err(error) => screen.warning(&format!(
                "the run is not recorded for `proofmark audit`, as {} cannot be written: {error}",
                path.display()
            )),
        }
    }
    let files = outputs.write(record);
    if let Ok(files) = &files {
        written.extend(files.iter().map(|path| format!("wrote {}", path.display())));
    }
    let done = after.map(|after| after(record));
    if let Some(Ok(lines)) = &done {
        written.extend(lines.iter().cloned());
    }
    let look = screen.stdout;
    let mut text = format!("\n{}", terminal::body(record, look));
    for line in written {
        text.push_str(&look.paint(Tone::Faint, &format!("  {line}")));
        text.push('\n');
    }
    screen.print(&text)?;
    files.map(drop)?;
    done.transpose().map(drop)
}

/// Turns the first signal into a request to stop; the second one ends the process, and what it started ends itself.
fn listen(stop: watch::Sender<Option<Signal>>) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            };
            if stop.borrow().is_some() {
                std::process::exit(Exit::Interrupted(signal).code().into());
            }
            stop.send_replace(Some(signal));
        }
    });
    Ok(())
}

/// A seed that is short enough to be typed.
fn new_seed() -> u64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    high >> 40
}
