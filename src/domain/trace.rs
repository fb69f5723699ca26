//! A trace as a tree: no span of it is left out, however wrong its parents are.

use std::collections::HashMap;

use super::Span;

/// Why a span stands where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It has no parent.
    Root,
    /// It is below its parent.
    Child,
    /// Its parent was not recorded, or is not yet.
    Orphan,
    /// It is its own ancestor: its parents go round in a circle, which is cut open here.
    Cycle,
}

/// A span in a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceNode {
    /// The span.
    pub span: Span,
    /// How many spans are above it.
    pub depth: usize,
    /// Why it stands here.
    pub placement: Placement,
}

/// All spans of a trace, each before those below it; brothers and trees in the order in which they began, and by their
/// span ids where they began at the same time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The spans. A list rather than nested nodes: a trace can be as deep as it has spans.
    pub nodes: Vec<TraceNode>,
}

impl Trace {
    /// The tree of these spans, which are of one trace, each span id once.
    #[must_use]
    pub fn of(mut spans: Vec<Span>) -> Self {
        spans.sort_by(|one, other| {
            let key = |span: &Span| (span.span.started_at, span.span.span_id.clone());
            key(one).cmp(&key(other))
        });
        let by_id: HashMap<&str, usize> =
            spans.iter().enumerate().map(|(index, span)| (span.span.span_id.as_str(), index)).collect();
        let mut children = vec![Vec::new(); spans.len()];
        let mut parents = vec![None; spans.len()];
        let mut tops = Vec::new();
        for (index, span) in spans.iter().enumerate() {
            match span.span.parent_span_id.as_deref().map(|parent| by_id.get(parent)) {
                None => tops.push((index, Placement::Root)),
                Some(None) => tops.push((index, Placement::Orphan)),
                Some(Some(&parent)) => {
                    children[parent].push(index);
                    parents[index] = Some(parent);
                }
            }
        }
        let mut walk = Walk { children, is_placed: vec![false; spans.len()], order: Vec::new() };
        for (top, placement) in tops {
            walk.place(top, placement);
        }
        // What no tree has reached goes round in circles, or hangs below one; each is cut open at the span that began
        // first among those that go round.
        for index in 0..spans.len() {
            if !walk.is_placed[index] && goes_round(index, &parents) {
                walk.place(index, Placement::Cycle);
            }
        }
        let order = walk.order;
        let mut spans: Vec<Option<Span>> = spans.into_iter().map(Some).collect();
        let node = |(index, depth, placement): (usize, usize, Placement)| {
            let span = spans[index].take()?;
            Some(TraceNode { span, depth, placement })
        };
        Self { nodes: order.into_iter().filter_map(node).collect() }
    }
}

/// Whether the span is its own ancestor. Each step goes to the one parent, so that there is an end after as many steps
/// as there are spans.
fn goes_round(start: usize, parents: &[Option<usize>]) -> bool {
    let mut at = start;
    for _ in 0..parents.len() {
        match parents[at] {
            Some(parent) if parent == start => return true,
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}

/// A walk over trees, each span before those below it.
struct Walk {
    children: Vec<Vec<usize>>,
    is_placed: Vec<bool>,
    order: Vec<(usize, usize, Placement)>,
}

impl Walk {
    fn place(&mut self, top: usize, placement: Placement) {
        let mut waiting = vec![(top, 0, placement)];
        while let Some((index, depth, placement)) = waiting.pop() {
            if std::mem::replace(&mut self.is_placed[index], true) {
                continue;
            }
            self.order.push((index, depth, placement));
            let below = self.children[index].iter().rev();
            waiting.extend(below.map(|&child| (child, depth + 1, Placement::Child)));
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::domain::{NewSpan, SpanRowId};

    /// Spans that begin one second after the other, each with its parent.
    fn trace(spans: &[(&str, Option<&str>)]) -> Vec<(String, usize, Placement)> {
        let spans = spans.iter().zip(0..).map(|(&(id, parent), second)| {
            let started_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
            let mut span = NewSpan::new("t", id, "agent", "operation", started_at);
            span.parent_span_id = parent.map(str::to_owned);
            Span { id: SpanRowId::random(), span, recorded_at: started_at }
        });
        let trace = Trace::of(spans.collect::<Vec<_>>().into_iter().rev().collect());
        trace.nodes.into_iter().map(|node| (node.span.span.span_id, node.depth, node.placement)).collect()
    }

    fn node(id: &str, depth: usize, placement: Placement) -> (String, usize, Placement) {
        (id.to_owned(), depth, placement)
    }

    #[test]
    fn parents_come_before_their_children() {
        assert_eq!(
            trace(&[("c", Some("a")), ("a", None), ("b", Some("a")), ("d", Some("c"))]),
            [
                node("a", 0, Placement::Root),
                node("c", 1, Placement::Child),
                node("d", 2, Placement::Child),
                node("b", 1, Placement::Child),
            ]
        );
    }

    #[test]
    fn no_span_is_lost() {
        assert_eq!(
            trace(&[("o", Some("gone")), ("h", Some("x")), ("x", Some("z")), ("y", Some("x")), ("z", Some("y"))]),
            [
                node("o", 0, Placement::Orphan),
                node("x", 0, Placement::Cycle),
                node("h", 1, Placement::Child),
                node("y", 1, Placement::Child),
                node("z", 2, Placement::Child),
            ]
        );
    }

    #[test]
    fn a_deep_trace_needs_no_stack() {
        let ids: Vec<String> = (0..50_000).map(|id| id.to_string()).collect();
        let spans: Vec<(&str, Option<&str>)> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| (id.as_str(), index.checked_sub(1).map(|parent| ids[parent].as_str())))
            .collect();
        assert_eq!(trace(&spans).last().unwrap().1, 49_999);
    }
}
