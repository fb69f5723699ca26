//! JSON, absent values, and truth values.

use serde_json::json;

use super::super::RefusalKind;
use super::super::corpus::documents;
use super::super::field::{Field, Kind};
use super::super::subject::{Store, Subject, refused};
use super::super::value::Value;
use crate::case::CaseResult;
use crate::check;
use crate::faults::Admin;

fn jsons(store: &Store) -> Vec<Field> {
    store.spec.free(|kind| matches!(kind, Kind::Json)).cloned().collect()
}

pub(super) async fn json_survives(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in jsons(&store) {
        for document in documents() {
            store.round_trip(&store.sample().with(field.name, document)).await?;
        }
    }
    Ok(())
}

pub(super) async fn json_numbers_keep_their_digits(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in jsons(&store) {
        for number in
            [json!(9_007_199_254_740_993_i64), json!(u64::MAX), json!(i64::MIN), json!(0.1), json!(1e300)]
        {
            store.round_trip(&store.sample().with(field.name, json!({ "number": number }))).await?;
        }
    }
    Ok(())
}

/// A document that was put into a text, and that text into a document, looks right to whoever takes it apart twice.
pub(super) async fn json_is_not_encoded_twice(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in jsons(&store) {
        store.round_trip(&store.sample().with(field.name, json!({ "importance": [0.5, 0.25] }))).await?;
    }
    let mut admin = Admin::connect(store.url()?).await?;
    let documents = admin.json_columns().await?;
    check!(!documents.is_empty(), "expected a column of the type jsonb or json for each JSON field, found none");
    for (column, encoded) in documents {
        check!(encoded == 0, "column {column}: expected JSON objects, found {encoded} texts that hold JSON");
    }
    Ok(())
}

pub(super) async fn nul_in_json_is_refused(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in jsons(&store) {
        for document in [json!("a\0b"), json!({ "a\0": 1 }), json!({ "a": ["\0"] })] {
            let record = store.sample().with(field.name, document);
            let what = format!("insert with a NUL in {}", field.name);
            refused(store.repository.insert(&record).await, &[RefusalKind::Invalid], &what)?;
        }
    }
    store.round_trip(&store.sample()).await.map(|_| ())
}

pub(super) async fn absent_is_not_a_default(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let optional: Vec<_> = store.spec.free(|_| true).filter(|field| field.optional).cloned().collect();
    for field in &optional {
        store.round_trip(&store.sample().with(field.name, Value::Absent)).await?;
    }
    let none = optional.iter().fold(store.sample(), |record, field| record.with(field.name, Value::Absent));
    store.round_trip(&none).await.map(|_| ())
}
