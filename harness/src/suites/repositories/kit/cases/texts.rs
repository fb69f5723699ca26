//! Texts: nothing is cut, changed, interpreted, or taken for nothing.

use std::sync::Arc;

use super::super::corpus::{INJECTIONS, TEXTS, WITH_NUL};
use super::super::field::{Field, Kind};
use super::super::lazily::Lazily;
use super::super::subject::{Store, Subject, refused};
use super::super::value::Value;
use super::super::{Ability, RefusalKind};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::property::check_async;

/// How many texts are generated.
const GENERATED: u32 = 48;

fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::Text { .. })
}

fn texts(store: &Store) -> Vec<Field> {
    store.spec.free(is_text).cloned().collect()
}

pub(super) async fn texts_survive_byte_for_byte(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in texts(&store) {
        for text in TEXTS.iter().filter(|text| field.accepts(&Value::from(**text))) {
            store.round_trip(&store.sample().with(field.name, *text)).await?;
        }
    }
    Ok(())
}

pub(super) async fn generated_records_round_trip(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let (seed, spec) = (store.seed, Arc::clone(&store.spec));
    let strategy = Lazily(move || spec.strategy());
    check_async(seed, GENERATED, strategy, move |record| {
        let store = store.clone();
        async move {
            let record = store.spec.numbered(record, store.number());
            store.round_trip(&record).await.map(|_| ())
        }
    })
    .await
}

pub(super) async fn empty_text_is_not_absent(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in texts(&store) {
        let record = store.sample().with(field.name, "");
        if field.accepts(&Value::from("")) {
            store.round_trip(&record).await?;
        } else {
            let what = format!("insert with an empty {}", field.name);
            refused(store.repository.insert(&record).await, &[RefusalKind::Invalid], &what)?;
        }
    }
    Ok(())
}

pub(super) async fn nul_in_text_is_refused(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in texts(&store) {
        for text in WITH_NUL {
            let what = format!("insert with a NUL in {}", field.name);
            let record = store.sample().with(field.name, *text);
            refused(store.repository.insert(&record).await, &[RefusalKind::Invalid], &what)?;
        }
    }
    // A refusal must not break what comes after it.
    store.round_trip(&store.sample()).await.map(|_| ())
}

pub(super) async fn a_megabyte_of_text_survives(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let is_long = |field: &&Field| field.accepts(&Value::Text("a".repeat(1_048_576))) && !field.unique;
    let fields: Vec<_> = store.spec.free(is_text).filter(is_long).cloned().collect();
    for field in fields {
        // Not to be compressed, and a character of four octets across every boundary.
        let mut state = 1_u64;
        let text: String = (0..262_145)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let code = 0x1_0000 + u32::try_from(state >> 48).unwrap_or(0);
                char::from_u32(code).unwrap_or('a')
            })
            .collect();
        store.round_trip(&store.sample().with(field.name, text)).await?;
    }
    Ok(())
}

pub(super) async fn text_limits_count_what_they_say(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in texts(&store) {
        let Kind::Text { characters_max, octets_max, .. } = field.kind else { continue };
        let (longest, longer) = match (characters_max, octets_max) {
            (Some(max), None) => ("\u{1f600}".repeat(max), "\u{1f600}".repeat(max + 1)),
            (_, Some(max)) => ("\u{1f600}".repeat(max / 4), "\u{1f600}".repeat(max / 4 + 1)),
            (None, None) => continue,
        };
        if field.accepts(&Value::from(longest.as_str())) {
            store.round_trip(&store.sample().with(field.name, longest)).await?;
        }
        // varchar(n) would cut trailing spaces off without a word.
        let spaces = format!("{}{}", "a".repeat(characters_max.or(octets_max).unwrap_or(1)), "   ");
        for text in [longer, spaces] {
            let record = store.sample().with(field.name, text);
            let what = format!("insert with an over-long {}", field.name);
            refused(store.repository.insert(&record).await, &[RefusalKind::Invalid], &what)?;
        }
    }
    Ok(())
}

pub(super) async fn no_text_is_a_statement(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let witness = store.sample();
    let key = store.insert(&witness).await?;
    let abilities = store.spec.abilities();
    for field in texts(&store) {
        for text in INJECTIONS.iter().filter(|text| field.accepts(&Value::from(**text))) {
            let own = store.round_trip(&store.sample().with(field.name, *text)).await?;
            if field.searchable {
                let found = store.repository.find(field.name, &Value::from(*text)).await;
                let found = super::super::subject::accepted(found, &format!("find of {text:?}"))?;
                check!(found == [own], "find of {}={text:?}: expected one record, found {found:?}", field.name);
            }
        }
    }
    // Keys and cursors come from outside as well.
    for text in INJECTIONS {
        let found = store.repository.get(text).await;
        refused(found, &[RefusalKind::NotFound, RefusalKind::Invalid], &format!("get of the key {text:?}"))?;
        if abilities.contains(&Ability::List) {
            let listed = store.repository.list(1, Some(text)).await;
            refused(listed, &[RefusalKind::Cursor, RefusalKind::Invalid], &format!("list behind {text:?}"))?;
        }
    }
    store.expect(&key, &witness, "a record beside injected texts").await
}

pub(super) async fn texts_match_exactly(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let fields: Vec<_> = texts(&store).into_iter().filter(|field| field.searchable).collect();
    for field in fields {
        let texts: Vec<_> = TEXTS.iter().filter(|text| field.accepts(&Value::from(**text))).collect();
        let mut keys = Vec::new();
        for text in &texts {
            keys.push(store.insert(&store.sample().with(field.name, **text)).await?);
        }
        for (text, key) in texts.iter().zip(&keys) {
            let found = find(&store, &field, text).await?;
            check!(
                found == [key.as_str()],
                "find of {}={text:?}: expected its record alone, found {} records",
                field.name,
                found.len()
            );
        }
        for text in ["plai", "Plain", "plain%", "*", "cafe", " plain", "leading and trailing", "__"] {
            let found = find(&store, &field, text).await?;
            check!(
                found.is_empty(),
                "find of {}={text:?}, which no record has: expected none, found {}",
                field.name,
                found.len()
            );
        }
    }
    Ok(())
}

async fn find(store: &Store, field: &Field, text: &str) -> Result<Vec<String>, CaseError> {
    let found = store.repository.find(field.name, &Value::from(text)).await;
    super::super::subject::accepted(found, &format!("find of {}={text:?}", field.name))
}

pub(super) async fn choices_are_kept_and_others_refused(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let fields: Vec<_> = store.spec.free(|kind| matches!(kind, Kind::Choice(_))).cloned().collect();
    for field in fields {
        let Kind::Choice(of) = field.kind else { continue };
        for text in of {
            store.round_trip(&store.sample().with(field.name, *text)).await?;
        }
        let first = of.first().copied().unwrap_or_default();
        for text in ["", "no such choice", &first.to_uppercase(), &format!("{first} ")] {
            if !of.contains(&text) {
                let what = format!("insert with {}={text:?}, which is no choice", field.name);
                let record = store.sample().with(field.name, text);
                refused(store.repository.insert(&record).await, &[RefusalKind::Invalid], &what)?;
            }
        }
    }
    Ok(())
}
