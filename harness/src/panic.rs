//! Panics as data: the hook keeps them off the screen, and their place for the report.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug)]
pub struct Panic {
    message: String,
    place: Option<String>,
}

impl fmt::Display for Panic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(formatter, "expected no panic, found one at {place}: {}", self.message),
            None => write!(formatter, "expected no panic, found one: {}", self.message),
        }
    }
}

/// Replaces the process's panic hook, once, by one that is silent within [`catch`] and as before elsewhere.
pub fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                PLACE.set(info.location().map(|place| format!("{}:{}", place.file(), place.line())));
            } else {
                previous(info);
            }
        }));
    });
}

/// Runs a closure on this thread and returns a panic as a value; silently if [`install_hook`] was called before.
///
/// # Errors
/// The panic, if there was one.
pub fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
    // Within another one, the other goes on catching afterwards.
    let outer = CATCHING.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(outer);
    let place = PLACE.take();
    result.map_err(|payload| Panic { message: message(payload.as_ref()), place })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    text.to_owned()
}
