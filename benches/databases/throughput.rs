//! The same tests with every kind of database: wall time of a whole nextest run.

use std::time::Instant;

use crate::peers::{Peers, Run};
use crate::random::Random;
use crate::report::{Report, Target};
use crate::server::PeerServer;
use crate::{Plan, Result};

const PART: &str = "throughput";

/// In the order in which they run, and what they are. Those of the harness start their servers themselves, and that
/// is part of their time; the others are given one that runs.
const PEERS: [(&str, &str); 5] = [
    ("noop", "tests that do nothing"),
    ("connect", "connect and `SELECT 1`"),
    ("acquire", "`TestDatabase::acquire`"),
    ("clone", "`TestDatabase::acquire_fresh`"),
    ("sqlx_test", "`#[sqlx::test]`"),
];

/// Slower, faster, and what the times of the first over those of the second should be.
const RATIOS: [(&str, &str, Target); 3] = [
    ("acquire", "connect", Target::AtMost(1.6)),
    ("clone", "acquire", Target::AtLeast(3.0)),
    ("sqlx_test", "acquire", Target::AtLeast(10.0)),
];

pub(crate) fn measure(peers: &Peers, plan: Plan, _: &mut Random, report: &mut Report) -> Result<()> {
    let server = PeerServer::start()?;
    let url = server.socket_url()?;
    let logs = tempfile::tempdir()?;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); PEERS.len()];
    // A B C A B C, so that noise hits all alike; what is first to be run is run once for nothing.
    for round in 0..=plan.rounds {
        for ((peer, _), times) in PEERS.iter().zip(&mut times) {
            let mut command = peers.run(peer, if round == 0 { 10 } else { plan.tests })?;
            command.env("DATABASE_URL", &url);
            let started = Instant::now();
            let ended = Run::start(command, logs.path())?.wait()?;
            let seconds = started.elapsed().as_secs_f64();
            if round == 0 {
                ended.expect(10).map_err(|error| format!("{peer}: {error}"))?;
                continue;
            }
            ended.expect(plan.tests).map_err(|error| format!("{peer}: {error}"))?;
            println!("  {PART}, round {round}: {peer} {seconds:.2} s");
            times.push(seconds);
        }
    }
    let of = |name: &str| PEERS.iter().zip(&times).find(|((peer, _), _)| *peer == name).map(|(_, times)| times);
    for ((peer, what), times) in PEERS.iter().zip(&times) {
        let what = format!("{} tests, {peer}: {what}", plan.tests);
        report.add(PART, what, "s", times.clone(), None);
    }
    for (slower, faster, target) in RATIOS {
        // Each round's own, as what disturbs a round disturbs both.
        if let (Some(slow), Some(fast)) = (of(slower), of(faster)) {
            let ratios = slow.iter().zip(fast).map(|(slow, fast)| slow / fast).collect();
            report.add(PART, format!("{slower} / {faster}"), "×", ratios, Some(target));
        }
    }
    Ok(())
}
