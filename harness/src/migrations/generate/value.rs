//! Values of every type, as expressions that the server computes from the number of a row.
//!
//! In all of them `g.i` is the number of the row, from one. Every draw has a seed of its own, so that columns do not
//! depend on each other, and none depends on how many rows there are.

use super::catalog::{Catalog, Type};

/// How deep types may be nested.
const DEPTH_MAX: usize = 6;

/// The largest modulus of what is drawn: a prime, so that it has no pattern with any other.
const STEPS: u32 = 1_000_003;

/// How one value is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw<'a> {
    pub(super) catalog: &'a Catalog,
    /// What the value is random by.
    pub(super) seed: i64,
    /// What a text begins with.
    pub(super) word: &'a str,
    /// Whether no two rows may have the same.
    pub(super) distinct: bool,
    /// Its place among those columns of the row that have an order; see [`Place`].
    pub(super) place: Option<Place>,
}

/// In half of the rows the columns that have an order ascend from left to right, in a quarter they descend: most
/// conditions between two columns say that one is not less than the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// What the row's mode is drawn by.
    pub(super) row_seed: i64,
    /// Which of them it is, from zero.
    pub(super) index: usize,
    /// How many there are.
    pub(super) of: usize,
}

/// A text as a literal of SQL, whatever `standard_conforming_strings` is.
#[must_use]
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A number from 0 to 2^63 that depends on the row and the seed alone.
pub(super) fn hash(seed: i64) -> String {
    format!("(hashint8extended(g.i, '{seed}'::int8) & 9223372036854775807)")
}

/// Another seed for a part of something.
pub(super) fn derive(seed: i64, part: &str) -> i64 {
    // FNV-1a: stable across versions and machines, which the standard library's hashes are not.
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ seed.cast_unsigned();
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    part.as_bytes().iter().fold(start, mix).cast_signed()
}

impl<'a> Draw<'a> {
    /// The same for a part of the value.
    fn part(self, part: &str) -> Self {
        Self { seed: derive(self.seed, part), ..self }
    }

    /// A number from 0 to 1, without 1.
    pub(super) fn unit(self) -> String {
        let random = format!("({} % {STEPS} / {STEPS}.0::float8)", hash(self.seed));
        let Some(Place { row_seed, index, of }) = self.place.filter(|place| place.of > 1) else { return random };
        let mode = hash(row_seed);
        format!(
            "((CASE {mode} % 4 WHEN 0 THEN {random} WHEN 1 THEN {down} + {random} ELSE {index} + {random} END) \
             / CASE {mode} % 4 WHEN 0 THEN 1 ELSE {of} END::float8)",
            down = of - 1 - index.min(of - 1),
        )
    }

    /// A value of a type, not NULL; nothing if the type is not known.
    pub(super) fn value(self, oid: i64, modifier: i32) -> Option<String> {
        self.nested(oid, modifier, 0)
    }

    fn nested(self, oid: i64, modifier: i32, depth: usize) -> Option<String> {
        if depth > DEPTH_MAX {
            return None;
        }
        let resolved = self.catalog.resolve(oid, modifier);
        let found = resolved.base?;
        let name = &found.name;
        if found.element != 0 {
            // Values within others are not tried: none is better than one that a domain refuses.
            if !self.catalog.resolve(found.element, -1).checks.is_empty() {
                return Some(format!("'{{}}'::{name}"));
            }
            let elements: Option<Vec<String>> = ["first", "second"]
                .into_iter()
                .map(|part| self.part(part).nested(found.element, resolved.modifier, depth + 1))
                .collect();
            return Some(format!("ARRAY[{}]::{name}", elements?.join(", ")));
        }
        match found.kind.as_str() {
            "e" => {
                let labels: Vec<String> = found.labels.iter().flatten().map(|label| literal(label)).collect();
                (!labels.is_empty()).then(|| {
                    let (count, labels) = (labels.len(), labels.join(", "));
                    format!("(ARRAY[{labels}])[1 + ({} % {count})::int]::{name}", hash(self.seed))
                })
            }
            "r" | "m" => {
                let range = found.range.as_ref()?;
                // Where no two may overlap, each holds one value, and all of them differ.
                let low = self.nested(range.subtype, -1, depth + 1)?;
                let span = if self.distinct {
                    format!("{}({low}, {low}, '[]')", range.range)
                } else {
                    let high = self.part("high").nested(range.subtype, -1, depth + 1)?;
                    format!("{}(LEAST({low}, {high}), GREATEST({low}, {high}), '[]')", range.range)
                };
                Some(if found.kind == "m" { format!("{name}({span})") } else { span })
            }
            "c" => {
                let attributes: Option<Vec<String>> = found
                    .attributes
                    .iter()
                    .flatten()
                    .enumerate()
                    .map(|(number, attribute)| {
                        if !self.catalog.resolve(attribute.type_oid, attribute.modifier).checks.is_empty() {
                            return Some("NULL".to_owned());
                        }
                        let part = self.part(&number.to_string());
                        part.nested(attribute.type_oid, attribute.modifier, depth + 1)
                    })
                    .collect();
                Some(format!("ROW({})::{name}", attributes?.join(", ")))
            }
            _ => self.scalar(found, resolved.modifier),
        }
    }

    fn scalar(self, found: &Type, modifier: i32) -> Option<String> {
        let Some(builtin) = found.builtin.as_deref() else { return self.of_extension(found, modifier) };
        let (unit, random) = (self.unit(), hash(self.seed));
        let step = if self.distinct { " + g.i * interval '1 minute'" } else { "" };
        Some(match builtin {
            "bool" => format!("({random} % 2 = 0)"),
            "int2" | "int4" | "int8" | "oid" if self.distinct => format!("g.i::{builtin}"),
            "int2" | "int4" | "int8" => format!("floor({unit} * 1000)::{builtin}"),
            "float4" | "float8" if self.distinct => format!("(g.i + {unit})::{builtin}"),
            "float4" | "float8" => format!("({unit})::{builtin}"),
            "numeric" => self.decimal(modifier),
            "money" => format!("(floor({unit} * 100000) / 100)::numeric::money"),
            "text" | "varchar" | "bpchar" | "name" => {
                let length = (builtin != "name" && modifier > 4).then(|| modifier - 4);
                format!("{}::{builtin}", self.text(length))
            }
            "char" => "chr(97 + (g.i % 26)::int)::\"char\"".to_owned(),
            "bytea" => format!("decode(md5(({random})::text || g.i), 'hex')"),
            "uuid" => format!("md5(({random})::text || g.i)::uuid"),
            "json" | "jsonb" => {
                format!("{builtin}_build_object('name', {}, 'row', g.i)", literal(self.word))
            }
            "date" if self.distinct => "('2000-01-01'::date + g.i::int)".to_owned(),
            "date" => format!("('2024-01-01'::date + floor({unit} * 700)::int)"),
            "timestamp" => format!("('2024-01-01 00:00:00'::timestamp + {unit} * interval '700 days'{step})"),
            "timestamptz" => {
                format!("('2024-01-01 00:00:00+00'::timestamptz + {unit} * interval '700 days'{step})")
            }
            "time" => format!("('00:00'::time + {unit} * interval '23 hours'{step})"),
            "timetz" => format!("('00:00+00'::timetz + {unit} * interval '23 hours'{step})"),
            "interval" => format!("({unit} * interval '1 hour'{step})"),
            "inet" if self.distinct => "('10.0.0.0'::inet + g.i)".to_owned(),
            "inet" => format!("('10.0.0.0'::inet + {random} % 16777216)"),
            "cidr" if self.distinct => "('10.0.0.0'::inet + g.i)::cidr".to_owned(),
            "cidr" => format!("network(set_masklen('10.0.0.0'::inet + {random} % 16777216, 24))"),
            "macaddr" => format!("right(md5(({random})::text || g.i), 12)::macaddr"),
            "macaddr8" => format!("right(md5(({random})::text || g.i), 16)::macaddr8"),
            "bit" => format!("({random})::bit({})", modifier.max(1)),
            "varbit" if modifier > 0 => format!("({random})::bit({modifier})::varbit"),
            "varbit" => format!("({random})::bit(16)::varbit"),
            "tsvector" => format!("to_tsvector('simple'::regconfig, {})", self.text(None)),
            "tsquery" => "'word'::tsquery".to_owned(),
            "point" => format!("point({unit}, g.i)"),
            "line" => "'{1,2,3}'::line".to_owned(),
            "lseg" => format!("lseg(point(0, g.i), point(1, {unit}))"),
            "box" => format!("box(point(0, g.i), point(1, {unit}))"),
            "path" => format!("path(polygon(box(point(0, g.i), point(1, {unit}))))"),
            "polygon" => format!("polygon(box(point(0, g.i), point(1, {unit})))"),
            "circle" => format!("circle(point(0, g.i), 1 + {unit})"),
            "xml" => "'<row/>'::xml".to_owned(),
            "pg_lsn" => "('0/' || to_hex(g.i))::pg_lsn".to_owned(),
            "oid" => "'1'::oid".to_owned(),
            "xid" => "'1'::xid".to_owned(),
            "xid8" => "(g.i::text)::xid8".to_owned(),
            "jsonpath" => "'$.name'::jsonpath".to_owned(),
            "regclass" => "'pg_catalog.pg_class'::regclass".to_owned(),
            "regtype" => "'int4'::regtype".to_owned(),
            "regproc" => "'pg_catalog.now'::regproc".to_owned(),
            "regconfig" => "'simple'::regconfig".to_owned(),
            _ => return None,
        })
    }

    /// A type that an extension brought, by its name.
    fn of_extension(self, found: &Type, modifier: i32) -> Option<String> {
        let (name, unit) = (&found.name, self.unit());
        Some(match found.word.as_str() {
            "citext" => format!("({})::{name}", self.text(None)),
            "hstore" => format!("('\"name\"=>\"' || {} || '\"')::{name}", self.text(None)),
            "ltree" => format!("('root.n' || g.i)::{name}"),
            "lquery" => format!("'root.*'::{name}"),
            "vector" | "halfvec" => format!(
                "('[' || (SELECT string_agg(({} % 1000 * d % 997 / 997.0)::real::text, ',') \
                 FROM generate_series(1, {}) AS d) || ']')::{name}",
                hash(self.seed),
                if modifier > 0 { modifier } else { 3 },
            ),
            "sparsevec" => format!("('{{1:' || {unit} || '}}/{}')::{name}", modifier.max(3)),
            "cube" => format!("('(' || {unit} || ')')::{name}"),
            "seg" => format!("({unit})::real::text::{name}"),
            "geometry" | "geography" => format!("('SRID=4326;POINT(' || {unit} || ' ' || {unit} || ')')::{name}"),
            _ => return None,
        })
    }

    /// What ends in the row's number, so that cutting it from the left leaves it different from others.
    fn text(self, length_max: Option<i32>) -> String {
        match length_max {
            Some(1) => "chr(97 + (g.i % 26)::int)".to_owned(),
            Some(length @ 2..=5) => format!("right(lpad(to_hex(g.i), {length}, '0'), {length})"),
            _ => {
                let word = literal(self.word);
                let text = format!("({word} || '-' || {} % 1000 || '-' || g.i)", hash(self.seed));
                match length_max {
                    Some(length) => format!("right({text}, {length})"),
                    None => text,
                }
            }
        }
    }

    fn decimal(self, modifier: i32) -> String {
        let unit = self.unit();
        let Some((precision, scale)) = precision_and_scale(modifier) else {
            return if self.distinct {
                "g.i::numeric".to_owned()
            } else {
                format!("(floor({unit} * 100000) / 100)::numeric")
            };
        };
        if self.distinct {
            // As many different values as the type has.
            format!("((g.i % (10::numeric ^ {})) / (10::numeric ^ {scale}))", precision.min(18))
        } else {
            format!("round(({unit} * 0.99 * (10::float8 ^ {}))::numeric, {scale})", (precision - scale).min(3))
        }
    }
}

/// What `numeric(p, s)` was declared with.
pub(super) fn precision_and_scale(modifier: i32) -> Option<(i32, i32)> {
    let bits = modifier.checked_sub(4).filter(|bits| *bits >= 0)?;
    let scale = bits & 0x7ff;
    // Eleven bits, the first of them the sign.
    Some(((bits >> 16) & 0xffff, if scale >= 0x400 { scale - 0x800 } else { scale }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_taken_apart() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(precision_and_scale(modifier(6, 5)), Some((6, 5)));
        assert_eq!(precision_and_scale(modifier(2, -3)), Some((2, -3)));
        assert_eq!(precision_and_scale(-1), None);
    }

    #[test]
    fn literals_are_quoted() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b'"), r"E'a\\b'''");
    }
}
