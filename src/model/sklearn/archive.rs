//! The archive: a zip file of a description, `schema.json`, and arrays. Nothing in it is executed.

use std::cell::{Cell, RefCell};
use std::io::{Cursor, Read as _};

use zip::ZipArchive;

use super::FORMAT;
use super::item::Item;
use crate::model::error::ModelError;

/// The name of the description.
const SCHEMA: &str = "schema.json";

/// How much may be unpacked, in bytes: so much in any case, and so many times the file's size. What is unpacked becomes
/// several times as large in memory.
const UNPACKED_BYTES_MIN: u64 = 16 << 20;
const UNPACKED_TIMES_MAX: u64 = 20;

/// The most entries: each tree has three arrays.
const ENTRIES_MAX: usize = 1 << 20;

pub(super) struct Archive<'a> {
    zip: RefCell<ZipArchive<Cursor<&'a [u8]>>>,
    /// How many bytes may still be unpacked.
    left: Cell<u64>,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| layout(format!("no zip file: {error}")))?;
        if zip.len() > ENTRIES_MAX {
            return Err(ModelError::TooLarge {
                what: "number of entries",
                found: zip.len() as u64,
                limit: ENTRIES_MAX as u64,
            });
        }
        let limit = UNPACKED_BYTES_MIN.max((bytes.len() as u64).saturating_mul(UNPACKED_TIMES_MAX));
        Ok(Self { zip: RefCell::new(zip), left: Cell::new(limit) })
    }

    /// The description of the model.
    pub(super) fn schema(&self) -> Result<Item, ModelError> {
        let bytes = self.unpack(SCHEMA)?;
        serde_json::from_slice(&bytes).map_err(|error| ModelError::json(FORMAT, &error))
    }

    /// The content of an entry.
    pub(super) fn unpack(&self, name: &str) -> Result<Vec<u8>, ModelError> {
        let mut zip = self.zip.borrow_mut();
        let entry = zip.by_name(name).map_err(|error| layout(format!("entry {name:?}: {error}")))?;
        let mut content = Vec::new();
        // What the archive says of its sizes is not believed.
        let read = entry.take(self.left.get() + 1).read_to_end(&mut content);
        read.map_err(|error| layout(format!("entry {name:?}: {error}")))?;
        let left = self.left.get().checked_sub(content.len() as u64);
        self.left.set(left.ok_or_else(|| {
            let expected = "entries of no more bytes unpacked than the file's size suggests";
            ModelError::invalid(format!("entry {name:?}"), expected, "more")
        })?);
        Ok(content)
    }
}

pub(super) fn layout(message: impl Into<String>) -> ModelError {
    ModelError::Layout { format: FORMAT, message: message.into() }
}
