//! What is there before the first migration: on a bare server nothing, on a hosted platform a good deal.

use std::fmt;
use std::str::FromStr;

/// What migrations may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Profile {
    /// Nothing: a new database.
    #[default]
    Plain,
    /// The roles, schemas, functions and tables of a Supabase project, as far as migrations refer to them.
    Supabase,
}

/// A profile that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected plain or supabase, found {0:?}")]
pub struct UnknownProfile(String);

impl Profile {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Supabase];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Supabase => "supabase",
        }
    }

    /// The roles that there are.
    pub(super) fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Supabase => &[
                "anon",
                "authenticated",
                "service_role",
                "authenticator",
                "dashboard_user",
                "supabase_admin",
                "supabase_auth_admin",
                "supabase_storage_admin",
                "supabase_realtime_admin",
            ],
        }
    }

    /// What a superuser does first; `{owner}` is the role that runs the migrations.
    pub(super) fn preparation(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Supabase => Some(include_str!("supabase.sql")),
        }
    }

    /// The extensions that are in place, where the server has them.
    pub(super) fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Supabase => &["pgcrypto", "uuid-ossp", "pg_stat_statements"],
        }
    }

    /// The search path of whoever runs migrations, if it is not the server's own.
    pub(super) fn search_path(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Supabase => Some("\"$user\", public, extensions"),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}
