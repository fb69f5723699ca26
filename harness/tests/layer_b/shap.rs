//! SHAP analyses.

use std::collections::BTreeMap;

use proofmark::domain::{
    AnalysisStatus, AnalysisType, ModelId, NewShapAnalysis, SHAP_BATCH_ROWS_MAX, ShapAnalysisId, ShapOutcome,
    ShapStatusCounts, TimeWindow,
};
use proofmark::repository::{PageRequest, shap_constraint};

use crate::both::{assert_constraint, assert_invalid, assert_not_found, on_both, pages, time};

fn values(values: &[(&str, f64)]) -> BTreeMap<String, f64> {
    values.iter().map(|&(feature, value)| (feature.to_owned(), value)).collect()
}

fn local(model: ModelId, id: &str) -> NewShapAnalysis {
    NewShapAnalysis {
        explanation_id: Some(id.to_owned()),
        ..NewShapAnalysis::new(
            model,
            AnalysisType::LocalRealtime,
            ShapOutcome::Local {
                shap_values: values(&[("age", 0.1), ("naïve ☂", -2.5)]),
                base_value: 123_456.789_012_345,
                prediction_value: Some(-1e300),
            },
        )
    }
}

fn failed(model: ModelId, reason: &str) -> NewShapAnalysis {
    NewShapAnalysis::new(model, AnalysisType::Local, ShapOutcome::Failed(reason.to_owned()))
}

fn global(model: ModelId, at: &str) -> NewShapAnalysis {
    NewShapAnalysis {
        computed_at: Some(time(at)),
        ..NewShapAnalysis::new(model, AnalysisType::Global, ShapOutcome::Importance(values(&[("age", 3.0)])))
    }
}

#[tokio::test]
async fn every_double_comes_back_as_it_was() {
    on_both(async |layer| {
        let model = layer.a_model().await;
        let mut shap_values = values(&[("max", f64::MAX), ("min", f64::MIN), ("tiny", 5e-324), ("1e16", 1e16)]);
        let mut state = 3_u64;
        for index in 0..1_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(state);
            shap_values.insert(format!("f{index}"), if value.is_finite() { value } else { 0.1 });
        }
        let outcome = ShapOutcome::Local { shap_values, base_value: 1e22, prediction_value: Some(-0.1) };
        let new = NewShapAnalysis::new(model, AnalysisType::Local, outcome);
        let made = layer.shap.record(new.clone()).await.unwrap();
        assert_eq!(made.analysis.outcome, new.outcome);
        assert_eq!(layer.shap.find(made.id).await.unwrap(), made);
    })
    .await;
}

#[tokio::test]
async fn an_analysis_that_cannot_be_kept_is_an_error() {
    on_both(async |layer| {
        let model = layer.a_model().await;
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let of = |shap_value, base_value, prediction_value| NewShapAnalysis {
                outcome: ShapOutcome::Local {
                    shap_values: values(&[("age", shap_value)]),
                    base_value,
                    prediction_value,
                },
                ..local(model, "x")
            };
            assert_invalid(layer.shap.record(of(number, 0.0, None)).await, "local_shap_values");
            assert_invalid(layer.shap.record(of(0.0, number, None)).await, "base_value");
            assert_invalid(layer.shap.record(of(0.0, 0.0, Some(number))).await, "prediction_value");
            let batch = [local(model, "a"), of(0.0, number, None)];
            assert_invalid(layer.shap.record_batch(&batch).await, "analyses[1].base_value");
        }
        let stranger = NewShapAnalysis { model_id: ModelId::random(), ..local(model, "a") };
        assert_constraint(layer.shap.record(stranger.clone()).await, shap_constraint::MODEL);
        layer.shap.record(local(model, "a")).await.unwrap();
        // A taken key is found before a missing reference.
        assert_constraint(layer.shap.record(stranger).await, shap_constraint::EXPLANATION);
        assert_eq!(layer.shap.list(model, PageRequest::first(10)).await.unwrap().items.len(), 1);
        assert_invalid(layer.shap.record(local(model, "\0")).await, "explanation_id");
        let cut = NewShapAnalysis { top_k: Some(1), ..local(model, "b") };
        assert_invalid(layer.shap.record(cut).await, "top_k");
    })
    .await;
}

#[tokio::test]
async fn a_batch_keeps_what_became_of_each_row() {
    on_both(async |layer| {
        let model = layer.a_model().await;
        let batch = [local(model, "a"), failed(model, "row 1: NaN in age"), local(model, "b")];
        let rows = layer.shap.record_batch(&batch).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| row.analysis.outcome.status()).collect::<Vec<_>>(),
            [AnalysisStatus::Explained, AnalysisStatus::Failed, AnalysisStatus::Explained]
        );
        for (row, new) in rows.iter().zip(&batch) {
            assert_eq!((&row.analysis.outcome, &row.analysis.explanation_id), (&new.outcome, &new.explanation_id));
            assert_eq!(&layer.shap.find(row.id).await.unwrap(), row);
        }
        let all = TimeWindow::new(time("2000-01-01T00:00:00Z"), time("3000-01-01T00:00:00Z")).unwrap();
        let counts = ShapStatusCounts { explained: 2, failed: 1 };
        assert_eq!(layer.shap.count(model, all).await.unwrap(), counts);

        // All or nothing: neither a key that is taken nor one that the batch has twice leaves a row behind.
        let taken = [local(model, "c"), failed(model, "x"), local(model, "b")];
        assert_constraint(layer.shap.record_batch(&taken).await, shap_constraint::EXPLANATION);
        let twins = [local(model, "c"), local(model, "c")];
        assert_constraint(layer.shap.record_batch(&twins).await, shap_constraint::EXPLANATION);
        let stranger = [local(model, "c"), failed(ModelId::random(), "x")];
        assert_constraint(layer.shap.record_batch(&stranger).await, shap_constraint::MODEL);
        assert_eq!(layer.shap.count(model, all).await.unwrap(), counts);
        assert_eq!(layer.shap.record_batch(&[]).await.unwrap(), []);
        let many = vec![failed(model, "x"); SHAP_BATCH_ROWS_MAX + 1];
        assert_invalid(layer.shap.record_batch(&many).await, "analyses");
        // More values than a statement has parameters.
        let stored = layer.shap.record_batch(&many[1..]).await.unwrap();
        assert_eq!(stored.len(), SHAP_BATCH_ROWS_MAX);
    })
    .await;
}

#[tokio::test]
async fn analyses_are_found_by_their_names_and_in_one_order() {
    on_both(async |layer| {
        let (model, other) = (layer.a_model().await, layer.a_model().await);
        let mut rows = Vec::new();
        for at in ["2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"] {
            rows.push(layer.shap.record(global(model, at)).await.unwrap());
        }
        let late = NewShapAnalysis {
            computed_at: Some(time("2024-01-03T00:00:00Z")),
            analysis_type: AnalysisType::Global,
            ..failed(model, "out of time")
        };
        rows.push(layer.shap.record(late).await.unwrap());
        layer.shap.record(global(other, "2024-01-05T00:00:00Z")).await.unwrap();
        rows.sort_by_key(|row| std::cmp::Reverse((row.computed_at, row.id)));
        assert_eq!(pages(async |request| layer.shap.list(model, request).await).await, rows);
        // What failed is no explanation, however new it is.
        assert_eq!(layer.shap.latest_global(model).await.unwrap().as_ref(), Some(&rows[1]));
        assert_eq!(layer.shap.latest_global(ModelId::random()).await.unwrap(), None);
        // Of a window, the end is no part.
        let day = TimeWindow::new(time("2024-01-02T00:00:00Z"), time("2024-01-03T00:00:00Z")).unwrap();
        assert_eq!(layer.shap.count(model, day).await.unwrap(), ShapStatusCounts { explained: 2, failed: 0 });

        let made = layer.shap.record(local(model, "call-1")).await.unwrap();
        assert_eq!(layer.shap.find_by_explanation("call-1").await.unwrap(), Some(made));
        assert_eq!(layer.shap.find_by_explanation("call-").await.unwrap(), None);
        assert_invalid(layer.shap.find_by_explanation("").await, "explanation_id");
        assert_not_found(layer.shap.find(ShapAnalysisId::random()).await);
    })
    .await;
}
