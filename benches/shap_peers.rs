//! The explanation engine beside its peers, in one run: `cargo bench --bench shap_peers`.
//!
//! The peers are Python packages with pinned versions (`benches/peers/shap`), in an environment of their own under
//! `target`. Everything runs on one thread and is measured in processor time; a single row in real time. An engine's
//! answers are compared before its speed counts. Rounds are interleaved, so that whatever else the machine does hits
//! all engines; the table shows medians.
//!
//! Arguments: the models (`ABCD`), and then tasks (`values`, `one`, `interventional`, `large-background`,
//! `interactions`) and peers (`xgboost`, `lightgbm`, `shap`, `shapiq`, `woodelf`) in any order; without, everything, which
//! takes hours on a slow machine: `woodelf` is fast for many rows only, and gets as many.
#![allow(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints small numbers"
)]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use proofmark::explain::{
    Batch, Budget, Explainer, Explanation, InterventionalTreeExplainer, Precision, TreeExplainer, TreeOptions,
};
use proofmark::model::{Model, TreeEnsemble};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 5;
const FEATURES: usize = 20;

/// Rows for each engine: enough for a second or so, not the same for all.
struct Task {
    name: &'static str,
    background: usize,
    /// For this engine.
    rows: usize,
    peers: &'static [(&'static str, usize)],
}

const TASKS: &[Task] = &[
    Task {
        name: "values",
        background: 0,
        rows: 10_000,
        peers: &[("xgboost", 500), ("lightgbm", 100), ("shapiq", 50), ("woodelf", 10_000)],
    },
    Task {
        name: "one",
        background: 0,
        rows: 1,
        peers: &[("xgboost", 1), ("lightgbm", 1), ("shap", 1), ("shapiq", 1)],
    },
    Task {
        name: "interventional",
        background: 100,
        rows: 10_000,
        peers: &[("shap", 50), ("shapiq", 50), ("woodelf", 10_000)],
    },
    Task { name: "large-background", background: 10_000, rows: 10_000, peers: &[("woodelf", 10_000)] },
    Task {
        name: "interactions",
        background: 0,
        rows: 2_000,
        peers: &[("xgboost", 100), ("shapiq", 20), ("woodelf", 2_000)],
    },
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let models = arguments.first().map_or("ABCD", String::as_str).to_owned();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = root.join("benches/peers/shap");
    let python = output(&mut Command::new(scripts.join("environment.sh")))?;
    let folder = Path::new(&python).ancestors().nth(3).ok_or("no folder of the environment")?.to_owned();
    output(Command::new(&python).arg(scripts.join("models.py")).arg(&folder))?;
    let rows = read_rows(&folder.join("rows.npy"))?;
    let mut peers = Peers::start(&python, &scripts.join("peers.py"), &folder)?;
    let (tasks, chosen): (Vec<&String>, Vec<&String>) =
        arguments.iter().skip(1).partition(|name| TASKS.iter().any(|task| task.name == name.as_str()));
    let is_peer = |peer: &str| chosen.is_empty() || chosen.iter().any(|name| *name == peer);
    for task in TASKS.iter().filter(|task| tasks.is_empty() || tasks.iter().any(|name| *name == task.name)) {
        for model in models.chars() {
            measure(task, model, &folder, &rows, &mut peers, &is_peer)?;
        }
    }
    Ok(())
}

/// Measures one task on one model, and prints a line for each engine.
fn measure(
    task: &Task,
    model: char,
    folder: &Path,
    rows: &[Vec<f64>],
    peers: &mut Peers,
    is_chosen: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let Model::Trees(trees) = Model::from_file(&folder.join(format!("{model}.json")))? else {
        return Err(format!("expected trees in {model}.json, found another model").into());
    };
    let engines = engines(task, &trees, rows)?;
    let batch = Batch::from_rows(&rows[..task.rows]);
    let reference = (engines[0].explain)(&batch)?;
    let mut lines: Vec<(String, Vec<f64>)> = Vec::new();
    let mut errors = Vec::new();
    let mut sound_peers = Vec::new();
    for (peer, count) in task.peers {
        if *peer == "lightgbm" && model != 'C' || !is_chosen(peer) {
            continue;
        }
        let answers = folder.join("answers.npy");
        let _ = std::fs::remove_file(&answers);
        let request = json!({"task": task.name.replace("large-background", "interventional"), "model": model.to_string(),
            "peer": peer, "rows": count, "background": task.background, "repetitions": 100, "answers": answers});
        let answer = peers.ask(&request)?;
        if let Some(error) = answer["error"].as_str() {
            errors.push(format!("{peer} fails: {error}"));
            continue;
        }
        if task.name != "interactions" {
            let difference = difference(&answers, &reference, *count)?;
            if difference > 1e-3 {
                errors.push(format!("{peer} is wrong: off by {difference:.1e} of the largest value"));
                continue;
            }
        }
        sound_peers.push((request, *count));
        lines.push(((*peer).to_owned(), Vec::new()));
    }
    lines.extend(engines.iter().map(|engine| (engine.name.to_owned(), Vec::new())));
    for _ in 0..ROUNDS {
        for (place, (request, count)) in sound_peers.iter().enumerate() {
            let mut request = request.clone();
            request["answers"] = Value::Null;
            let seconds = peers.ask(&request)?["seconds"].as_f64().ok_or("no seconds")?;
            lines[place].1.push(*count as f64 / seconds);
        }
        for (place, engine) in engines.iter().enumerate() {
            let seconds =
                if task.name == "one" { real_time(engine, &batch)? } else { processor_time(engine, &batch)? };
            lines[sound_peers.len() + place].1.push(task.rows as f64 / seconds);
        }
    }
    let best = lines[..sound_peers.len()].iter().map(|line| median(&line.1)).fold(f64::NAN, f64::max);
    for (name, rates) in &lines {
        let rate = median(rates);
        let one = if task.name == "one" { format!(" ({:.3} ms)", 1e3 / rate) } else { String::new() };
        println!("{} {model} {name}: {rate:.0} rows/s{one}, {:.1} x the best peer", task.name, rate / best);
    }
    for error in errors {
        println!("{} {model} {error}", task.name);
    }
    Ok(())
}

/// Explains a batch.
type Explain = Box<dyn Fn(&Batch) -> Result<Explanation>>;

/// One way to explain with the engine.
struct Engine {
    name: &'static str,
    explain: Explain,
}

fn engines(task: &Task, trees: &TreeEnsemble, rows: &[Vec<f64>]) -> Result<Vec<Engine>> {
    let budget = Budget { memory_bytes: 8 << 30, ..Budget::default() };
    if task.background > 0 {
        let start = Instant::now();
        let background = Batch::from_rows(&rows[rows.len() - task.background..]);
        let explainer = InterventionalTreeExplainer::new(trees.clone(), &background)?;
        println!("{}: prepared in {:?}, {} MB", task.name, start.elapsed(), explainer.prepared_bytes() >> 20);
        let explain = move |batch: &Batch| Ok(explainer.explain(batch, &budget)?);
        return Ok(vec![Engine { name: "proofmark", explain: Box::new(explain) }]);
    }
    let mut engines = Vec::new();
    for (name, precision) in [("proofmark", Precision::Double), ("proofmark, fast mode", Precision::Single)] {
        let options = TreeOptions { precision, ..TreeOptions::default() };
        let explainer = TreeExplainer::with_options(trees.clone(), options)?;
        let interactions = task.name == "interactions";
        let explain = move |batch: &Batch| {
            Ok(if interactions {
                explainer.explain_interactions(batch, &budget)?
            } else {
                explainer.explain(batch, &budget)?
            })
        };
        engines.push(Engine { name, explain: Box::new(explain) });
    }
    Ok(engines)
}

/// The seconds that this thread computes.
fn processor_time(engine: &Engine, batch: &Batch) -> Result<f64> {
    let clock = || -> Result<f64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        Ok(text.split(' ').next().ok_or("no time")?.parse::<f64>()? / 1e9)
    };
    let start = clock()?;
    (engine.explain)(batch)?;
    Ok(clock()? - start)
}

/// The median of the seconds until a row is explained.
fn real_time(engine: &Engine, batch: &Batch) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..100 {
        let start = Instant::now();
        (engine.explain)(batch)?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(median(&times))
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The largest difference of a peer's values, relative to the largest value.
fn difference(answers: &Path, explanation: &Explanation, count: usize) -> Result<f64> {
    let answers = read_numbers(answers, 8, |bytes| bytes.try_into().map(f64::from_le_bytes).unwrap_or(f64::NAN))?;
    let (mut difference, mut largest) = (0.0_f64, 0.0_f64);
    for (row, answers) in explanation.rows().iter().zip(answers.chunks_exact(FEATURES)).take(count) {
        for (value, answer) in row.as_ref().map_err(Clone::clone)?.values().iter().zip(answers) {
            let off = (value - answer).abs();
            difference = if off > difference || off.is_nan() { off } else { difference };
            largest = if value.abs() > largest { value.abs() } else { largest };
        }
    }
    Ok(difference / largest)
}

fn read_rows(path: &Path) -> Result<Vec<Vec<f64>>> {
    let numbers = read_numbers(path, 4, |bytes| {
        bytes.try_into().map_or(f64::NAN, |bytes| f64::from(f32::from_le_bytes(bytes)))
    })?;
    Ok(numbers.chunks_exact(FEATURES).map(<[f64]>::to_vec).collect())
}

/// The numbers of a file of NumPy's, version 1.
fn read_numbers(path: &Path, size: usize, number: impl Fn(&[u8]) -> f64) -> Result<Vec<f64>> {
    let bytes = std::fs::read(path)?;
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    Ok(bytes[header..].chunks_exact(size).map(number).collect())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The process that runs the peers.
struct Peers {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Peers {
    fn start(python: &str, script: &PathBuf, folder: &Path) -> Result<Self> {
        let mut command = Command::new(python);
        command.arg(script).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().ok_or("no output")?);
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    fn ask(&mut self, request: &Value) -> Result<Value> {
        let input = self.input.as_mut().ok_or("no input")?;
        writeln!(input, "{request}")?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("the peers ended at {request}").into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}
