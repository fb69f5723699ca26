//! The oracle: a repository in memory that does what the kit expects of every repository, and no more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::ability::Ability;
use super::adapter::{Adapter, Database, Listed, Refusal, RefusalKind};
use super::field::Field;
use super::spec::Spec;
use super::value::{Record, Value};

/// Records in memory, by the rules of a [`Spec`]. Clones share them.
#[derive(Debug, Clone)]
pub struct MemoryRepository {
    spec: Arc<Spec>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    inserted: u64,
    /// In the order of lists: by place, and then by key.
    places: BTreeMap<String, u64>,
    records: BTreeMap<String, Record>,
    points: HashMap<String, Vec<Record>>,
}

/// A repository with fields of every kind, and all that can be declared: what the kit is proved with.
#[must_use]
pub fn reference_spec() -> Spec {
    let fields = [
        Field::text("name").characters_max(200).not_empty().unique().searchable(),
        Field::text("body").optional(),
        Field::text("note"),
        Field::integer("total"),
        Field::integer_between("level", 0, 100),
        Field::float("score").optional(),
        Field::float_between("ratio", 0.0, 1.0),
        Field::boolean("visible"),
        Field::time("seen_at"),
        Field::json("labels").optional(),
        Field::choice("state", &["open", "closed", "rolled_back"]),
        Field::choice("phase", &["new", "old"]).starts_as("new"),
    ];
    let points = [Field::float("value"), Field::float_between("share", 0.0, 1.0).optional()];
    Spec::new("reference", fields).points("at", points).can(&[
        Ability::Update,
        Ability::Delete,
        Ability::List,
        Ability::UpdateMany,
        Ability::Tie,
        Ability::AppendMany,
        Ability::AppendOnce,
    ])
}

impl MemoryRepository {
    /// An empty one for records of this kind.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        Self::with(Arc::new(spec), State::default())
    }

    pub(super) fn with(spec: Arc<Spec>, state: State) -> Self {
        Self { spec, state: Arc::new(Mutex::new(state)) }
    }

    /// What it holds now.
    pub(super) fn snapshot(&self) -> State {
        self.state().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No operation leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn validate(fields: &[Field], record: &Record) -> Result<(), Refusal> {
        for (name, value) in record.iter() {
            let field = fields.iter().find(|field| field.name == name);
            if !field.is_some_and(|field| field.accepts(value)) {
                return Err(Refusal::new(RefusalKind::Invalid, format!("{name} cannot be {value:?}")));
            }
        }
        Ok(())
    }

    /// Refuses a record that another one than that of the key has the unique fields of.
    fn check_unique(&self, state: &State, record: &Record, own: Option<&str>) -> Result<(), Refusal> {
        let unique: Vec<_> = self.spec.unique().map(|field| field.name).collect();
        let values = |record: &Record| -> Vec<Value> {
            unique.iter().map(|name| record.get(name).cloned().unwrap_or(Value::Absent)).collect()
        };
        let new = values(record);
        if unique.is_empty() || new.contains(&Value::Absent) {
            return Ok(());
        }
        match state.records.iter().find(|(key, other)| own != Some(key) && values(other) == new) {
            Some(_) => Err(Refusal::new(RefusalKind::Conflict, format!("{unique:?} is taken"))),
            None => Ok(()),
        }
    }

    fn limit(limit: u32, max: u32) -> Result<usize, Refusal> {
        if (1..=max).contains(&limit) {
            return Ok(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Err(Refusal::new(RefusalKind::Invalid, format!("limit: expected 1 to {max}, found {limit}")))
    }
}

/// There is no record with this key.
pub(super) fn missing(key: &str) -> Refusal {
    Refusal::new(RefusalKind::NotFound, format!("no record {key}"))
}

#[async_trait]
impl Adapter for MemoryRepository {
    fn spec() -> Spec {
        reference_spec()
    }

    async fn open(_: &Database) -> Result<Self, Refusal> {
        Ok(Self::new(Self::spec()))
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let mut record = record.clone();
        for field in &self.spec.fields {
            match &field.initial {
                Some(initial) => record.set(field.name, initial.clone()),
                None if !record.has(field.name) => record.set(field.name, Value::Absent),
                None => {}
            }
        }
        Self::validate(&self.spec.fields, &record)?;
        let mut state = self.state();
        self.check_unique(&state, &record, None)?;
        state.inserted += 1;
        // Random, as others are: nothing may depend on their order.
        let key = Uuid::new_v4().to_string();
        let place = state.inserted;
        state.places.insert(key.clone(), place);
        state.records.insert(key.clone(), record);
        Ok(key)
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        self.state().records.get(key).cloned().ok_or_else(|| missing(key))
    }

    async fn update(&self, key: &str, changes: &Record) -> Result<(), Refusal> {
        Self::validate(&self.spec.fields, changes)?;
        let mut state = self.state();
        let mut record = state.records.get(key).cloned().ok_or_else(|| missing(key))?;
        record.apply(changes);
        self.check_unique(&state, &record, Some(key))?;
        state.records.insert(key.to_owned(), record);
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        state.records.remove(key).ok_or_else(|| missing(key))?;
        state.places.remove(key);
        state.points.remove(key);
        Ok(())
    }

    async fn list(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let limit = Self::limit(limit, self.spec.list_limit_max)?;
        let after = match cursor {
            Some(cursor) => {
                Some(read_cursor(cursor).ok_or_else(|| Refusal::new(RefusalKind::Cursor, "it is none of ours"))?)
            }
            None => None,
        };
        let state = self.state();
        let mut places: Vec<_> = state.places.iter().map(|(key, place)| (*place, key.clone())).collect();
        places.sort();
        places.retain(|place| after.as_ref().is_none_or(|after| place > after));
        let next = places.get(limit).and(limit.checked_sub(1)).and_then(|last| places.get(last)).map(cursor_of);
        places.truncate(limit);
        let records = places
            .into_iter()
            .filter_map(|(_, key)| state.records.get(&key).cloned().map(|record| (key, record)))
            .collect();
        Ok(Listed { records, next })
    }

    async fn find(&self, field: &'static str, value: &Value) -> Result<Vec<String>, Refusal> {
        Self::validate(&self.spec.fields, &Record::new().with(field, value.clone()))?;
        let state = self.state();
        Ok(state.records.iter().filter(|(_, r)| r.get(field) == Some(value)).map(|(key, _)| key.clone()).collect())
    }

    async fn tie(&self, keys: &[String]) -> Result<(), Refusal> {
        let mut state = self.state();
        for key in keys {
            state.places.insert(key.clone(), 0);
        }
        Ok(())
    }

    async fn append(&self, key: &str, points: &[Record]) -> Result<(), Refusal> {
        for point in points {
            Self::validate(&self.spec.points, point)?;
        }
        let mut state = self.state();
        if !state.records.contains_key(key) {
            return Err(missing(key));
        }
        let once = self.spec.abilities().contains(&Ability::AppendOnce);
        let time = self.spec.point_time;
        let stored = state.points.entry(key.to_owned()).or_default();
        let mut moments: HashSet<_> = stored.iter().map(|point| point.time(time)).collect();
        for point in points {
            if moments.insert(point.time(time)) || !once {
                stored.push(point.clone());
            }
        }
        Ok(())
    }

    async fn points(&self, key: &str, limit: u32) -> Result<Vec<Record>, Refusal> {
        let limit = Self::limit(limit, self.spec.points_limit_max)?;
        let state = self.state();
        if !state.records.contains_key(key) {
            return Err(missing(key));
        }
        let mut points: Vec<_> = state.points.get(key).into_iter().flatten().cloned().enumerate().collect();
        points.sort_by_key(|(index, point)| std::cmp::Reverse((point.time(self.spec.point_time), *index)));
        Ok(points.into_iter().map(|(_, point)| point).take(limit).collect())
    }
}

/// A place in a list as text, with a checksum against slips.
fn cursor_of((place, key): &(u64, String)) -> String {
    let body = format!("{place}/{key}");
    format!("{body}/{}", checksum(&body))
}

fn read_cursor(cursor: &str) -> Option<(u64, String)> {
    let (body, found) = cursor.rsplit_once('/')?;
    if found != checksum(body) {
        return None;
    }
    let (place, key) = body.split_once('/')?;
    Some((place.parse().ok()?, key.to_owned()))
}

fn checksum(body: &str) -> String {
    Sha256::digest(body).iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}
