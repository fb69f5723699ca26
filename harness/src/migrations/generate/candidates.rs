//! Values that a condition might accept, guessed from the constants in it; the server says which it does.

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use super::catalog::Type;
use super::pattern;
use super::value::{Draw, literal};

/// The most constants of a condition that are tried.
const CONSTANTS_MAX: usize = 24;

/// The most constants of which each pair is tried as the ends of an interval.
const PAIRED_MAX: usize = 6;

/// The longest text that is made because a condition speaks of a length.
const LENGTH_MAX: u32 = 4_096;

/// How many texts are made of a regular expression.
const SAMPLES: u64 = 256;

/// An expression that might do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) expression: String,
    /// Whether it differs from row to row.
    pub(super) is_many: bool,
}

impl Candidate {
    pub(super) fn one(expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), is_many: false }
    }

    pub(super) fn many(expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), is_many: true }
    }
}

/// The constants of conditions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Constants {
    pub(super) texts: Vec<String>,
    /// As they are written; those in quotes included.
    pub(super) numbers: Vec<String>,
}

impl Constants {
    /// Those of an expression as the server writes it.
    pub(super) fn of<'a>(expressions: impl IntoIterator<Item = &'a str>) -> Self {
        let mut constants = Self::default();
        for expression in expressions {
            let mut at = 0;
            for token in tokenize(expression) {
                let end = at + usize::try_from(token.len).unwrap_or(usize::MAX);
                let text = expression.get(at..end).unwrap_or_default();
                at = end;
                let TokenKind::Literal { kind } = token.kind else { continue };
                match kind {
                    LiteralKind::Int { .. } | LiteralKind::Numeric { .. } => constants.number(text),
                    LiteralKind::Str { .. } => constants.text(text.trim_matches('\'').replace("''", "'")),
                    LiteralKind::EscStr { .. } => {
                        let inner = text.get(2..text.len().saturating_sub(1)).unwrap_or_default();
                        constants.text(inner.replace("''", "'").replace("\\\\", "\\"));
                    }
                    _ => {}
                }
            }
        }
        constants.sort();
        constants
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.numbers.is_empty()
    }

    fn text(&mut self, text: String) {
        self.number(&text);
        // `'{a,b}'` is how the server writes a constant array.
        if let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            for element in inner.split(',').take(CONSTANTS_MAX) {
                self.text_once(element.trim_matches('"').to_owned());
                self.number(element);
            }
        }
        self.text_once(text);
    }

    fn text_once(&mut self, text: String) {
        if self.texts.len() < CONSTANTS_MAX && !self.texts.contains(&text) {
            self.texts.push(text);
        }
    }

    fn number(&mut self, text: &str) {
        let is_new = !self.numbers.iter().any(|number| number == text);
        if self.numbers.len() < CONSTANTS_MAX && is_new && finite(text).is_some() {
            self.numbers.push(text.to_owned());
        }
    }

    fn sort(&mut self) {
        self.numbers.sort_by(|a, b| finite(a).partial_cmp(&finite(b)).unwrap_or(std::cmp::Ordering::Equal));
    }

    /// Lengths that a condition may speak of.
    fn lengths(&self) -> Vec<u32> {
        let lengths = self.numbers.iter().filter_map(|number| number.parse().ok());
        let mut lengths: Vec<u32> = lengths.flat_map(|length: u32| [length, length + 1]).collect();
        lengths.retain(|length| (1..=LENGTH_MAX).contains(length));
        lengths.dedup();
        lengths
    }
}

fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// What to try for a type, where its conditions have these constants; the best first.
pub(super) fn candidates(draw: Draw<'_>, found: &Type, constants: &Constants) -> Vec<Candidate> {
    let mut list = Vec::new();
    let name = &found.name;
    if found.element != 0 {
        arrays(draw, found, constants, &mut list);
    } else if let Some(labels) = &found.labels {
        list.extend(labels.iter().map(|label| Candidate::one(format!("{}::{name}", literal(label)))));
    } else if found.kind == "r" {
        list.extend(["empty", "(,)"].map(|text| Candidate::one(format!("'{text}'::{name}"))));
    } else if found.kind == "m" {
        list.extend(["{}", "{(,)}"].map(|text| Candidate::one(format!("'{text}'::{name}"))));
    } else {
        let kind = found.builtin.as_deref().unwrap_or(&found.word);
        match kind {
            "bool" => list.extend(["true", "false"].map(Candidate::one)),
            "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" | "money" => {
                numbers(draw, kind, constants, &mut list);
            }
            "text" | "varchar" | "bpchar" | "citext" | "name" => texts(draw, constants, &mut list),
            "json" | "jsonb" => documents(kind, constants, &mut list),
            "date" | "timestamp" | "timestamptz" | "time" | "timetz" => times(draw, kind, constants, &mut list),
            "interval" => {
                let unit = draw.unit();
                for text in &constants.texts {
                    let text = literal(text);
                    list.push(Candidate::many(format!("({unit} * {text}::interval)")));
                    list.push(Candidate::many(format!("({text}::interval + {unit} * interval '1 hour')")));
                }
            }
            "bytea" => {
                for length in constants.lengths() {
                    list.push(Candidate::many(format!(
                        "decode(rpad(lpad(to_hex(g.i), 8, '0'), {}, 'ab'), 'hex')",
                        length * 2
                    )));
                }
            }
            _ => list
                .extend(constants.texts.iter().map(|text| Candidate::one(format!("{}::{name}", literal(text))))),
        }
    }
    list
}

fn numbers(draw: Draw<'_>, kind: &str, constants: &Constants, list: &mut Vec<Candidate>) {
    let unit = draw.unit();
    let is_whole = kind.starts_with("int");
    // Through numeric, which holds what either of the others can.
    let cast = |text: &str| format!("'{text}'::numeric");
    let numbers = &constants.numbers;
    let first: Vec<&String> = numbers.iter().take(PAIRED_MAX).collect();
    for (index, low) in first.iter().enumerate() {
        for high in first.iter().skip(index + 1) {
            let (low, high) = (cast(low), cast(high));
            list.push(Candidate::many(if is_whole {
                format!("least(floor({low} + ({high} - {low} + 1) * ({unit})::numeric), {high})::{kind}")
            } else {
                format!("({low} + ({high} - {low}) * ({unit})::numeric)::{kind}")
            }));
        }
    }
    for number in numbers {
        let number = cast(number);
        list.push(Candidate::one(format!("({number})::{kind}")));
        for reach in [1_000_000, 1_000, 10] {
            let step = format!("({unit} * {reach})::numeric");
            let step = if is_whole { format!("floor({step})") } else { step };
            list.push(Candidate::many(format!("({number} + {step})::{kind}")));
            list.push(Candidate::many(format!("({number} - {step})::{kind}")));
        }
        list.push(Candidate::one(format!("({number} + 1)::{kind}")));
        list.push(Candidate::one(format!("({number} - 1)::{kind}")));
        list.push(Candidate::many(format!("({number} + g.i)::{kind}")));
        list.push(Candidate::many(format!("({number} - g.i)::{kind}")));
        list.push(Candidate::many(format!("({number} * g.i)::{kind}")));
        if !is_whole {
            list.push(Candidate::many(format!("({number} * ({unit})::numeric)::{kind}")));
        }
    }
    list.push(Candidate::many(format!("(g.i)::numeric::{kind}")));
    list.push(Candidate::many(format!("(-g.i)::numeric::{kind}")));
    list.push(Candidate::one(format!("0::numeric::{kind}")));
    if !is_whole {
        list.push(Candidate::many(format!("({unit})::numeric::{kind}")));
    }
}

fn texts(draw: Draw<'_>, constants: &Constants, list: &mut Vec<Candidate>) {
    list.extend(constants.texts.iter().map(|text| Candidate::one(literal(text))));
    for text in &constants.texts {
        for samples in [pattern::of_like(text, SAMPLES), pattern::of_regex(text, SAMPLES)].into_iter().flatten() {
            let (count, samples): (usize, Vec<String>) =
                (samples.len(), samples.iter().map(|sample| literal(sample)).collect());
            list.push(Candidate::many(format!("(ARRAY[{}])[1 + (g.i % {count})::int]", samples.join(", "))));
        }
    }
    for length in constants.lengths() {
        list.push(Candidate::many(format!("lpad(g.i::text, {length}, '0')")));
        list.push(Candidate::many(format!("rpad('a' || g.i, {length}, 'x')")));
        list.push(Candidate::many(format!("left(upper(md5(g.i::text)), {length})")));
    }
    list.extend(
        [
            "'a' || g.i",
            "'A' || g.i",
            "g.i::text",
            "to_hex(g.i)",
            "md5(g.i::text)",
            "md5(g.i::text) || md5((g.i + 1)::text)",
            "'sha256:' || md5(g.i::text) || md5((g.i + 1)::text)",
            "md5(g.i::text)::uuid::text",
            "'name_' || g.i",
            "translate(g.i::text, '0123456789', 'abcdefghij')",
            "upper(translate(lpad((g.i % 676)::text, 3, '0'), '0123456789', 'abcdefghij'))",
            "chr(65 + (g.i / 26 % 26)::int) || chr(65 + (g.i % 26)::int)",
            "'user' || g.i || '@example.org'",
            "'https://example.org/' || g.i",
            "'/path/' || g.i",
            "'s3://bucket/' || g.i",
            "g.i || '.0.0'",
            "'v' || g.i || '.0.0'",
            "'+49' || lpad(g.i::text, 9, '0')",
            "('2024-01-01'::date + (g.i % 3000)::int)::text",
            "'10.0.' || g.i / 256 % 256 || '.' || g.i % 256",
        ]
        .map(Candidate::many),
    );
    list.extend(["'UTC'", "'en'", "'EUR'", "''", "'0 0 * * *'", "'{}'"].map(Candidate::one));
    for text in constants.texts.iter().take(PAIRED_MAX) {
        let text = literal(text);
        list.push(Candidate::many(format!("{text} || g.i")));
        list.push(Candidate::many(format!("g.i || {text}")));
        list.push(Candidate::many(format!("g.i || {text} || {} % 1000", super::value::hash(draw.seed))));
    }
}

fn documents(kind: &str, constants: &Constants, list: &mut Vec<Candidate>) {
    for value in ["g.i", "'text'", "true", "'[1]'::jsonb", "'{\"name\": 1}'::jsonb"] {
        let keys: Vec<String> =
            constants.texts.iter().take(CONSTANTS_MAX).map(|key| format!("{}, {value}", literal(key))).collect();
        list.push(Candidate::many(format!("jsonb_build_object({})::{kind}", keys.join(", "))));
    }
    for text in
        ["[1, 2]", "[]", "{}", "[\"text\"]", "[{\"name\": \"text\"}]", "\"text\"", "1", "0.5", "true", "null"]
    {
        list.push(Candidate::one(format!("'{text}'::{kind}")));
    }
    list.push(Candidate::many(format!("jsonb_build_array(g.i, g.i + 1)::{kind}")));
    list.push(Candidate::many(format!("to_jsonb(g.i)::{kind}")));
    list.push(Candidate::many(format!("to_jsonb('text' || g.i)::{kind}")));
}

fn times(draw: Draw<'_>, kind: &str, constants: &Constants, list: &mut Vec<Candidate>) {
    let unit = draw.unit();
    // A date is made of a timestamp, which knows parts of a day; a time of day is not to run over midnight.
    let (through, reaches): (&str, &[&str]) = match kind {
        "date" => ("timestamp", &["700 days", "20 days", "1 day"]),
        "time" | "timetz" => ("time", &["1 hour", "1 minute"]),
        _ => (kind, &["700 days", "20 days", "1 hour"]),
    };
    let ends: Vec<String> =
        constants.texts.iter().take(PAIRED_MAX).map(|text| format!("{}::{through}", literal(text))).collect();
    for (index, one) in ends.iter().enumerate() {
        for other in ends.iter().skip(index + 1) {
            let (low, high) = (format!("least({one}, {other})"), format!("greatest({one}, {other})"));
            list.push(Candidate::many(format!("({low} + {unit} * ({high} - {low}))::{kind}")));
        }
    }
    for end in &ends {
        for reach in reaches {
            list.push(Candidate::many(format!("({end} + {unit} * interval '{reach}')::{kind}")));
            list.push(Candidate::many(format!("({end} - {unit} * interval '{reach}')::{kind}")));
        }
        list.push(Candidate::one(format!("({end})::{kind}")));
    }
    if kind.starts_with("timestamp") || kind == "date" {
        // Conditions on now(), which are true of the past or of the future.
        list.push(Candidate::many(format!("('1990-01-01'::{through} + {unit} * interval '7000 days')::{kind}")));
        list.push(Candidate::many(format!("('2100-01-01'::{through} + {unit} * interval '7000 days')::{kind}")));
        list.push(Candidate::many(format!(
            "('2024-01-01'::{through} + floor({unit} * 700) * interval '1 day')::{kind}"
        )));
        list.push(Candidate::many(format!("('2000-01-01'::{through} + g.i * interval '1 month')::{kind}")));
    }
}

fn arrays(draw: Draw<'_>, found: &Type, constants: &Constants, list: &mut Vec<Candidate>) {
    let name = &found.name;
    let of =
        |element: &str| Draw { seed: super::value::derive(draw.seed, element), ..draw }.value(found.element, -1);
    let elements: Option<Vec<String>> = ["a", "b", "c"].into_iter().map(of).collect();
    for elements in elements.iter() {
        for count in 1..=elements.len() {
            let elements = elements.get(..count).unwrap_or_default().join(", ");
            list.push(Candidate::many(format!("ARRAY[{elements}]::{name}")));
        }
    }
    list.push(Candidate::one(format!("'{{}}'::{name}")));
    for text in constants.texts.iter().filter(|text| !text.starts_with('{')) {
        list.push(Candidate::one(format!("ARRAY[{}]::{name}", literal(text))));
    }
    for length in constants.lengths().into_iter().filter(|length| *length <= 100) {
        // Whatever a domain refuses, it is seldom this.
        list.push(Candidate::one(format!("array_fill(NULL::text, ARRAY[{length}])::{name}")));
        for elements in elements.iter() {
            let element = elements.first().map_or("NULL", String::as_str);
            list.push(Candidate::many(format!("array_fill({element}, ARRAY[{length}])::{name}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_found_in_what_the_server_writes() {
        let constants = Constants::of([
            "((status)::text = ANY ((ARRAY['a'::character varying, 'it''s'::character varying])::text[]))",
            "((x >= '-5'::integer) AND (x <= 1.5))",
            r"(name ~ E'^\\d+$'::text)",
        ]);
        assert_eq!(constants.numbers, ["-5", "1.5"]);
        assert_eq!(constants.texts, ["a", "it's", "-5", r"^\d+$"]);
    }
}
