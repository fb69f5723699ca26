//! Registering services and finding them again.

use proofmark::domain::{
    BentoService, BentoServiceId, DeploymentStatus, HealthStatus, NAME_CHARACTERS_MAX, NewBentoService,
    TEXT_OCTETS_MAX, VERSION_CHARACTERS_MAX,
};
use proofmark::repository::{RepositoryError, constraint};
use proptest::prelude::*;

use super::subject::{RepositorySubject, check_refused};
use crate::case::{CaseResult, Expect as _};
use crate::property::check_async;
use crate::{check, check_eq};

/// Texts that stores, collations and careless queries are known to change.
const TEXTS: &[&str] = &[
    "fraud:v1",
    "fraud:v10",
    "Fraud:v1",
    "fraud:v1 ",
    " fraud:v1",
    "fraud:v%",
    "fraud:v_",
    "%",
    "_",
    "\\",
    "\\x00\\n",
    "' OR '1'='1",
    "'; DROP TABLE ml_bentoml_services; --",
    "\"quoted\" $1 ${x} {{y}}",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "שלום עולם",
    "\u{202e}desrever",
    "\u{feff}mark",
    "\u{fb01}ne",
    "Stra\u{df}e",
    "I\u{307}i\u{131}",
    "line\r\nbreak\ttab\u{b}",
    "\u{10ffff}\u{e000}\u{7f}\u{1}",
];

pub(super) async fn register_returns_defaults(subject: RepositorySubject) -> CaseResult {
    let service = subject.a_service().await?;
    check_eq!(service.status, DeploymentStatus::Pending, "register: status of a new service");
    check_eq!(service.health_status, HealthStatus::Unknown, "register: health of a new service");
    check_eq!(service.model_id, None, "register: model that was not given");
    check_eq!(service.serving_endpoint, None, "register: endpoint that was not given");
    check_eq!(service.container_image, None, "register: image that was not given");
    check!(
        service.updated_at >= service.created_at,
        "register: expected updated_at not before created_at {}, found {}",
        service.created_at,
        service.updated_at
    );
    Ok(())
}

pub(super) async fn find_returns_what_was_registered(subject: RepositorySubject) -> CaseResult {
    let full = NewBentoService {
        model_id: Some(subject.fixtures.a_model().await?),
        serving_endpoint: Some("http://scorer.internal:3000/predict".to_owned()),
        container_image: Some("registry.internal/fraud:v1".to_owned()),
        ..NewBentoService::new("fraud:v1", "1.0.0", "scorer")
    };
    let bare = NewBentoService::new("churn:v2", "2.0.0", "ranker");
    let registered = [subject.register(full.clone()).await?, subject.register(bare.clone()).await?];
    check!(
        registered[0].id != registered[1].id,
        "register: expected different ids, found {} twice",
        registered[0].id
    );
    for (service, given) in registered.iter().zip([&full, &bare]) {
        check_given(service, given)?;
        check_eq!(subject.find(service.id).await?, *service, "find: the service as register returned it");
    }
    Ok(())
}

/// What was given is what is there.
fn check_given(service: &BentoService, given: &NewBentoService) -> CaseResult {
    check_eq!(service.bento_tag, given.bento_tag, "register: bento_tag");
    check_eq!(service.bento_version, given.bento_version, "register: bento_version");
    check_eq!(service.model_id, given.model_id, "register: model_id");
    check_eq!(service.service_name, given.service_name, "register: service_name");
    check_eq!(service.serving_endpoint, given.serving_endpoint, "register: serving_endpoint");
    check_eq!(service.container_image, given.container_image, "register: container_image");
    Ok(())
}

pub(super) async fn text_survives_byte_for_byte(subject: RepositorySubject) -> CaseResult {
    for text in TEXTS {
        check_text_survives(&subject, [text, text, text, text]).await?;
    }
    let text = |characters_max| {
        // Controls, spaces at the ends and unassigned code points as well; only NUL cannot be stored.
        let character = any::<char>().prop_map(|character| if character == '\0' { ' ' } else { character });
        prop::collection::vec(character, 1..=characters_max).prop_map(String::from_iter)
    };
    let texts = (text(VERSION_CHARACTERS_MAX), text(NAME_CHARACTERS_MAX), text(500), text(500));
    let seed = subject.seed;
    check_async(seed, 48, texts, move |(version, name, endpoint, image)| {
        let subject = subject.clone();
        async move { check_text_survives(&subject, [&version, &name, &endpoint, &image]).await }
    })
    .await
}

async fn check_text_survives(
    subject: &RepositorySubject,
    [version, name, endpoint, image]: [&str; 4],
) -> CaseResult {
    let new = NewBentoService {
        serving_endpoint: Some(endpoint.to_owned()),
        container_image: Some(image.to_owned()),
        // Generated names may repeat.
        ..NewBentoService::new(format!("bento:{}", BentoServiceId::random()), version, name)
    };
    let service = subject.register(new.clone()).await?;
    check_given(&service, &new)?;
    check_given(&subject.find(service.id).await?, &new)
}

/// The fields that hold text, and for each a service with the given text in it.
fn with_text(text: impl Fn(&str) -> String) -> [(&'static str, NewBentoService); 5] {
    let good = NewBentoService::new("fraud:v1", "v1", "scorer");
    [
        ("bento_tag", NewBentoService { bento_tag: text("bento_tag"), ..good.clone() }),
        ("bento_version", NewBentoService { bento_version: text("bento_version"), ..good.clone() }),
        ("service_name", NewBentoService { service_name: text("service_name"), ..good.clone() }),
        ("serving_endpoint", NewBentoService { serving_endpoint: Some(text("serving_endpoint")), ..good.clone() }),
        ("container_image", NewBentoService { container_image: Some(text("container_image")), ..good }),
    ]
}

async fn check_texts_refused(
    subject: &RepositorySubject,
    what: &str,
    refused: [(&'static str, NewBentoService); 5],
) -> CaseResult {
    for (name, new) in refused {
        check_refused!(
            subject.repository.register(new).await,
            RepositoryError::Invalid { field, .. } if field == name,
            "register with {what} {name}"
        );
    }
    Ok(())
}

/// An empty text is not an absent one: where a service must or may have a text, it is not empty.
pub(super) async fn empty_text_is_refused(subject: RepositorySubject) -> CaseResult {
    check_texts_refused(&subject, "an empty", with_text(|_| String::new())).await?;
    check_refused!(
        subject.repository.find_by_tag("").await,
        RepositoryError::Invalid { field, .. } if field == "bento_tag",
        "find_by_tag with an empty bento_tag"
    );
    check_eq!(subject.list(10).await?, [], "list: services after all were refused");
    Ok(())
}

pub(super) async fn nul_in_text_is_refused(subject: RepositorySubject) -> CaseResult {
    check_texts_refused(&subject, "a NUL in", with_text(|_| "a\0b".to_owned())).await?;
    check_refused!(
        subject.repository.find_by_tag("a\0b").await,
        RepositoryError::Invalid { field, .. } if field == "bento_tag",
        "find_by_tag with a NUL in bento_tag"
    );
    check_eq!(subject.list(10).await?, [], "list: services after all were refused");
    Ok(())
}

pub(super) async fn text_limits_count_characters(subject: RepositorySubject) -> CaseResult {
    let emoji = |count| "\u{1f600}".repeat(count);
    let longest = NewBentoService {
        serving_endpoint: Some(emoji(TEXT_OCTETS_MAX / 4)),
        container_image: Some(emoji(TEXT_OCTETS_MAX / 4)),
        ..NewBentoService::new(
            emoji(NAME_CHARACTERS_MAX),
            emoji(VERSION_CHARACTERS_MAX),
            emoji(NAME_CHARACTERS_MAX),
        )
    };
    let service =
        subject.repository.register(longest.clone()).await.expect_ok("register with the longest texts")?;
    check_given(&subject.find(service.id).await?, &longest)?;
    // varchar(n) would cut off trailing spaces without a word.
    let longer = with_text(|field| {
        let longest = match field {
            "bento_tag" | "service_name" => NAME_CHARACTERS_MAX,
            "bento_version" => VERSION_CHARACTERS_MAX,
            _ => TEXT_OCTETS_MAX,
        };
        format!("{} ", "a".repeat(longest))
    });
    check_texts_refused(&subject, "an over-long", longer).await?;
    check_eq!(subject.list(10).await?, [service], "list: services after the others were refused");
    Ok(())
}

pub(super) async fn missing_service_is_not_found(subject: RepositorySubject) -> CaseResult {
    let missing = BentoServiceId::random();
    check_refused!(
        subject.repository.find(missing).await,
        RepositoryError::NotFound { id, .. } if id == missing.as_uuid(),
        "find in an empty repository"
    );
    subject.a_service().await?;
    check_refused!(
        subject.repository.find(missing).await,
        RepositoryError::NotFound { id, .. } if id == missing.as_uuid(),
        "find of an id that no service has"
    );
    Ok(())
}

/// "v1" does not find "v10", a wildcard finds itself alone, and no text is a piece of a statement.
pub(super) async fn tags_match_exactly(subject: RepositorySubject) -> CaseResult {
    for &tag in TEXTS {
        subject.register(NewBentoService::new(tag, "v1", "scorer")).await?;
    }
    for &tag in TEXTS {
        let found = subject.repository.find_by_tag(tag).await.expect_ok("find_by_tag")?;
        let tags: Vec<_> = found.iter().map(|service| service.bento_tag.as_str()).collect();
        check_eq!(tags, [tag], "find_by_tag({tag:?}): bento tags");
    }
    for tag in ["fraud", "v1", "fraud:v", "FRAUD:V1", "fraud:v1%", "*", "cafe", "' OR 1=1 --"] {
        let found = subject.repository.find_by_tag(tag).await.expect_ok("find_by_tag")?;
        check_eq!(found, [], "find_by_tag({tag:?}): services of a bento that nobody registered");
    }
    Ok(())
}

pub(super) async fn second_service_of_a_name_is_a_conflict(subject: RepositorySubject) -> CaseResult {
    let first = subject.a_service().await?;
    let again = NewBentoService {
        serving_endpoint: Some("http://elsewhere".to_owned()),
        ..NewBentoService::new(&first.bento_tag, "v2", &first.service_name)
    };
    check_refused!(
        subject.repository.register(again.clone()).await,
        RepositoryError::Conflict { constraint } if constraint == constraint::SERVICE_KEY,
        "register of a name that the bento has"
    );
    // Of two faults, the taken key is told.
    let model_id = Some(BentoServiceId::random().as_uuid().into());
    check_refused!(
        subject.repository.register(NewBentoService { model_id, ..again }).await,
        RepositoryError::Conflict { constraint } if constraint == constraint::SERVICE_KEY,
        "register of a name that the bento has, for an unknown model"
    );
    check_eq!(subject.find(first.id).await?, first, "find: the service that was there first");
    let others = [
        subject.register(NewBentoService::new(&first.bento_tag, "v1", "Scorer")).await?,
        subject.register(NewBentoService::new("fraud:v2", "v1", &first.service_name)).await?,
    ];
    check_eq!(subject.list(10).await?.len(), 1 + others.len(), "list: services after two were refused");
    Ok(())
}

pub(super) async fn unknown_model_is_a_missing_reference(subject: RepositorySubject) -> CaseResult {
    let new = |model_id| NewBentoService { model_id, ..NewBentoService::new("fraud:v1", "v1", "scorer") };
    check_refused!(
        subject.repository.register(new(Some(BentoServiceId::random().as_uuid().into()))).await,
        RepositoryError::MissingReference { constraint } if constraint == constraint::SERVICE_MODEL,
        "register for a model that is not registered"
    );
    check_eq!(subject.list(10).await?, [], "list: services after the only one was refused");
    let model = subject.fixtures.a_model().await?;
    check_eq!(subject.register(new(Some(model))).await?.model_id, Some(model), "register: model_id");
    Ok(())
}
