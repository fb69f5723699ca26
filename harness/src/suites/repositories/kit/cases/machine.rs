//! Random sequences of operations, one after another and in parallel, against the oracle in memory.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::prelude::*;

use super::super::field::Field;
use super::super::history::{Call, Model, Verdict, verdict};
use super::super::lazily::Lazily;
use super::super::memory::{MemoryRepository, State};
use super::super::spec::Spec;
use super::super::subject::{Store, Subject};
use super::super::value::Record;
use super::super::{Ability, Adapter, Refusal, RefusalKind};
use crate::case::{CaseError, CaseResult};
use crate::property::check_async;

/// How many sequences there are, and how long they are at most.
const SEQUENCES: u32 = 24;
const OPERATIONS_MAX: usize = 60;

/// How many parallel histories there are, of how many callers with how many operations each at most.
const HISTORIES: u32 = 32;
const CALLERS: usize = 3;
const OPERATIONS_OF_CALLER_MAX: usize = 4;

/// How often a history is tried: what concurrent calls do is not the same every time.
const ATTEMPTS: u32 = 2;

/// How many different records there are to choose from: few, so that much happens to each.
const NAMES: u64 = 3;
const PLACES: usize = 3;

/// One call. A record is named by its place, where the insert that made it has put its key.
#[derive(Debug, Clone, PartialEq)]
enum Operation {
    Insert { name: u64, values: u64 },
    Get { record: usize },
    Update { record: usize, field: usize, values: u64 },
    Delete { record: usize },
    Append { record: usize, point: u64 },
    Points { record: usize, limit: u32 },
    List { limit: u32 },
}

/// What can be seen of an answer: keys are the numbers of places, so that two stores can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Done,
    Inserted,
    Record(Record),
    Points(Vec<Record>),
    Records(Vec<(usize, Record)>),
    Refused(RefusalKind),
}

fn operation(spec: &Spec, records: usize) -> BoxedStrategy<Operation> {
    let abilities = spec.abilities();
    let record = 0..records;
    let mut operations: Vec<(u32, BoxedStrategy<Operation>)> = vec![
        (4, (0..NAMES, 0..50_u64).prop_map(|(name, values)| Operation::Insert { name, values }).boxed()),
        (3, record.clone().prop_map(|record| Operation::Get { record }).boxed()),
    ];
    if abilities.contains(&Ability::Update) {
        let update = (record.clone(), 0..8_usize, 0..50_u64)
            .prop_map(|(record, field, values)| Operation::Update { record, field, values });
        operations.push((5, update.boxed()));
    }
    if abilities.contains(&Ability::Delete) {
        operations.push((2, record.clone().prop_map(|record| Operation::Delete { record }).boxed()));
    }
    if abilities.contains(&Ability::Append) {
        let append = (record.clone(), 1..30_u64).prop_map(|(record, point)| Operation::Append { record, point });
        let limit = spec.points_limit_max.min(8);
        let points = (record, 1..=limit).prop_map(|(record, limit)| Operation::Points { record, limit });
        operations.extend([(3, append.boxed()), (2, points.boxed())]);
    }
    if abilities.contains(&Ability::List) {
        // Not the smallest pages: what earlier sequences left is listed as well.
        let list = (spec.list_limit_max.min(20)..=spec.list_limit_max.min(50))
            .prop_map(|limit| Operation::List { limit });
        operations.push((1, list.boxed()));
    }
    proptest::strategy::Union::new_weighted(operations).boxed()
}

/// A store in the course of a sequence: it knows the keys of the inserts.
#[derive(Clone)]
struct Side {
    spec: Arc<Spec>,
    /// By which the records of a sequence differ from those of others in the same store.
    base: u64,
    keys: Arc<Mutex<Vec<Option<String>>>>,
    /// The fields that updates change.
    fields: Arc<Vec<Field>>,
}

impl Side {
    fn new(spec: &Arc<Spec>, base: u64, inserts: usize) -> Self {
        let fields = spec.updatable().filter(|field| !field.unique).cloned().collect();
        let keys = Arc::new(Mutex::new(vec![None; inserts]));
        Self { spec: Arc::clone(spec), base, keys, fields: Arc::new(fields) }
    }

    fn record(&self, name: u64, values: u64) -> Record {
        self.spec.numbered(self.spec.record(values), self.base + name)
    }

    fn changes(&self, field: usize, values: u64) -> Record {
        let index = field.checked_rem(self.fields.len()).unwrap_or(0);
        self.fields.get(index).map_or_else(Record::new, |field| {
            let field = Field { initial: None, ..field.clone() };
            Record::new().with(field.name, field.sample(values))
        })
    }

    fn key(&self, record: usize) -> String {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(record).cloned().flatten().unwrap_or_else(|| (self.spec.missing_key)())
    }

    fn keep(&self, insert: usize, key: String) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = keys.get_mut(insert) {
            *place = Some(key);
        }
    }

    fn numbered(&self, records: Vec<(String, Record)>) -> Vec<(usize, Record)> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: HashMap<_, _> =
            keys.iter().enumerate().filter_map(|(number, key)| Some((key.as_deref()?, number))).collect();
        let mut records: Vec<_> =
            records.into_iter().filter_map(|(key, record)| Some((*numbers.get(key.as_str())?, record))).collect();
        // The order is the store's own: records of one moment lie in that of their keys.
        records.sort_by_key(|(number, _)| *number);
        records
    }

    /// Does what the operation says, an insert with its key at the given place, and tells what was seen.
    async fn apply(&self, store: &dyn Adapter, insert: usize, operation: &Operation) -> Answer {
        let answer = match operation {
            Operation::Insert { name, values } => store.insert(&self.record(*name, *values)).await.map(|key| {
                self.keep(insert, key);
                Answer::Inserted
            }),
            Operation::Get { record } => store.get(&self.key(*record)).await.map(Answer::Record),
            Operation::Update { record, field, values } => {
                store.update(&self.key(*record), &self.changes(*field, *values)).await.map(|()| Answer::Done)
            }
            Operation::Delete { record } => store.delete(&self.key(*record)).await.map(|()| Answer::Done),
            Operation::Append { record, point } => {
                let point = self.spec.point(*point);
                store.append(&self.key(*record), &[point]).await.map(|()| Answer::Done)
            }
            Operation::Points { record, limit } => {
                store.points(&self.key(*record), *limit).await.map(Answer::Points)
            }
            Operation::List { limit } => {
                all(store, *limit).await.map(|records| Answer::Records(self.numbered(records)))
            }
        };
        answer.unwrap_or_else(|refusal| {
            Answer::Refused(match refusal.kind {
                // Whose absence was found first is not of interest.
                RefusalKind::MissingReference => RefusalKind::NotFound,
                kind => kind,
            })
        })
    }
}

/// All records, in pages.
async fn all(store: &dyn Adapter, limit: u32) -> Result<Vec<(String, Record)>, Refusal> {
    let mut records = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..1_000 {
        let page = store.list(limit, cursor.as_deref()).await?;
        records.extend(page.records);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(records);
        }
    }
    Err(Refusal::new(RefusalKind::Other, "the list has no end"))
}

/// Appends of one moment would have an order of the store's own.
fn without_ties(operations: &mut [Operation]) {
    let mut points = std::collections::HashSet::new();
    for operation in operations {
        if let Operation::Append { point, .. } = operation {
            while !points.insert(*point) {
                *point += 30;
            }
        }
    }
}

pub(super) async fn random_operations_equal_the_oracle(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let (seed, spec) = (store.seed, Arc::clone(&store.spec));
    let sequences = Lazily(move || prop::collection::vec(operation(&spec, PLACES), 1..=OPERATIONS_MAX).boxed());
    check_async(seed, SEQUENCES, sequences, move |mut operations| {
        let store = store.clone();
        async move {
            without_ties(&mut operations);
            compare(&store, &operations).await
        }
    })
    .await
}

async fn compare(store: &Store, operations: &[Operation]) -> CaseResult {
    let base = 1_000 + store.number() * NAMES;
    let (real, oracle) = (Side::new(&store.spec, base, PLACES), Side::new(&store.spec, base, PLACES));
    let memory = MemoryRepository::with(Arc::clone(&store.spec), State::default());
    let mut history = String::new();
    for (index, operation) in operations.iter().enumerate() {
        // By its name, so that the others keep their places when an insert is left out to make a failure small.
        let place = match operation {
            Operation::Insert { name, .. } => usize::try_from(*name).unwrap_or(0),
            _ => 0,
        };
        let found = real.apply(&*store.repository, place, operation).await;
        let expected = oracle.apply(&memory, place, operation).await;
        let number = if found == Answer::Inserted { format!(" {place}") } else { String::new() };
        let _ = writeln!(history, "  {:>2}. {operation:?} -> {}{number}", index + 1, found.brief());
        if found != expected {
            return Err(CaseError::failed_with(
                format!("operation {} of {}: the repository differs from the oracle", index + 1, operations.len()),
                format!("{history}  {}", expected.difference(&found)),
            ));
        }
    }
    Ok(())
}

impl Answer {
    /// The answer in a word or two.
    fn brief(&self) -> String {
        match self {
            Self::Done => "done".to_owned(),
            Self::Inserted => "record".to_owned(),
            Self::Record(_) => "the record".to_owned(),
            Self::Points(points) => format!("{} measurements", points.len()),
            Self::Records(records) => format!("{} records", records.len()),
            Self::Refused(kind) => format!("refused: {kind}"),
        }
    }

    /// Where the answer that was found differs from this one.
    fn difference(&self, found: &Self) -> String {
        let field = match (self, found) {
            (Self::Record(expected), Self::Record(found)) => expected.difference(found),
            (Self::Records(expected), Self::Records(found)) if expected.len() == found.len() => {
                expected.iter().zip(found).find_map(|((number, expected), (_, found))| {
                    expected.difference(found).map(|difference| format!("record {number}, {difference}"))
                })
            }
            (Self::Points(expected), Self::Points(found)) if expected.len() == found.len() => {
                expected.iter().zip(found).find_map(|(expected, found)| expected.difference(found))
            }
            _ => None,
        };
        field.unwrap_or_else(|| format!("expected {self:?}, found {found:?}"))
    }
}

/// The oracle in the course of a search for an order.
#[derive(Clone)]
struct Oracle {
    side: Side,
    memory: MemoryRepository,
}

impl Oracle {
    fn copy(&self) -> Self {
        let keys = self.side.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self {
            side: Side { keys: Arc::new(Mutex::new(keys)), ..self.side.clone() },
            memory: MemoryRepository::with(Arc::clone(&self.side.spec), self.memory.snapshot()),
        }
    }
}

/// An oracle that is copied as a whole.
struct Copied(Oracle);

impl Clone for Copied {
    fn clone(&self) -> Self {
        Self(self.0.copy())
    }
}

impl Model for Copied {
    /// The number of the insert that an operation would be, and the operation.
    type Operation = (usize, Operation);
    type Answer = Answer;

    fn apply(&mut self, (insert, operation): &(usize, Operation)) -> Answer {
        let answer = self.0.side.apply(&self.0.memory, *insert, operation);
        // In memory nothing waits.
        answer.now_or_never().unwrap_or(Answer::Refused(RefusalKind::Other))
    }

    fn fingerprint(&self) -> String {
        let keys = self.0.side.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().enumerate().fold(String::new(), |mut text, (number, key)| {
            let seen = key.as_deref().map(|key| {
                let record = self.0.memory.get(key).now_or_never();
                (record, self.0.memory.points(key, self.0.side.spec.points_limit_max).now_or_never())
            });
            // Refusals name random keys.
            let seen = seen.map(|(record, points)| (record.and_then(Result::ok), points.and_then(Result::ok)));
            let _ = write!(text, "{number}{seen:?}");
            text
        })
    }
}

/// What is done first, and then by several callers at once.
#[derive(Debug, Clone)]
struct Parallel {
    first: Vec<Operation>,
    callers: Vec<Vec<Operation>>,
}

fn parallel(spec: &Spec) -> BoxedStrategy<Parallel> {
    // Two records that all callers know; lists in several pages are no single moment.
    let insert = (0..NAMES, 0..50_u64).prop_map(|(name, values)| Operation::Insert { name, values });
    let is_atomic = |operation: &Operation| !matches!(operation, Operation::List { .. });
    let operation = operation(spec, 2).prop_filter("one moment", is_atomic);
    let caller = prop::collection::vec(operation, 1..=OPERATIONS_OF_CALLER_MAX);
    (prop::collection::vec(insert, 1..=2), prop::collection::vec(caller, 2..=CALLERS))
        .prop_map(|(first, mut callers)| {
            let mut all: Vec<_> = callers.iter_mut().flatten().map(|operation| &mut *operation).collect();
            let mut copies: Vec<_> = all.iter().map(|operation| (**operation).clone()).collect();
            without_ties(&mut copies);
            for (operation, copy) in all.iter_mut().zip(copies) {
                **operation = copy;
            }
            Parallel { first, callers }
        })
        .boxed()
}

pub(super) async fn parallel_operations_have_one_order(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let (seed, spec) = (store.seed, Arc::clone(&store.spec));
    let histories = Lazily(move || parallel(&spec));
    check_async(seed, HISTORIES, histories, move |parallel| {
        let store = store.clone();
        async move {
            for _ in 0..ATTEMPTS {
                check_history(&store, &parallel).await?;
            }
            Ok(())
        }
    })
    .await
}

async fn check_history(store: &Store, parallel: &Parallel) -> CaseResult {
    let base = 1_000_000 + store.number() * NAMES;
    let places = 2 + CALLERS * OPERATIONS_OF_CALLER_MAX;
    let real = Side::new(&store.spec, base, places);
    let mut oracle = Copied(Oracle {
        side: Side::new(&store.spec, base, places),
        memory: MemoryRepository::with(Arc::clone(&store.spec), State::default()),
    });
    let mut inserts = 0;
    for operation in &parallel.first {
        let found = real.apply(&*store.repository, inserts, operation).await;
        let expected = oracle.apply(&(inserts, operation.clone()));
        crate::check!(found == expected, "{operation:?}: expected {expected:?}, found {found:?}");
        inserts += usize::from(found == Answer::Inserted);
    }
    let clock = AtomicU64::new(0);
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let callers = parallel.callers.iter().enumerate().map(|(caller, operations)| {
        let (real, tick) = (&real, &tick);
        async move {
            let mut calls = Vec::new();
            for (step, operation) in operations.iter().enumerate() {
                // Records that callers insert are known by nobody else: their places are their own.
                let insert = 2 + caller * OPERATIONS_OF_CALLER_MAX + step;
                let called = tick();
                let answer = real.apply(&*store.repository, insert, operation).await;
                calls.push(Call { called, answered: tick(), operation: (insert, operation.clone()), answer });
            }
            calls
        }
    });
    let calls: Vec<Vec<_>> = join_all(callers).await;
    let mut all: Vec<_> = calls.iter().flatten().cloned().collect();
    // What is there in the end is a part of the history.
    for record in 0..2 {
        for operation in
            [Operation::Get { record }, Operation::Points { record, limit: 8.min(store.spec.points_limit_max) }]
        {
            if matches!(operation, Operation::Points { .. }) && !store.spec.abilities().contains(&Ability::Append)
            {
                continue;
            }
            let called = tick();
            let answer = real.apply(&*store.repository, 0, &operation).await;
            all.push(Call { called, answered: tick(), operation: (0, operation), answer });
        }
    }
    match verdict(&oracle, &all) {
        Verdict::Linearizable | Verdict::Unknown => Ok(()),
        Verdict::Impossible => Err(CaseError::failed_with(
            "parallel operations: expected answers that could have been given one after another, found others",
            told(&calls, &all),
        )),
    }
}

/// A history to be read: for each caller what it asked, what it got, and when.
fn told(calls: &[Vec<Call<(usize, Operation), Answer>>], all: &[Call<(usize, Operation), Answer>]) -> String {
    let mut text = String::new();
    let line = |call: &Call<(usize, Operation), Answer>| {
        format!("  [{:>2}, {:>2}] {:?} -> {:?}\n", call.called, call.answered, call.operation.1, call.answer)
    };
    for (caller, calls) in calls.iter().enumerate() {
        let _ = writeln!(text, "caller {}:", caller + 1);
        text.extend(calls.iter().map(line));
    }
    text += "afterwards:\n";
    text.extend(all.iter().skip(calls.iter().map(Vec::len).sum()).map(line));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_of_a_sequence_have_moments_of_their_own() {
        let append = |point| Operation::Append { record: 0, point };
        let mut operations = vec![append(1), append(1), append(31), append(1)];
        without_ties(&mut operations);
        let points: std::collections::HashSet<_> =
            operations.iter().map(|operation| format!("{operation:?}")).collect();
        assert_eq!(points.len(), 4);
    }
}
