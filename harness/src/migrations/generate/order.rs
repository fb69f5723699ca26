//! In which order tables are filled: those that others refer to come first.

use std::collections::HashMap;

use super::catalog::Table;

/// That a table is filled, for the first or the second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visit {
    /// Its index.
    pub(super) table: usize,
    /// Whether it gets half of its rows only, because it refers to tables that have none yet.
    pub(super) is_half: bool,
}

/// The order. Where tables refer to each other in a circle, one that may do without begins, and comes back at the end.
pub(super) fn visits(tables: &[Table]) -> Vec<Visit> {
    let indexes: HashMap<i64, usize> =
        tables.iter().enumerate().map(|(index, table)| (table.oid, index)).collect();
    let mut visits = Vec::with_capacity(tables.len());
    let mut again = Vec::new();
    let mut pending: Vec<usize> = (0..tables.len()).collect();
    let mut is_pending = vec![true; tables.len()];
    while !pending.is_empty() {
        // What a table waits for: nothing, what it may do without, or what it needs.
        let waits = |index: usize| {
            let Some(table) = tables.get(index) else { return 0 };
            let open = table.references.iter().filter(|reference| {
                indexes.get(&reference.table).is_some_and(|other| *other != index && is_pending[*other])
            });
            open.map(|reference| if may_be_null(table, &reference.columns) { 1 } else { 2 }).max().unwrap_or(0)
        };
        let ready: Vec<usize> = pending.iter().copied().filter(|index| waits(*index) == 0).collect();
        let next = if ready.is_empty() {
            let least = pending.iter().copied().min_by_key(|index| waits(*index));
            again.extend(least);
            least.into_iter().collect()
        } else {
            ready
        };
        for index in next {
            is_pending[index] = false;
            let table = tables.get(index);
            let is_own = table.is_some_and(|table| table.references.iter().any(|other| other.table == table.oid));
            let is_early = again.contains(&index);
            visits.push(Visit { table: index, is_half: is_own || is_early });
            if is_own && !is_early {
                visits.push(Visit { table: index, is_half: false });
            }
        }
        pending.retain(|index| is_pending[*index]);
    }
    if !again.is_empty() {
        // When a circle is full, those that refer to it may have more rows as well.
        let order: Vec<usize> = again.into_iter().chain(visits.iter().map(|visit| visit.table)).collect();
        visits.extend(order.into_iter().map(|table| Visit { table, is_half: false }));
    }
    visits
}

fn may_be_null(table: &Table, columns: &[i16]) -> bool {
    table.columns.iter().any(|column| columns.contains(&column.number) && !column.not_null)
}
