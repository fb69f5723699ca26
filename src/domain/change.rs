//! Partial updates: what is not mentioned stays as it is, which is not the same as being set to nothing.

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It gets this value; for a field that may be absent, `Set(None)` removes it.
    Set(T),
}

impl<T> Change<T> {
    /// The new value, if there is one.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Keep => None,
            Self::Set(value) => Some(value),
        }
    }

    /// Makes the change.
    pub fn apply(self, field: &mut T) {
        if let Self::Set(value) = self {
            *field = value;
        }
    }
}

impl<T> Change<Option<T>> {
    /// The new value to be checked, if there is one.
    pub fn value(&self) -> Option<&T> {
        self.set().and_then(Option::as_ref)
    }
}
