//! What a repository can do and has, as far as cases depend on it.

/// Something that not every repository offers. Most follow from the fields of a [`Spec`](super::Spec); those that
/// cannot be seen there are declared with [`Spec::can`](super::Spec::can).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Ability {
    /// Declared: records can be updated in part.
    Update,
    /// Declared: records can be deleted.
    Delete,
    /// Declared: records are listed in pages.
    List,
    /// Declared: an update of several fields is one.
    UpdateMany,
    /// Declared: rows can be made to tie in the order of lists.
    Tie,
    /// Declared: measurements are appended to a record.
    Append,
    /// Declared: an append of many measurements is all or nothing.
    AppendMany,
    /// Declared: a repeated append adds nothing.
    AppendOnce,
    /// Declared: connections are pooled, with the limits that the database comes with.
    Pool,
    /// Declared: a connection that broke is replaced.
    Reconnect,
    /// Declared: records belong to the tenant that the database comes with.
    Tenants,
    /// Records are kept in a Postgres database.
    Database,
    /// A field holds text.
    Text,
    /// A field holds text of any length.
    LongText,
    /// A field holds text whose length is limited.
    LimitedText,
    /// A field holds doubles.
    Float,
    /// A field holds whole numbers.
    Integer,
    /// A field holds numbers from a range.
    Range,
    /// A field holds times.
    Time,
    /// A field holds JSON.
    Json,
    /// A field holds one of a few texts.
    Choice,
    /// A field may be absent.
    Optional,
    /// No two records have the same values in some fields.
    Unique,
    /// Records are found by a text.
    Find,
    /// A field that must be unique can be updated.
    UpdateUnique,
    /// A field that may be absent can be updated.
    UpdateOptional,
    /// Two fields can be updated.
    UpdateTwo,
    /// A field of a measurement holds doubles.
    PointFloat,
    /// A field of a measurement holds numbers from a range.
    PointRange,
    /// Of the machine: a server can be had that may be crashed.
    Crash,
    /// Of the machine: small file systems can be mounted.
    Mount,
}

macro_rules! abilities {
    ($($ability:ident: $name:literal, $missing:literal;)+) => {
        impl Ability {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$ability),+];

            /// The name in lists.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$ability => $name,)+ }
            }

            /// Why a case is not run without it.
            #[must_use]
            pub const fn missing(self) -> &'static str {
                match self { $(Self::$ability => $missing,)+ }
            }
        }
    };
}

abilities! {
    Update: "update", "the repository declares no updates";
    Delete: "delete", "the repository declares no deletion";
    List: "list", "the repository declares no lists";
    UpdateMany: "update_many", "the repository does not declare that an update of several fields is one";
    Tie: "tie", "the adapter cannot make rows tie in the order of lists";
    Append: "append", "the repository declares no measurements";
    AppendMany: "append_many", "the repository declares no append of many measurements at once";
    AppendOnce: "append_once", "the repository does not declare that a repeated append adds nothing";
    Pool: "pool", "the repository declares no pool of connections";
    Reconnect: "reconnect", "the repository does not declare that it connects again";
    Tenants: "tenants", "the repository declares no tenants";
    Database: "database", "the repository keeps its records in memory";
    Text: "text", "no field holds text";
    LongText: "long_text", "no field holds text of any length";
    LimitedText: "limited_text", "no field holds text of limited length";
    Float: "float", "no field holds doubles";
    Integer: "integer", "no field holds whole numbers";
    Range: "range", "no field holds numbers from a range";
    Time: "time", "no field holds times";
    Json: "json", "no field holds JSON";
    Choice: "choice", "no field holds one of a few texts";
    Optional: "optional", "no field may be absent";
    Unique: "unique", "no fields must be unique";
    Find: "find", "records are not found by a text";
    UpdateUnique: "update_unique", "no field that must be unique can be updated";
    UpdateOptional: "update_optional", "no field that may be absent can be updated";
    UpdateTwo: "update_two", "fewer than two fields can be updated";
    PointFloat: "point_float", "no field of a measurement holds doubles";
    PointRange: "point_range", "no field of a measurement holds numbers from a range";
    Crash: "crash", "the server was chosen, and may not be crashed";
    Mount: "mount", "only root can mount a small file system";
}
