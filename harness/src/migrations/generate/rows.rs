//! The statement that makes a table's rows, of the plan for its columns.

use super::plan::{ON_CONFLICT, Plan, Planned, Referred, Source, mentions, quoted};
use super::value::{derive, hash, literal};

/// The most rows of a table that others refer to.
const REFERRED_MAX: usize = 1_000;

/// What the row's number is called among its columns. In its order rows are taken, not in that of a join, which may
/// begin with all rows that refer to one.
const ROW: &str = "\"proofmark row\"";

impl Plan<'_> {
    /// The statement that makes rows of the numbers in a range, as many as are wanted.
    pub(super) fn insert(&self, from: u64, to: u64, wanted: u64, partition: Option<&str>) -> String {
        let with = self.referred();
        let mut columns = Vec::new();
        let mut computed = Vec::new();
        let mut targets = Vec::new();
        let mut absent = Vec::new();
        let mut overriding = false;
        for planned in &self.columns {
            let name = quoted(&planned.column.name);
            let expression = match &planned.source {
                Source::Server => {
                    absent.push(planned.column.name.as_str());
                    continue;
                }
                Source::Generated(expression) => {
                    computed.push((planned, expression.clone()));
                    continue;
                }
                Source::Copy(other) => {
                    computed.push((planned, format!("s.{}", quoted(other))));
                    targets.push(name);
                    continue;
                }
                Source::Reference(number, column) => format!("f{number}.c{column}"),
                Source::Next(sequence) => {
                    overriding = true;
                    format!("nextval({})", literal(sequence))
                }
                Source::Null => "NULL".to_owned(),
                Source::Any(sources) => self.any(planned, sources),
            };
            columns.push(format!("({expression})::{} AS {name}", planned.declared));
            targets.push(name);
        }
        // What is computed from numbers that only the server knows cannot be foreseen.
        computed.retain(|(planned, expression)| {
            let is_known = !absent.iter().any(|absent| mentions(expression, absent));
            if !is_known {
                absent.push(planned.column.name.as_str());
            }
            is_known
        });
        let computed: Vec<String> = computed
            .iter()
            .map(|(planned, expression)| {
                format!(", ({expression})::{} AS {}", planned.declared, quoted(&planned.column.name))
            })
            .collect();
        let joins: String = (0..self.references.len()).map(|number| self.join(number, from)).collect();
        let mut filters = self.filters(&absent);
        filters.extend(partition.map(|condition| format!("({condition})")));
        if targets.is_empty() {
            return format!("INSERT INTO {} DEFAULT VALUES", self.table.name);
        }
        columns.push(format!("g.i AS {ROW}"));
        format!(
            "{with}INSERT INTO {table} ({targets}){overriding} SELECT {targets} FROM (SELECT s.*{computed} FROM \
             (SELECT {columns} FROM generate_series({from}::int8, {to}::int8) AS g(i){joins}) AS s) AS s \
             WHERE {filters} ORDER BY s.{ROW} LIMIT {wanted}{ON_CONFLICT}",
            table = self.table.name,
            targets = targets.join(", "),
            overriding = if overriding { " OVERRIDING SYSTEM VALUE" } else { "" },
            computed = computed.concat(),
            columns = columns.join(", "),
            filters = filters.join(" AND "),
        )
    }

    /// One of several expressions by chance; NULL in some rows where that may be: in some for all columns, in most
    /// for a few.
    fn any(&self, planned: &Planned<'_>, sources: &[String]) -> String {
        let seed = derive(self.seed, &planned.column.name);
        let value = match sources {
            [only] => only.clone(),
            several => {
                let cases: Vec<String> = several
                    .iter()
                    .enumerate()
                    .map(|(number, source)| format!(" WHEN {number} THEN ({source})::{}", planned.declared))
                    .collect();
                format!("CASE {} % {}{} END", hash(derive(seed, "which")), several.len(), cases.concat())
            }
        };
        if !planned.nullable || planned.distinct && self.is_key(planned) {
            return value;
        }
        let absence = self.absence(&planned.column.name);
        format!("CASE WHEN {absence} THEN NULL ELSE ({value})::{} END", planned.declared)
    }

    /// Whether a unique constraint is on this column alone: its rows are of most use if they have it.
    fn is_key(&self, planned: &Planned<'_>) -> bool {
        self.table.unique.iter().any(|unique| unique == &[planned.column.number])
            && self.table.checks.iter().all(|check| !check.columns.contains(&planned.column.number))
    }

    fn absence(&self, part: &str) -> String {
        let row = hash(derive(self.seed, "absent"));
        let own = hash(derive(derive(self.seed, part), "absent"));
        format!(
            "(CASE {row} % 8 WHEN 0 THEN true WHEN 1 THEN false WHEN 2 THEN false WHEN 3 THEN {own} % 2 = 0 \
             ELSE {own} % 8 = 0 END)"
        )
    }

    fn referred(&self) -> String {
        let mut parts = Vec::new();
        for (number, referred) in self.references.iter().enumerate() {
            let reference = referred.reference;
            let columns: Vec<String> = reference
                .target_columns
                .iter()
                .enumerate()
                .map(|(position, column)| format!("{} AS c{position}", quoted(column)))
                .collect();
            let present: Vec<String> =
                reference.target_columns.iter().map(|column| format!("{} IS NOT NULL", quoted(column))).collect();
            let unused = if referred.distinct { self.unused(referred) } else { String::new() };
            let order: Vec<String> = (1..=columns.len()).map(|position| position.to_string()).collect();
            parts.push(format!(
                "f{number} AS MATERIALIZED (SELECT row_number() OVER () - 1 AS n, t.* FROM (SELECT {} FROM {} AS t \
                 WHERE {}{unused} ORDER BY {} LIMIT {REFERRED_MAX}) AS t), \
                 n{number} AS MATERIALIZED (SELECT nullif(count(*), 0) AS n FROM f{number})",
                columns.join(", "),
                reference.target,
                present.join(" AND "),
                order.join(", "),
            ));
        }
        if parts.is_empty() { String::new() } else { format!("WITH {} ", parts.join(", ")) }
    }

    /// Leaves out what is referred to already.
    fn unused(&self, referred: &Referred<'_>) -> String {
        let pairs: Vec<String> = referred
            .reference
            .columns
            .iter()
            .zip(&referred.reference.target_columns)
            .filter_map(|(number, target)| {
                let own = self.columns.get(self.index_of(*number)?)?;
                Some(format!("u.{} = t.{}", quoted(&own.column.name), quoted(target)))
            })
            .collect();
        format!(" AND NOT EXISTS (SELECT FROM {} AS u WHERE {})", self.table.name, pairs.join(" AND "))
    }

    fn join(&self, number: usize, from: u64) -> String {
        let Some(referred) = self.references.get(number) else { return String::new() };
        let name = &referred.reference.name;
        let random = hash(derive(self.seed, name));
        let present = if referred.nullable { format!(" AND NOT {}", self.absence(name)) } else { String::new() };
        if !referred.agreed.is_empty() {
            let agreed: Vec<String> = referred
                .agreed
                .iter()
                .map(|(position, other, at)| format!("x.c{position} = f{other}.c{at}"))
                .collect();
            return format!(
                " LEFT JOIN LATERAL (SELECT x.* FROM f{number} AS x WHERE {} ORDER BY \
                 hashint8extended(x.n, {random}) LIMIT 1) AS f{number} ON true{present}",
                agreed.join(" AND "),
            );
        }
        let chosen = if referred.distinct {
            format!("g.i - {from}")
        } else {
            format!("{random} % (SELECT n FROM n{number})")
        };
        format!(" LEFT JOIN f{number} ON f{number}.n = {chosen}{present}")
    }

    /// What a row must satisfy, as far as that can be told before it is inserted.
    fn filters(&self, absent: &[&str]) -> Vec<String> {
        let mut filters = vec!["true".to_owned()];
        for planned in &self.columns {
            let is_absent = absent.contains(&planned.column.name.as_str());
            if !planned.nullable && !is_absent {
                filters.push(format!("s.{} IS NOT NULL", quoted(&planned.column.name)));
            }
        }
        for planned in self.columns.iter().filter(|planned| !absent.contains(&planned.column.name.as_str())) {
            let own = planned.conditions.iter().map(|condition| format!("({condition}) IS NOT FALSE"));
            filters.extend(own);
        }
        for check in self.table.checks.iter().filter(|check| check.columns.len() != 1) {
            let names = self.columns.iter().filter(|planned| check.columns.contains(&planned.column.number));
            if names.clone().all(|planned| !absent.contains(&planned.column.name.as_str())) {
                filters.push(format!("({}) IS NOT FALSE", check.expression));
            }
        }
        filters
    }
}
