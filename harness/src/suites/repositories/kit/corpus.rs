//! Values that stores are known to get wrong.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// Texts, none of them equal to another one.
pub(super) const TEXTS: &[&str] = &[
    "plain",
    "PLAIN",
    " leading and trailing \t",
    "line\nbreak\r\nand\ttab",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{1f469}\u{200d}\u{1f52c} and \u{1f600}",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{202e}reversed\u{202c}",
    "\u{feff}byte order mark",
    "\u{1}\u{7f}\u{80}\u{9f}",
    "\u{fffd}\u{ffff}\u{10ffff}",
    "NULL",
    "null",
    "\\N",
    "\\000 \\x00 \\\\",
    "it's \"quoted\" `so`",
    "'); DROP TABLE records; --",
    "' OR '1'='1",
    "$1 $2 :name ?",
    "%",
    "_",
    "100% of a_b",
    "{\"json\": true}",
    "[1, 2, 3]",
    "{a,b}",
    "0",
    "1e3",
    "true",
    "2024-02-29T23:59:60Z",
    "\u{130}\u{131}\u{df}",
];

/// Texts with an octet that Postgres cannot store.
pub(super) const WITH_NUL: &[&str] = &["\0", "a\0", "\0a", "a\0b"];

/// What an attacker would write where a statement is put together from texts.
pub(super) const INJECTIONS: &[&str] = &[
    "'; DELETE FROM pg_class; --",
    "' OR 1=1 --",
    "\" OR \"\"=\"",
    "1; SELECT pg_sleep(60)",
    "') UNION SELECT NULL --",
    "\\'; DROP SCHEMA public CASCADE; --",
    "$$; COMMIT; $$",
    "%' OR '%'='",
];

/// Doubles at which conversions go wrong.
pub(super) const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    0.1 + 0.2,
    1.0 / 3.0,
    5e-324,
    -5e-324,
    2.225_073_858_507_201e-308,
    f64::MIN_POSITIVE,
    f64::EPSILON,
    1.0 + f64::EPSILON,
    9_007_199_254_740_991.0,
    9_007_199_254_740_993.0,
    1e22,
    1e23,
    123_456_789.123_456_79,
    f64::MAX,
    f64::MIN,
];

/// Whole numbers at which conversions go wrong.
pub(super) const INTEGERS: &[i64] = &[
    0,
    1,
    -1,
    127,
    128,
    32_767,
    32_768,
    -32_769,
    2_147_483_647,
    2_147_483_648,
    -2_147_483_649,
    9_007_199_254_740_993,
    -9_007_199_254_740_993,
    i64::MAX - 1,
    i64::MAX,
    i64::MIN + 1,
    i64::MIN,
];

/// Moments: around 1970 and the epoch of Postgres, a leap day, the hours that a clock skips and repeats in New York
/// and in Lord Howe, where it is half an hour, and far from today.
pub(super) const TIMES: &[&str] = &[
    "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01T00:00:00.000001Z",
    "1999-12-31T23:59:59.999999Z",
    "2000-01-01T00:00:00Z",
    "2024-02-29T12:00:00.123456Z",
    "2024-03-10T06:59:59.999999Z",
    "2024-03-10T07:00:00Z",
    "2024-11-03T05:30:00Z",
    "2024-11-03T06:30:00Z",
    "2024-04-06T14:45:00Z",
    "2024-04-06T15:15:00Z",
    "1883-11-18T17:00:00Z",
    "1900-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2038-01-19T03:14:08Z",
];

/// Documents that are their own form in `jsonb`, so that equal means equal.
pub(super) fn documents() -> Vec<Json> {
    let mut nested = json!("deep");
    for _ in 0..60 {
        nested = json!([nested]);
    }
    let wide: serde_json::Map<String, Json> = (0..500).map(|n| (format!("key {n:03}"), json!(n))).collect();
    vec![
        json!({}),
        json!([]),
        json!(""),
        json!("text"),
        json!("\"quoted\" \\ / \u{8}\u{c}\n\r\t"),
        json!("{\"looks\": \"encoded twice\"}"),
        json!(true),
        json!(0),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993_i64),
        json!(0.1),
        json!(1e-7),
        json!({ "a": null, "b": [null], "": "empty key", "ключ": "\u{1f600}", "a b": { "a": [] } }),
        json!({ "z": 1, "a": 2, "aa": 3, "B": 4 }),
        json!([[], {}, [[]], "", null, false]),
        Json::Object(wide),
        nested,
    ]
}

/// Documents, small ones as well as nested ones.
pub(super) fn json_strategy() -> BoxedStrategy<Json> {
    let text = prop::collection::vec(any::<char>(), 0..8)
        .prop_map(|text| text.into_iter().filter(|character| *character != '\0').collect::<String>());
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1_000_000_i32..1_000_000).prop_map(|n| Json::from(f64::from(n) / 64.0 + 0.5 / 64.0)),
        text.clone().prop_map(Json::from),
    ];
    let inner = prop_oneof![1 => Just(Json::Null), 6 => leaf.clone()];
    let tree = inner.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(text.clone(), inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    });
    prop_oneof![1 => leaf, 3 => tree.prop_filter("a document", |document| !document.is_null())].boxed()
}

/// Whether a text within the document holds what `jsonb` cannot.
pub(super) fn has_nul(document: &Json) -> bool {
    match document {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(has_nul),
        Json::Object(map) => map.iter().any(|(key, item)| key.contains('\0') || has_nul(item)),
        _ => false,
    }
}
