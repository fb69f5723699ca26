//! Feature views, materialization jobs and freshness.

use proofmark::domain::{
    Feature, FeatureViewId, FreshnessStatus, FreshnessThresholds, MaterializationEnd, MaterializationJobId,
    MaterializationStatus, NewFeatureView, NewMaterializationJob,
};
use proofmark::repository::{Cursor, LIMIT_MAX, PageRequest, RepositoryError, feature_view_constraint};

use crate::both::{
    Layer, assert_constraint, assert_invalid, assert_not_found, assert_refused, on_both, pages, time,
};

async fn a_view(layer: &Layer, name: &str) -> FeatureViewId {
    layer.features.register(NewFeatureView::new(name)).await.unwrap().id
}

async fn a_job(layer: &Layer, view: FeatureViewId, start: &str) -> MaterializationJobId {
    let new = NewMaterializationJob { feature_view_id: view, start_time: Some(time(start)) };
    layer.features.start_job(new).await.unwrap().id
}

fn thresholds() -> FreshnessThresholds {
    FreshnessThresholds::new(3600.0, 7200.0).unwrap()
}

#[tokio::test]
async fn a_feature_view_is_kept_as_it_was_registered() {
    on_both(async |layer| {
        let feature = |name: &str| Feature { name: name.to_owned(), dtype: "Float64".to_owned() };
        let new = NewFeatureView {
            // JSON that was encoded twice would come back as one text.
            entities: vec!["driver \"quoted\"".to_owned(), "naïve ☂".to_owned()],
            features: vec![feature("z"), feature("a\\b")],
            ttl_seconds: Some(0),
            online_enabled: false,
            ..NewFeatureView::new("driver_stats")
        };
        let view = layer.features.register(new.clone()).await.unwrap();
        assert_eq!((&view.entities, &view.features), (&new.entities, &new.features));
        assert_eq!((view.ttl_seconds, view.online_enabled), (Some(0), false));
        assert_eq!(layer.features.find(view.id).await.unwrap(), view);
        assert_eq!(layer.features.find_by_name("driver_stats").await.unwrap(), Some(view.clone()));
        assert_eq!(layer.features.find_by_name("driver_stat_").await.unwrap(), None);
        assert_constraint(layer.features.register(new).await, feature_view_constraint::NAME);
        assert_invalid(layer.features.register(NewFeatureView::new("a\0b")).await, "name");
        assert_invalid(layer.features.find_by_name("").await, "name");

        let online = layer.features.set_online(view.id, true).await.unwrap();
        assert!(online.online_enabled && online.updated_at > view.updated_at);
        assert_eq!(online.features, view.features);
        assert_not_found(layer.features.set_online(FeatureViewId::random(), true).await);
        assert_not_found(layer.features.find(FeatureViewId::random()).await);
    })
    .await;
}

#[tokio::test]
async fn lists_of_views_and_jobs_have_one_order() {
    on_both(async |layer| {
        let mut ids = Vec::new();
        for name in ["c", "a", "b", "e", "d"] {
            ids.push(a_view(&layer, name).await);
        }
        let listed = pages(async |request| layer.features.list(request).await).await;
        assert_eq!(listed.iter().map(|view| view.id).collect::<Vec<_>>(), ids);

        let view = ids[0];
        let mut jobs = Vec::new();
        // Two began at once: the order is total all the same.
        for start in
            ["2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z", "2024-01-03T00:00:00Z"]
        {
            jobs.push((time(start), a_job(&layer, view, start).await));
        }
        a_job(&layer, ids[1], "2024-01-01T00:00:00Z").await;
        jobs.sort();
        jobs.reverse();
        let listed = pages(async |request| layer.features.jobs(view, request).await).await;
        assert_eq!(listed.iter().map(|job| (job.start_time, job.id)).collect::<Vec<_>>(), jobs);

        for limit in [0, LIMIT_MAX + 1] {
            assert_invalid(layer.features.list(PageRequest::first(limit)).await, "limit");
            assert_invalid(layer.features.jobs(view, PageRequest::first(limit)).await, "limit");
        }
        assert_not_found(layer.features.jobs(FeatureViewId::random(), PageRequest::first(1)).await);
        let first = layer.features.jobs(view, PageRequest::first(1)).await.unwrap();
        // A cursor of one view's jobs is none of another's.
        let foreign = layer.features.jobs(ids[1], PageRequest { limit: 1, after: first.next }).await;
        assert!(matches!(foreign, Err(RepositoryError::InvalidCursor { .. })), "{foreign:?}");
        let forged = PageRequest { limit: 1, after: Some(Cursor::new("00")) };
        assert!(matches!(layer.features.list(forged).await, Err(RepositoryError::InvalidCursor { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_job_ends_once_and_not_before_it_began() {
    on_both(async |layer| {
        let view = a_view(&layer, "v").await;
        let orphan = NewMaterializationJob { feature_view_id: FeatureViewId::random(), start_time: None };
        assert_constraint(layer.features.start_job(orphan).await, feature_view_constraint::JOB_VIEW);

        let id = a_job(&layer, view, "2024-01-01T00:00:00.0000019Z").await;
        let job = layer.features.find_job(id).await.unwrap();
        assert_eq!(job.start_time, time("2024-01-01T00:00:00.000001Z"));
        assert_eq!((job.status, job.end_time), (MaterializationStatus::Running, None));
        let early = MaterializationEnd::success(Some(7)).at(time("2024-01-01T00:00:00Z"));
        assert_invalid(layer.features.finish_job(id, early).await, "end_time");
        let end = MaterializationEnd::success(Some(7)).at(time("2024-01-01T00:01:40.1Z"));
        let done = layer.features.finish_job(id, end.clone()).await.unwrap();
        assert_eq!((done.status, done.rows_materialized), (MaterializationStatus::Success, Some(7)));
        assert_eq!(done.duration_seconds, Some(100.099_999));
        assert!(done.updated_at > job.updated_at);
        assert_eq!(layer.features.find_job(id).await.unwrap(), done);
        assert_refused(layer.features.finish_job(id, end.clone()).await);
        assert_refused(layer.features.finish_job(id, MaterializationEnd::failed("late")).await);
        assert_eq!(layer.features.find_job(id).await.unwrap(), done);

        let broken = a_job(&layer, view, "2024-01-01T00:00:00Z").await;
        assert_invalid(layer.features.finish_job(broken, MaterializationEnd::failed("")).await, "error_message");
        let broken = layer.features.finish_job(broken, MaterializationEnd::failed("no source")).await.unwrap();
        assert_eq!(broken.error_message.as_deref(), Some("no source"));
        assert!(broken.end_time.is_some() && broken.duration_seconds.is_some());
        assert_not_found(layer.features.finish_job(MaterializationJobId::random(), end).await);
        assert_not_found(layer.features.find_job(MaterializationJobId::random()).await);

        // Without a time, the end is not before a beginning that lies ahead.
        let ahead = a_job(&layer, view, "9000-01-01T00:00:00Z").await;
        let ahead = layer.features.finish_job(ahead, MaterializationEnd::success(None)).await.unwrap();
        assert_eq!((ahead.end_time, ahead.duration_seconds), (Some(ahead.start_time), Some(0.0)));
    })
    .await;
}

#[tokio::test]
async fn unknown_means_that_there_never_was_a_success() {
    on_both(async |layer| {
        let view = a_view(&layer, "v").await;
        let at = Some(time("2024-01-01T01:00:00Z"));
        let status = async || layer.features.freshness(view, thresholds(), at).await.unwrap().status;
        assert_eq!(status().await, FreshnessStatus::Unknown);
        let running = a_job(&layer, view, "2024-01-01T00:00:00Z").await;
        assert_eq!(status().await, FreshnessStatus::Unknown);
        let failed = a_job(&layer, view, "2024-01-01T00:00:00Z").await;
        layer.features.finish_job(failed, MaterializationEnd::failed("x")).await.unwrap();
        assert_eq!(status().await, FreshnessStatus::Unknown);
        let end = MaterializationEnd::success(None).at(time("2024-01-01T00:00:00Z"));
        layer.features.finish_job(running, end).await.unwrap();
        assert_eq!(status().await, FreshnessStatus::Fresh);
        // A failure afterwards does not make an older success unknown.
        let failed = a_job(&layer, view, "2024-01-01T00:30:00Z").await;
        layer.features.finish_job(failed, MaterializationEnd::failed("x")).await.unwrap();
        assert_eq!(status().await, FreshnessStatus::Fresh);
        assert_not_found(layer.features.freshness(FeatureViewId::random(), thresholds(), at).await);
        let never = Some(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        assert_invalid(layer.features.freshness(view, thresholds(), never).await, "recorded_at");
    })
    .await;
}

#[tokio::test]
async fn freshness_is_measured_from_the_success_that_began_last() {
    on_both(async |layer| {
        let view = a_view(&layer, "v").await;
        for (start, end) in [
            ("2024-01-01T00:00:00Z", "2024-01-01T09:00:00Z"),
            ("2024-01-01T06:00:00Z", "2024-01-01T06:30:00Z"),
            ("2024-01-01T03:00:00Z", "2024-01-01T03:10:00Z"),
        ] {
            let job = a_job(&layer, view, start).await;
            layer.features.finish_job(job, MaterializationEnd::success(None).at(time(end))).await.unwrap();
        }
        for (at, seconds, status) in [
            ("2024-01-01T06:00:00Z", 0.0, FreshnessStatus::Fresh),
            ("2024-01-01T07:30:00Z", 3600.0, FreshnessStatus::Fresh),
            ("2024-01-01T07:30:00.000001Z", 3_600.000_001, FreshnessStatus::Stale),
            ("2024-01-01T08:30:00Z", 7200.0, FreshnessStatus::Stale),
            ("2024-01-01T08:30:00.1Z", 7200.1, FreshnessStatus::Critical),
        ] {
            let found = layer.features.record_freshness(view, thresholds(), Some(time(at))).await.unwrap();
            assert_eq!(found.freshness.last_materialization_time, Some(time("2024-01-01T06:30:00Z")));
            assert_eq!((found.freshness.staleness_seconds, found.freshness.status), (Some(seconds), status));
            assert_eq!(found.freshness.thresholds, thresholds());
            let latest = layer.features.freshness_history(view, 1).await.unwrap();
            assert_eq!(latest, [found]);
        }
        assert_eq!(layer.features.freshness_history(view, 100).await.unwrap().len(), 5);
        assert_not_found(layer.features.freshness_history(FeatureViewId::random(), 1).await);
        assert_not_found(layer.features.record_freshness(FeatureViewId::random(), thresholds(), None).await);
        assert_invalid(layer.features.freshness_history(view, 0).await, "limit");

        let now = layer.features.record_freshness(view, thresholds(), None).await.unwrap();
        assert_eq!(now.freshness.status, FreshnessStatus::Critical);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_view_leaves_nothing() {
    on_both(async |layer| {
        let (view, other) = (a_view(&layer, "v").await, a_view(&layer, "w").await);
        let job = a_job(&layer, view, "2024-01-01T00:00:00Z").await;
        let kept = a_job(&layer, other, "2024-01-01T00:00:00Z").await;
        layer.features.record_freshness(view, thresholds(), None).await.unwrap();
        layer.features.delete(view).await.unwrap();
        assert_not_found(layer.features.delete(view).await);
        assert_not_found(layer.features.find(view).await);
        assert_not_found(layer.features.find_job(job).await);
        assert_not_found(layer.features.freshness_history(view, 1).await);
        layer.features.find_job(kept).await.unwrap();
        a_view(&layer, "v").await;
    })
    .await;
}
