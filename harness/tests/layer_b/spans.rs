//! Observability spans.

use chrono::TimeDelta;
use proofmark::domain::{NewSpan, Placement, SPAN_BATCH_MAX, SpanEnd, SpanRowId, SpanStatus, TRACE_SPANS_MAX};
use proofmark::repository::{PageRequest, span_constraint};
use serde_json::json;

use crate::both::{assert_constraint, assert_invalid, assert_not_found, assert_refused, on_both, pages, time};

const START: &str = "2024-01-01T00:00:00Z";

fn span(trace: &str, id: &str, parent: Option<&str>, second: i64) -> NewSpan {
    let started_at = time(START) + TimeDelta::seconds(second);
    NewSpan {
        parent_span_id: parent.map(str::to_owned),
        ..NewSpan::new(trace, id, "planner", "llm.call", started_at)
    }
}

#[tokio::test]
async fn a_batch_of_spans_is_kept_as_a_whole() {
    on_both(async |layer| {
        let end = SpanEnd {
            error_message: Some("rate limit ☂".to_owned()),
            input_tokens: Some(1 << 53),
            output_tokens: Some(0),
            ..SpanEnd::new(time("2024-01-01T00:00:09.5Z"), SpanStatus::Error)
        };
        let attributes = json!({"model": "m", "nested": {"a": [1, 0.1, null]}, "tiny": 5e-324});
        let ended = NewSpan {
            end: Some(end),
            attributes: attributes.as_object().cloned().unwrap(),
            ..span("t", "child", Some("root"), 1)
        };
        // The child comes before its parent.
        let batch = [ended, span("t", "root", None, 0), span("u", "root", None, 0)];
        let rows = layer.spans.append(&batch).await.unwrap();
        for (row, new) in rows.iter().zip(&batch) {
            assert_eq!(&row.span, new);
            assert_eq!(&layer.spans.find(row.id).await.unwrap(), row);
        }
        let taken = [span("t", "new", None, 0), span("t", "root", None, 0)];
        assert_constraint(layer.spans.append(&taken).await, span_constraint::SPAN);
        let twins = [span("t", "new", None, 0), span("t", "new", None, 1)];
        assert_constraint(layer.spans.append(&twins).await, span_constraint::SPAN);
        let wrong = [span("t", "new", None, 0), span("t", "x", Some("x"), 0)];
        assert_invalid(layer.spans.append(&wrong).await, "spans[1].parent_span_id");
        assert_eq!(layer.spans.trace("t").await.unwrap().nodes.len(), 2);
        assert_eq!(layer.spans.append(&[]).await.unwrap(), []);
        let early = NewSpan {
            end: Some(SpanEnd::new(time("2023-01-01T00:00:00Z"), SpanStatus::Ok)),
            ..span("t", "early", None, 0)
        };
        assert_invalid(layer.spans.append(&[early]).await, "spans[0].ended_at");
        assert_not_found(layer.spans.find(SpanRowId::random()).await);
    })
    .await;
}

#[tokio::test]
async fn a_span_ends_once() {
    on_both(async |layer| {
        let id = layer.spans.append(&[span("t", "a", None, 10)]).await.unwrap()[0].id;
        let early = SpanEnd::new(time(START), SpanStatus::Ok);
        assert_invalid(layer.spans.finish(id, early).await, "ended_at");
        let ended_at = time(START) + TimeDelta::seconds(11);
        let silent = SpanEnd { error_message: Some("x".to_owned()), ..SpanEnd::new(ended_at, SpanStatus::Ok) };
        assert_invalid(layer.spans.finish(id, silent).await, "error_message");
        let end = SpanEnd { input_tokens: Some(5), ..SpanEnd::new(ended_at, SpanStatus::Ok) };
        let ended = layer.spans.finish(id, end.clone()).await.unwrap();
        assert_eq!(ended.span.end, Some(end.clone()));
        assert_refused(layer.spans.finish(id, end.clone()).await);
        // That it has ended is told before anything about the time.
        assert_refused(layer.spans.finish(id, SpanEnd::new(time(START), SpanStatus::Unset)).await);
        assert_eq!(layer.spans.find(id).await.unwrap(), ended);
        assert_not_found(layer.spans.finish(SpanRowId::random(), end).await);
    })
    .await;
}

#[tokio::test]
async fn a_trace_is_a_tree_that_loses_no_span() {
    on_both(async |layer| {
        let batch = [
            span("t", "d", Some("c"), 5),
            span("t", "b", Some("a"), 2),
            span("t", "a", None, 0),
            span("t", "c", Some("a"), 1),
            span("t", "orphan", Some("gone"), 3),
            span("t", "x", Some("y"), 7),
            span("t", "y", Some("x"), 8),
            span("other", "a", None, 0),
        ];
        layer.spans.append(&batch).await.unwrap();
        let nodes = layer.spans.trace("t").await.unwrap().nodes;
        let found: Vec<_> =
            nodes.iter().map(|node| (node.span.span.span_id.as_str(), node.depth, node.placement)).collect();
        assert_eq!(
            found,
            [
                ("a", 0, Placement::Root),
                ("c", 1, Placement::Child),
                ("d", 2, Placement::Child),
                ("b", 1, Placement::Child),
                ("orphan", 0, Placement::Orphan),
                ("x", 0, Placement::Cycle),
                ("y", 1, Placement::Child),
            ]
        );
        assert_eq!(layer.spans.trace("nobody").await.unwrap().nodes, []);
        assert_invalid(layer.spans.trace("").await, "trace_id");
    })
    .await;
}

#[tokio::test]
async fn a_trace_without_an_end_is_refused() {
    on_both(async |layer| {
        let many: Vec<_> = (0..=SPAN_BATCH_MAX).map(|id| span("t", &id.to_string(), None, 0)).collect();
        assert_invalid(layer.spans.append(&many).await, "spans");
        layer.spans.append(&many[..SPAN_BATCH_MAX]).await.unwrap();
        assert_eq!(layer.spans.trace("t").await.unwrap().nodes.len(), TRACE_SPANS_MAX);
        layer.spans.append(&many[SPAN_BATCH_MAX..]).await.unwrap();
        assert_invalid(layer.spans.trace("t").await, "trace_id");
        // Deleted in parts, until there are no more.
        let after = time(START) + TimeDelta::seconds(1);
        assert_eq!(layer.spans.delete_before(time(START)).await.unwrap(), 0);
        assert_eq!(layer.spans.delete_before(after).await.unwrap(), 10_000);
        assert_eq!(layer.spans.delete_before(after).await.unwrap(), 1);
        assert_eq!(layer.spans.trace("t").await.unwrap().nodes, []);
    })
    .await;
}

#[tokio::test]
async fn the_spans_of_an_agent_have_one_order() {
    on_both(async |layer| {
        let other = NewSpan { agent_name: "writer".to_owned(), ..span("t", "w", None, 9) };
        let batch = [
            span("t", "a", None, 1),
            span("t", "b", None, 3),
            span("u", "a", None, 3),
            span("u", "b", None, 2),
            other,
        ];
        let mut rows = layer.spans.append(&batch).await.unwrap();
        rows.pop();
        rows.sort_by_key(|row| std::cmp::Reverse((row.span.started_at, row.id)));
        assert_eq!(pages(async |request| layer.spans.list("planner", request).await).await, rows);
        assert_eq!(layer.spans.list("plan%", PageRequest::first(1)).await.unwrap().items, []);
        assert_invalid(layer.spans.list("", PageRequest::first(1)).await, "agent_name");
    })
    .await;
}
