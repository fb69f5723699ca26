//! Faulty repositories in memory: each is the oracle with one fault.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Timelike as _, Utc};
use proofmark_harness::suites::repositories::kit::{
    Ability, Adapter, Database, Field, Listed, MemoryRepository, Record, Refusal, RefusalKind, Spec, Value,
    async_trait, reference_spec,
};
use serde_json::Value as Json;

/// What is wrong with the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    TrimsText,
    ReplacesEmoji,
    StoresEmptyAsAbsent,
    CutsAtNul,
    CutsAt64Kilobytes,
    CutsLongNames,
    StripsSemicolons,
    FindsByPattern,
    AcceptsAnyChoice,
    StoresSinglePrecision,
    DropsTheSignOfZero,
    StoresNanAsAbsent,
    StoresIntegersAsDoubles,
    ClampsNumbers,
    KeepsMilliseconds,
    RoundsToSeconds,
    DropsNullsInJson,
    ReadsJsonNumbersAsDoubles,
    StripsNulInJson,
    DefaultsWhatIsAbsent,
    GetsTheLast,
    StartsAsOld,
    MakesUpMissingRecords,
    Overwrites,
    StoresBeforeItChecks,
    ResetsOtherFields,
    IgnoresAbsentChanges,
    TouchesOnEmptyUpdates,
    UpdatesTheMissing,
    AppliesBeforeItValidates,
    UpdatesTakenKeys,
    KeepsDeletedRecords,
    DeletesTheMissing,
    ReservesDeletedNames,
    ReturnsPointsAsTheyCame,
    MixesPoints,
    ShufflesTies,
    AppendsToTheMissing,
    RefusesEmptyAppends,
    ClampsPointLimits,
    HasABindLimit,
    AppendsUpToTheBadPoint,
    AppendsTwice,
    MeasuresInSinglePrecision,
    ClampsMeasures,
    HasACursorBehindNothing,
    SkipsBetweenPages,
    ListsWithoutBody,
    HasACursorBehindAFullPage,
    SkipsTies,
    PagesByOffsetFromTheNewest,
    PagesByOffset,
    ClampsLimits,
    BelievesAnyCursor,
    CountsForKeys,
    ChecksThenInserts,
    ReadsThenUpdates,
    ReadsThenAppends,
    ChecksThenDeletes,
    UpdatesInSteps,
    ForgetsTheThirdUpdate,
}

/// The oracle, and what a fault needs beside it.
pub(crate) struct Faulty {
    fault: Fault,
    base: MemoryRepository,
    state: Mutex<State>,
    calls: AtomicUsize,
}

#[derive(Default)]
struct State {
    last: Option<String>,
    deleted: HashMap<String, Record>,
    names: Vec<Value>,
    order: Vec<String>,
    tied: Vec<String>,
    points: Vec<(String, Record)>,
    keys: HashMap<String, String>,
    updates: HashMap<String, u32>,
}

/// The reference's fields with none that must be unique, and texts, numbers and choices of any kind.
fn lenient() -> Spec {
    let fields = [
        Field::text("name"),
        Field::text("body").optional(),
        Field::text("note"),
        Field::integer("total"),
        Field::integer("level"),
        Field::float("score").optional(),
        Field::float("ratio"),
        Field::boolean("visible"),
        Field::time("seen_at"),
        Field::json("labels").optional(),
        Field::text("state"),
        Field::text("phase"),
    ];
    let points = [Field::float("value"), Field::float("share").optional()];
    Spec::new("lenient", fields).points("at", points).can(&[Ability::AppendMany])
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Self {
        let is_lenient = matches!(
            fault,
            Fault::AcceptsAnyChoice
                | Fault::UpdatesTakenKeys
                | Fault::ChecksThenInserts
                | Fault::AppendsTwice
                | Fault::StoresBeforeItChecks
                | Fault::AppliesBeforeItValidates
        );
        let spec = if is_lenient { lenient() } else { reference_spec() };
        let base = MemoryRepository::new(spec);
        Self { fault, base, state: Mutex::default(), calls: AtomicUsize::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others go on, for a while.
    async fn dawdle(&self) {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    /// What becomes of a value on its way in.
    fn stored(&self, name: &str, value: Value) -> Value {
        match (self.fault, value) {
            (Fault::TrimsText, Value::Text(text)) => text.trim_end().into(),
            (Fault::ReplacesEmoji, Value::Text(text)) => text.replace(|c| c > '\u{ffff}', "?").into(),
            (Fault::StoresEmptyAsAbsent, Value::Text(text)) if text.is_empty() && name == "body" => Value::Absent,
            (Fault::CutsAtNul, Value::Text(text)) => text.split('\0').next().unwrap_or_default().into(),
            (Fault::CutsAt64Kilobytes, Value::Text(text)) => text.chars().take(65_535).collect::<String>().into(),
            (Fault::CutsLongNames, Value::Text(text)) if name == "name" => {
                text.chars().take(200).collect::<String>().into()
            }
            (Fault::StripsSemicolons, Value::Text(text)) => text.replace(';', "").into(),
            (Fault::StoresSinglePrecision, Value::Float(value)) => f64::from(single(value)).into(),
            (Fault::DropsTheSignOfZero, Value::Float(value)) => (value + 0.0).into(),
            (Fault::StoresNanAsAbsent, Value::Float(value)) if value.is_nan() && name == "score" => Value::Absent,
            (Fault::StoresIntegersAsDoubles, Value::Integer(value)) => through_double(value).into(),
            (Fault::ClampsNumbers, Value::Float(value)) if name == "ratio" && !value.is_nan() => {
                value.clamp(0.0, 1.0).into()
            }
            (Fault::ClampsNumbers, Value::Integer(value)) if name == "level" => value.clamp(0, 100).into(),
            (Fault::KeepsMilliseconds, Value::Time(time)) => {
                time.with_nanosecond(time.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(time).into()
            }
            (Fault::RoundsToSeconds, Value::Time(time)) if time.nanosecond() % 1_000 != 0 => {
                time.with_nanosecond(0).unwrap_or(time).into()
            }
            (Fault::DropsNullsInJson, Value::Json(json)) => Value::Json(without_nulls(json)),
            (Fault::ReadsJsonNumbersAsDoubles, Value::Json(json)) => Value::Json(as_doubles(json)),
            (Fault::StripsNulInJson, Value::Json(json)) => {
                serde_json::from_str(&json.to_string().replace("\\u0000", "")).map_or(Value::Absent, Value::Json)
            }
            (Fault::DefaultsWhatIsAbsent, Value::Absent) if name == "body" => "".into(),
            (_, value) => value,
        }
    }

    fn all_stored(&self, record: &Record) -> Record {
        record.iter().fold(Record::new(), |all, (name, value)| all.with(name, self.stored(name, value.clone())))
    }

    /// The record of this name, if there is one.
    async fn named(&self, name: Option<&Value>) -> Option<String> {
        let name = name?;
        let found = self.base.find("name", name).await.ok()?;
        found.into_iter().next()
    }
}

fn conflict() -> Refusal {
    Refusal::new(RefusalKind::Conflict, "the name is taken")
}

#[expect(clippy::cast_possible_truncation, reason = "this is the fault")]
fn single(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "this is the fault")]
fn through_double(value: i64) -> i64 {
    value as f64 as i64
}

fn without_nulls(json: Json) -> Json {
    match json {
        Json::Object(map) => {
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect()
        }
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        json => json,
    }
}

fn as_doubles(json: Json) -> Json {
    match json {
        Json::Number(number) => number.as_f64().map_or(Json::Null, Json::from),
        Json::Object(map) => map.into_iter().map(|(k, v)| (k, as_doubles(v))).collect(),
        Json::Array(items) => items.into_iter().map(as_doubles).collect(),
        json => json,
    }
}

#[async_trait]
impl Adapter for Faulty {
    fn spec() -> Spec {
        reference_spec()
    }

    async fn open(_: &Database) -> Result<Self, Refusal> {
        Ok(Self::new(Fault::None))
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let record = self.all_stored(record);
        let name = record.get("name").cloned();
        match self.fault {
            Fault::Overwrites => {
                if let Some(key) = self.named(name.as_ref()).await {
                    self.base.update(&key, &record).await?;
                    return Ok(key);
                }
            }
            Fault::StoresBeforeItChecks => {
                let taken = self.named(name.as_ref()).await.is_some();
                let key = self.base.insert(&record).await?;
                return if taken { Err(conflict()) } else { Ok(key) };
            }
            Fault::ChecksThenInserts => {
                let taken = self.named(name.as_ref()).await.is_some();
                self.dawdle().await;
                return if taken { Err(conflict()) } else { self.base.insert(&record).await };
            }
            Fault::ReservesDeletedNames if name.as_ref().is_some_and(|name| self.state().names.contains(name)) => {
                return Err(conflict());
            }
            _ => {}
        }
        let count = self.state().order.len();
        if self.fault == Fault::CountsForKeys {
            self.dawdle().await;
        }
        let key = self.base.insert(&record).await?;
        if self.fault == Fault::StartsAsOld {
            self.base.update(&key, &Record::new().with("phase", "old")).await?;
        }
        let mut state = self.state();
        state.last = Some(key.clone());
        state.order.push(key.clone());
        if self.fault == Fault::CountsForKeys {
            let counted = format!("{count}");
            state.keys.insert(counted.clone(), key);
            return Ok(counted);
        }
        Ok(key)
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        match self.fault {
            Fault::GetsTheLast => {
                let last = self.state().last.clone();
                self.base.get(last.as_deref().unwrap_or(key)).await
            }
            Fault::CountsForKeys => {
                let known = self.state().keys.get(key).cloned();
                self.base.get(known.as_deref().unwrap_or(key)).await
            }
            Fault::MakesUpMissingRecords => Ok(self.base.get(key).await.unwrap_or_default()),
            Fault::KeepsDeletedRecords => match self.base.get(key).await {
                Err(refusal) => self.state().deleted.get(key).cloned().ok_or(refusal),
                found => found,
            },
            _ => self.base.get(key).await,
        }
    }

    async fn update(&self, key: &str, changes: &Record) -> Result<(), Refusal> {
        let changes = self.all_stored(changes);
        match self.fault {
            Fault::ResetsOtherFields => {
                self.base.update(key, &Record::new().with("body", Value::Absent).with("total", 0)).await?;
                self.base.update(key, &changes).await
            }
            Fault::IgnoresAbsentChanges => {
                let changes = changes
                    .iter()
                    .filter(|(_, value)| **value != Value::Absent)
                    .fold(Record::new(), |all, (name, value)| all.with(name, value.clone()));
                self.base.update(key, &changes).await
            }
            Fault::TouchesOnEmptyUpdates if changes == Record::new() => {
                self.base.update(key, &Record::new().with("note", "")).await
            }
            Fault::UpdatesTheMissing => match self.base.update(key, &changes).await {
                Err(refusal) if refusal.kind == RefusalKind::NotFound => Ok(()),
                result => result,
            },
            Fault::AppliesBeforeItValidates => {
                self.base.get(key).await?;
                let mut result = Ok(());
                for (name, value) in changes.iter() {
                    let change = Record::new().with(name, value.clone());
                    let checked = MemoryRepository::new(reference_spec());
                    let sample = checked.insert(&reference_spec().record(1)).await?;
                    match checked.update(&sample, &change).await {
                        Ok(()) => self.base.update(key, &change).await?,
                        Err(refusal) => result = Err(refusal),
                    }
                }
                result
            }
            Fault::ReadsThenUpdates => {
                let mut record = self.base.get(key).await?;
                self.dawdle().await;
                record.apply(&changes);
                self.base.update(key, &record).await
            }
            Fault::UpdatesInSteps => {
                for (name, value) in changes.iter() {
                    self.base.update(key, &Record::new().with(name, value.clone())).await?;
                    self.dawdle().await;
                }
                Ok(())
            }
            Fault::ForgetsTheThirdUpdate => {
                self.base.get(key).await?;
                let count = {
                    let mut state = self.state();
                    let count = state.updates.entry(key.to_owned()).or_insert(0_u32);
                    *count += 1;
                    *count
                };
                if count == 3 { Ok(()) } else { self.base.update(key, &changes).await }
            }
            _ => self.base.update(key, &changes).await,
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Refusal> {
        let known = self.base.get(key).await;
        match self.fault {
            Fault::DeletesTheMissing if known.is_err() => return Ok(()),
            Fault::ChecksThenDeletes if known.is_ok() => {
                self.dawdle().await;
                let _ = self.base.delete(key).await;
                return Ok(());
            }
            _ => {}
        }
        self.base.delete(key).await?;
        let record = known?;
        let mut state = self.state();
        state.names.extend(record.get("name").cloned());
        state.deleted.insert(key.to_owned(), record);
        Ok(())
    }

    async fn list(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let limit = if self.fault == Fault::ClampsLimits { limit.clamp(1, 100) } else { limit };
        let cursor_of = |text: &str| text.strip_prefix('o').and_then(|offset| offset.parse::<usize>().ok());
        match self.fault {
            Fault::BelievesAnyCursor => {
                let listed = self.base.list(limit, cursor).await;
                match listed {
                    Err(refusal) if refusal.kind == RefusalKind::Cursor => self.base.list(limit, None).await,
                    listed => listed,
                }
            }
            Fault::HasACursorBehindNothing | Fault::HasACursorBehindAFullPage => {
                if cursor == Some("end") {
                    return Ok(Listed::default());
                }
                let mut listed = self.base.list(limit, cursor).await?;
                let is_full = usize::try_from(limit) == Ok(listed.records.len());
                let is_empty = listed.records.is_empty();
                if listed.next.is_none()
                    && (self.fault == Fault::HasACursorBehindNothing && is_empty
                        || self.fault == Fault::HasACursorBehindAFullPage && is_full)
                {
                    listed.next = Some("end".to_owned());
                }
                Ok(listed)
            }
            Fault::SkipsBetweenPages => {
                let mut listed = self.base.list(limit, cursor).await?;
                if let Some(next) = &listed.next {
                    listed.next = self.base.list(1, Some(next)).await?.next;
                }
                Ok(listed)
            }
            Fault::ListsWithoutBody => {
                let mut listed = self.base.list(limit, cursor).await?;
                for (_, record) in &mut listed.records {
                    record.set("body", Value::Absent);
                }
                Ok(listed)
            }
            Fault::SkipsTies => {
                let mut listed = self.base.list(limit, cursor).await?;
                // What ties with the last of a page is behind it.
                let tied = self.state().tied.clone();
                let mut next = listed.next.take();
                if listed.records.last().is_some_and(|(key, _)| tied.contains(key)) {
                    while let Some(cursor) = next.clone() {
                        let one = self.base.list(1, Some(&cursor)).await?;
                        if one.records.first().is_none_or(|(key, _)| !tied.contains(key)) {
                            break;
                        }
                        next = one.next;
                    }
                }
                listed.next = next;
                Ok(listed)
            }
            Fault::PagesByOffset | Fault::PagesByOffsetFromTheNewest => {
                self.base.list(limit, None).await?;
                let bad = || Refusal::new(RefusalKind::Cursor, "none of ours");
                let offset = match cursor {
                    None => 0,
                    Some(text) => cursor_of(text).ok_or_else(bad)?,
                };
                let mut keys = self.state().order.clone();
                let mut all = Vec::new();
                if self.fault == Fault::PagesByOffsetFromTheNewest {
                    keys.reverse();
                }
                for key in keys {
                    if let Ok(record) = self.base.get(&key).await {
                        all.push((key, record));
                    }
                }
                let limit = usize::try_from(limit).unwrap_or(0);
                let next = (all.len() > offset + limit).then(|| format!("o{}", offset + limit));
                Ok(Listed { records: all.into_iter().skip(offset).take(limit).collect(), next })
            }
            _ => self.base.list(limit, cursor).await,
        }
    }

    async fn find(&self, field: &'static str, value: &Value) -> Result<Vec<String>, Refusal> {
        let (Fault::FindsByPattern, Value::Text(pattern)) = (self.fault, value) else {
            return self.base.find(field, value).await;
        };
        let keys = self.state().order.clone();
        let mut found = Vec::new();
        for key in keys {
            let record = self.base.get(&key).await.unwrap_or_default();
            if record.text(field).is_some_and(|text| is_like(text, pattern)) {
                found.push(key);
            }
        }
        Ok(found)
    }

    async fn tie(&self, keys: &[String]) -> Result<(), Refusal> {
        self.state().tied = keys.to_vec();
        self.base.tie(keys).await
    }

    async fn append(&self, key: &str, points: &[Record]) -> Result<(), Refusal> {
        let measured = |point: &Record| {
            point.iter().fold(Record::new(), |all, (name, value)| {
                let value = match (self.fault, value.clone()) {
                    (Fault::MeasuresInSinglePrecision, Value::Float(value)) => f64::from(single(value)).into(),
                    (Fault::ClampsMeasures, Value::Float(value)) if name == "share" && !value.is_nan() => {
                        value.clamp(0.0, 1.0).into()
                    }
                    (_, value) => value,
                };
                all.with(name, value)
            })
        };
        let points: Vec<_> = points.iter().map(measured).collect();
        match self.fault {
            Fault::AppendsToTheMissing if self.base.get(key).await.is_err() => return Ok(()),
            Fault::RefusesEmptyAppends if points.is_empty() => {
                return Err(Refusal::new(RefusalKind::Invalid, "expected measurements"));
            }
            Fault::HasABindLimit if points.len() * 4 > 65_535 => {
                return Err(Refusal::new(RefusalKind::Other, "too many parameters"));
            }
            Fault::AppendsUpToTheBadPoint => {
                for point in &points {
                    self.base.append(key, std::slice::from_ref(point)).await?;
                }
                return Ok(());
            }
            Fault::ReadsThenAppends => {
                let before = self.base.points(key, 100).await?;
                self.dawdle().await;
                if self.base.points(key, 100).await? != before {
                    // The other one's answer stands, and this one is lost.
                    return Ok(());
                }
            }
            _ => {}
        }
        self.base.append(key, &points).await?;
        let mut state = self.state();
        state.points.extend(points.into_iter().map(|point| (key.to_owned(), point)));
        Ok(())
    }

    async fn points(&self, key: &str, limit: u32) -> Result<Vec<Record>, Refusal> {
        let limit = if self.fault == Fault::ClampsPointLimits { limit.clamp(1, 100) } else { limit };
        let found = self.base.points(key, limit).await?;
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let limit = usize::try_from(limit).unwrap_or(0);
        let state = self.state();
        let came = |all: bool| {
            let points = state.points.iter().rev().filter(|(own, _)| all || own == key);
            points.map(|(_, point)| point.clone()).take(limit).collect::<Vec<_>>()
        };
        Ok(match self.fault {
            Fault::ReturnsPointsAsTheyCame => came(false),
            Fault::MixesPoints => came(true),
            Fault::ShufflesTies if call % 2 == 1 => {
                // Those of one moment the other way round.
                let time = |point: &Record| point.time("at").unwrap_or(DateTime::<Utc>::MIN_UTC);
                let mut all = came(false);
                all.sort_by_key(|point| std::cmp::Reverse(time(point)));
                all.reverse();
                all.sort_by_key(|point| std::cmp::Reverse(time(point)));
                all.truncate(found.len());
                all
            }
            _ => found,
        })
    }
}

/// SQL's LIKE, without escapes.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    if first == '%' {
        return text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| is_like(&text[at..], rest));
    }
    let mut characters = text.chars();
    characters.next().is_some_and(|found| (first == '_' || first == found) && is_like(characters.as_str(), rest))
}
