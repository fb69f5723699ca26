//! Enumerations that are stored as text.

/// A text that stands for no value of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a {kind} ({expected}), found {found:?}")]
pub struct UnknownValue {
    /// What was expected.
    pub kind: &'static str,
    /// All known values.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// Declares an enumeration together with the text of each value, so that neither can be forgotten.
macro_rules! text_enum {
    (
        $(#[$doc:meta])*
        $name:ident($kind:literal) { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $text)] $value,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The text that is stored.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::domain::UnknownValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    $crate::domain::UnknownValue {
                        kind: $kind,
                        expected: [$($text),+].join(", "),
                        found: text.to_owned(),
                    }
                })
            }
        }
    };
}

pub(crate) use text_enum;
