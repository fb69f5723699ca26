//! Idempotency keys: which row a request that is sent again has already made.

use std::collections::HashMap;

use uuid::Uuid;

use crate::repository::idempotency::Request;
use crate::repository::{IdempotencyKey, RepositoryError};

/// Keys by the kind of their request.
#[derive(Debug, Default)]
pub(super) struct Rows {
    keys: HashMap<(&'static str, IdempotencyKey), ([u8; 32], Uuid)>,
}

impl Rows {
    /// The row that an earlier request with the key has made, if there was one.
    pub(super) fn recall(&self, request: Request, key: &IdempotencyKey) -> Result<Option<Uuid>, RepositoryError> {
        match self.keys.get(&(request.scope, key.clone())) {
            None => Ok(None),
            Some((digest, row)) if *digest == request.digest => Ok(Some(*row)),
            Some(_) => Err(RepositoryError::KeyReused { key: key.to_string() }),
        }
    }

    /// Remembers which row the request has made.
    pub(super) fn remember(&mut self, request: Request, key: &IdempotencyKey, row: Uuid) {
        self.keys.insert((request.scope, key.clone()), (request.digest, row));
    }
}
