//! Runs beside each other: no two tests may have one database at a time.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use crate::peers::{Peers, Run};
use crate::random::Random;
use crate::report::{Report, Target};
use crate::server::PeerServer;
use crate::{Plan, Result};

const PART: &str = "collisions";

const RUNS: u32 = 4;

/// What a test recorded of its database.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) process: u32,
    pub(crate) begin_ns: u64,
    /// Missing where the test was killed.
    end_ns: Option<u64>,
    server: String,
    database: String,
    /// The session's process on the server.
    pub(crate) backend: u32,
}

pub(crate) fn verify(peers: &Peers, plan: Plan, _: &mut Random, report: &mut Report) -> Result<()> {
    let server = PeerServer::start()?;
    for (what, url) in [("a server for each run", None), ("one server for all runs", Some(server.url()?))] {
        let files = tempfile::tempdir()?;
        let leases = files.path().join("leases");
        let mut collisions = Vec::new();
        for _ in 0..plan.rounds {
            let _ = fs::remove_file(&leases);
            let start = |_| {
                let mut command = peers.run("acquire", plan.concurrent_tests)?;
                command.env("DATABASE_PEERS_LEASES", &leases);
                if let Some(url) = &url {
                    command.env("PROOFMARK_DATABASE_URL", url);
                }
                Run::start(command, files.path())
            };
            let runs: Vec<Run> = (0..RUNS).map(start).collect::<Result<_>>()?;
            for run in runs {
                if let Err(error) = run.wait()?.expect(plan.concurrent_tests) {
                    report.defect(format!("{PART}, {what}: {error}"));
                }
            }
            let leases = read(&leases)?;
            let expected = usize::try_from(RUNS * plan.concurrent_tests)?;
            if leases.len() != expected {
                report.defect(format!("{PART}, {what}: expected {expected} leases, found {}", leases.len()));
            }
            let found = overlaps(&leases);
            let databases: BTreeSet<_> = leases.iter().map(|lease| (&lease.server, &lease.database)).collect();
            println!(
                "  {PART}, {what}: {} leases of {} databases, {} overlaps",
                leases.len(),
                databases.len(),
                found.len()
            );
            collisions.push(f64::from(u32::try_from(found.len())?));
            found.into_iter().for_each(|overlap| report.defect(format!("{PART}, {what}: {overlap}")));
        }
        let what = format!("{RUNS} runs of {} tests, {what}", plan.concurrent_tests);
        report.add(PART, what, "", collisions, Some(Target::None));
    }
    Ok(())
}

/// Reads what the tests appended to a file; nothing if there is none yet.
pub(crate) fn read(file: &Path) -> Result<Vec<Lease>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let mut leases: Vec<Lease> = Vec::new();
    // A process has one lease at a time; its id may be another's later.
    let mut open: HashMap<u32, usize> = HashMap::new();
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["begin", process, at, server, database, backend] => {
                let process = process.parse()?;
                open.insert(process, leases.len());
                leases.push(Lease {
                    process,
                    begin_ns: at.parse()?,
                    end_ns: None,
                    server: (*server).to_owned(),
                    database: (*database).to_owned(),
                    backend: backend.parse()?,
                });
            }
            ["end", process, at] => {
                let lease = open.remove(&process.parse()?).and_then(|index| leases.get_mut(index));
                lease
                    .ok_or_else(|| format!("expected the begin of a lease before {line:?}, found none"))?
                    .end_ns = Some(at.parse()?);
            }
            _ => return Err(format!("expected a line of a lease, found {line:?}").into()),
        }
    }
    Ok(leases)
}

/// Pairs of leases of one database at one time; a killed test's lease is not known to have lasted.
fn overlaps(leases: &[Lease]) -> Vec<String> {
    let mut sorted: Vec<_> = leases.iter().collect();
    sorted.sort_by_key(|lease| (&lease.server, &lease.database, lease.begin_ns));
    let overlap = |pair: &[&Lease]| match pair {
        [first, second] => {
            let same = first.server == second.server && first.database == second.database;
            let end_ns = first.end_ns.unwrap_or(first.begin_ns);
            (same && second.begin_ns < end_ns).then(|| {
                let Lease { process, server, database, .. } = first;
                format!("processes {process} and {} had {database} on {server} at a time", second.process)
            })
        }
        _ => None,
    };
    sorted.windows(2).filter_map(overlap).collect()
}
