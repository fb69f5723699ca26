//! How old what others have left is, on a clock that may have been set since.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// How far from now something was changed last; none if it is not there. What seems to come from the future was left
/// before the clock was set back, and is as far away.
pub(crate) fn since_change(path: &Path) -> Option<Duration> {
    let modified = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    let now = SystemTime::now();
    Some(now.duration_since(modified).unwrap_or_else(|ahead| ahead.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_before_the_clock_was_set_grows_old_all_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(since_change(file.path()).unwrap() < Duration::from_secs(60));
        let day = Duration::from_secs(86_400);
        for changed in [SystemTime::now() - day, SystemTime::now() + day] {
            file.as_file().set_modified(changed).unwrap();
            let age = since_change(file.path()).unwrap();
            assert!(age > day / 2 && age < 2 * day, "{age:?}");
        }
        assert_eq!(since_change(&file.path().join("nothing")), None);
    }
}
