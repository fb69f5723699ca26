//! Reads a directory, whatever is in it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::detect::{assemble, is_settings, is_sql};
use super::files::SourceFile;
use super::order_file::OrderFile;
use super::problem::{Problem, ProblemKind};
use super::{Layout, Project};
use crate::event::Level;

/// The longest script that is read, in bytes.
pub const SCRIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The most bytes that are read altogether.
const PROJECT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The most files in a project.
pub const FILES_MAX: usize = 10_000;

/// How deep directories may be within each other.
pub const DEPTH_MAX: usize = 16;

/// The longest file with settings, in bytes.
const SETTINGS_BYTES_MAX: u64 = 64 * 1024;

/// Directories in which nobody keeps migrations.
const PASSED_OVER: [&str; 2] = ["node_modules", "target"];

/// How a directory is read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The layout, where it is not to be told from the files.
    pub layout: Option<Layout>,
    /// A file that says the order: one path a line, relative to the directory; `#` begins a comment. Only looked at by
    /// [`Project::read`].
    pub order: Option<PathBuf>,
}

/// Why a directory is no project.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not there, or may not be read.
    #[error("expected a directory of SQL migrations, found that {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The directory or order file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// It is a file.
    #[error("expected a directory of SQL migrations, found that {} is none; name the directory that it is in", path.display())]
    NotADirectory {
        /// What is there.
        path: PathBuf,
    },
    /// No file with SQL is in it.
    #[error(
        "expected files such as 0001_name.sql in {} or a directory in it, found none among {others} other files; name the \
         directory that the migrations are in",
        directory.display()
    )]
    Empty {
        /// The directory.
        directory: PathBuf,
        /// How many other files there are.
        others: usize,
    },
    /// Too many files are in it.
    #[error("expected at most {FILES_MAX} files in {}, found more; name the directory that the migrations are in", directory.display())]
    TooMany {
        /// The directory.
        directory: PathBuf,
    },
}

pub(super) fn read(directory: &Path, options: &ReadOptions) -> Result<Project, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: directory.to_owned(), source };
    if !fs::metadata(directory).map_err(unreadable)?.is_dir() {
        return Err(ReadError::NotADirectory { path: directory.to_owned() });
    }
    let order = options.order.as_deref().map(read_order).transpose()?;
    let mut reader =
        Reader { root: directory, files: Vec::new(), problems: Vec::new(), seen: HashSet::new(), bytes: 0 };
    reader.directories()?;
    let Reader { files, problems, .. } = reader;
    let sql = files.iter().filter(|file| is_sql(&file.path)).count();
    if sql == 0 && !problems.iter().any(|problem| is_sql(&problem.file)) {
        return Err(ReadError::Empty { directory: directory.to_owned(), others: files.len() });
    }
    Ok(assemble(&name_of(directory), files, options.layout, order.as_ref(), problems))
}

/// The last two parts of the path: `billing/migrations` says more than `migrations`.
fn name_of(directory: &Path) -> String {
    let path = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mut parts: Vec<_> = path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    parts.retain(|part| part != "/");
    parts.reverse();
    parts.join("/")
}

fn read_order(path: &Path) -> Result<OrderFile, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
    let bytes = match read_file(path, SETTINGS_BYTES_MAX * 16).map_err(unreadable)? {
        Some(bytes) => bytes,
        None => return Err(unreadable(std::io::Error::other("expected a regular file of at most 1 MiB"))),
    };
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(OrderFile { name, text })
}

/// A file's bytes, unless it is no regular file or longer than allowed.
fn read_file(path: &Path, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    // A pipe would be waited for.
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    // One byte more than is allowed tells too long from just right, whatever the file's length claims to be.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok((length <= limit).then_some(bytes))
}

struct Reader<'a> {
    root: &'a Path,
    files: Vec<SourceFile>,
    problems: Vec<Problem>,
    /// The directories that were read: a link may lead back to one.
    seen: HashSet<PathBuf>,
    bytes: u64,
}

impl Reader<'_> {
    fn directories(&mut self) -> Result<(), ReadError> {
        let mut open = vec![(self.root.to_owned(), String::new(), 0)];
        while let Some((path, relative, depth)) = open.pop() {
            let is_new = path.canonicalize().is_ok_and(|canonical| self.seen.insert(canonical));
            if !is_new {
                let message = "expected a directory, found a link to one that was read before, or to nothing";
                self.problem(
                    ProblemKind::Unreadable,
                    &relative,
                    Level::Warning,
                    message.to_owned(),
                    "remove the link",
                );
                continue;
            }
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(source) if depth == 0 => return Err(ReadError::Unreadable { path, source }),
                Err(error) => {
                    let message = format!("expected a directory that can be read, found: {error}");
                    self.problem(ProblemKind::Unreadable, &relative, Level::Error, message, "give it to be read");
                    continue;
                }
            };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let inner = if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
                match fs::metadata(entry.path()) {
                    Ok(metadata) if metadata.is_dir() => {
                        if name.starts_with('.') || PASSED_OVER.contains(&name.as_str()) {
                            continue;
                        }
                        if depth + 1 >= DEPTH_MAX {
                            let message =
                                format!("expected directories at most {DEPTH_MAX} deep, found this one below");
                            self.problem(ProblemKind::Unreadable, &inner, Level::Warning, message, "move it up");
                            continue;
                        }
                        open.push((entry.path(), inner, depth + 1));
                    }
                    Ok(metadata) => self.file(&entry.path(), inner, metadata.is_file()),
                    Err(error) => self.unreadable(&inner, &error),
                }
                if self.files.len() + self.problems.len() + open.len() > FILES_MAX {
                    return Err(ReadError::TooMany { directory: self.root.to_owned() });
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, relative: String, is_regular: bool) {
        let limit = match &relative {
            name if is_sql(name) => SCRIPT_BYTES_MAX.min(PROJECT_BYTES_MAX.saturating_sub(self.bytes)),
            name if is_settings(name) => SETTINGS_BYTES_MAX,
            _ => {
                self.files.push(SourceFile::new(relative, Vec::new()));
                return;
            }
        };
        if !is_regular {
            let message =
                "expected a regular file, found a pipe, a socket or a device; it was not opened".to_owned();
            self.problem(ProblemKind::Unreadable, &relative, Level::Error, message, "replace it with a file");
            return;
        }
        match read_file(path, limit) {
            Ok(Some(bytes)) => {
                self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.files.push(SourceFile::new(relative, bytes));
            }
            Ok(None) => {
                let found = fs::metadata(path).map_or(0, |metadata| metadata.len());
                let message = format!(
                    "expected at most {SCRIPT_BYTES_MAX} bytes in a script and {PROJECT_BYTES_MAX} in all, found {found} \
                     in this one; it was left out"
                );
                let help = "load rows by other means than migrations, or split the file";
                self.problem(ProblemKind::TooLarge, &relative, Level::Error, message, help);
            }
            Err(error) => self.unreadable(&relative, &error),
        }
    }

    fn unreadable(&mut self, relative: &str, error: &std::io::Error) {
        // A link to nowhere is of no matter where no SQL would be.
        let level = if is_sql(relative) { Level::Error } else { Level::Note };
        let message = format!("expected a file that can be read, found: {error}");
        self.problem(ProblemKind::Unreadable, relative, level, message, "give it to be read, or remove the link");
    }

    fn problem(&mut self, kind: ProblemKind, file: &str, level: Level, message: String, help: &str) {
        self.problems.push(Problem::new(kind, file, message, help).level(level));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::layouts::testing::{order, problems};
    use super::*;

    fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        directory
    }

    fn read_plain(path: &Path) -> Result<Project, ReadError> {
        Project::read(path, &ReadOptions { layout: Some(Layout::Plain), order: None })
    }

    #[test]
    fn no_directory_and_no_sql_are_errors() {
        let error = |path: &Path| read_plain(path).unwrap_err().to_string();
        assert!(error(Path::new("/does/not/exist")).contains("/does/not/exist cannot be read: No such file"));
        let empty = directory(&[("README.md", b""), ("sub/a.txt", b"")]);
        assert!(error(empty.path()).contains("found none among 2 other files"), "{}", error(empty.path()));
        assert!(error(&empty.path().join("README.md")).contains("README.md is none; name the directory"));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_said() {
        let files: &[(&str, &[u8])] = &[
            ("1_a.sql", b"SELECT 1"),
            ("2_b.sql", b"\xff\xfeS\0"),
            ("3_c.sql", b"\xef\xbb\xbfSELECT 1;\r\n"),
            ("deep/er/4_d.sql", b"SELECT 1"),
        ];
        let directory = directory(files);
        let large = File::create(directory.path().join("5_large.sql")).unwrap();
        large.set_len(100 * 1024 * 1024).unwrap();
        symlink(directory.path(), directory.path().join("deep/loop")).unwrap();
        symlink("nowhere", directory.path().join("6_gone.sql")).unwrap();
        symlink("/dev/zero", directory.path().join("7_zero.sql")).unwrap();
        let project = read_plain(directory.path()).unwrap();
        assert_eq!(order(&project), ["1_a.sql", "3_c.sql", "deep/er/4_d.sql"]);
        let mut found = problems(&project);
        found.sort();
        assert_eq!(found.len(), 6, "{found:#?}");
        assert!(found[0].starts_with("Encoding 2_b.sql: expected text in UTF-8, found UTF-16"), "{found:#?}");
        assert!(found[1].starts_with("Encoding 3_c.sql: expected SQL at the beginning, found a byte order mark"));
        assert!(found[2].starts_with("TooLarge 5_large.sql: expected at most 16777216 bytes"), "{found:#?}");
        assert!(found[2].contains("found 104857600 in this one"), "{found:#?}");
        assert!(found[3].starts_with("Unreadable 6_gone.sql: expected a file that can be read"), "{found:#?}");
        assert!(
            found[4].starts_with("Unreadable 7_zero.sql: expected a regular file, found a pipe"),
            "{found:#?}"
        );
        assert!(found[5].starts_with("Unreadable deep/loop: expected a directory, found a link"), "{found:#?}");
    }

    #[test]
    fn a_directory_has_its_limits() {
        let many = tempfile::tempdir().unwrap();
        for number in 0..=FILES_MAX {
            File::create(many.path().join(format!("{number}.sql"))).unwrap();
        }
        assert!(read_plain(many.path()).unwrap_err().to_string().contains("expected at most 10000 files"));
        let deep = directory(&[("1.sql", b""), (&format!("{}2.sql", "d/".repeat(30)), b"")]);
        let project = read_plain(deep.path()).unwrap();
        assert_eq!(order(&project), ["1.sql"]);
        assert!(problems(&project)[0].contains("at most 16 deep"), "{:?}", problems(&project));
    }

    #[test]
    fn an_order_file_says_the_order() {
        let directory = directory(&[
            ("a.sql", b""),
            ("b.sql", b""),
            ("c/c.sql", b""),
            ("order.txt", b"# the order\r\n\r\nc/c.sql # first\r\n./a.sql\r\nmissing.sql\r\na.sql\r\n"),
        ]);
        let order_file = Some(directory.path().join("order.txt"));
        let project = Project::read(directory.path(), &ReadOptions { layout: None, order: order_file }).unwrap();
        assert_eq!(order(&project), ["c/c.sql", "a.sql"]);
        let found = problems(&project);
        assert_eq!(
            found,
            [
                "OrderFile order.txt: expected a migration missing.sql, found none",
                "OrderFile order.txt: expected each file once, found a.sql in line 4 as well",
                "OrderFile b.sql: expected it in the order file order.txt, found it not there: it is not run",
            ]
        );
        assert_eq!(project.problems[1].place.as_ref().unwrap().line, 6);
        let missing = ReadOptions { layout: None, order: Some(directory.path().join("none")) };
        assert!(Project::read(directory.path(), &missing).is_err());
    }

    #[test]
    fn the_same_number_is_no_problem_in_an_order_that_is_kept_by_hand() {
        let directory = directory(&[("1_a.sql", b""), ("1_b.sql", b""), ("order.txt", b"1_b.sql\n1_a.sql\n")]);
        let options = ReadOptions { layout: None, order: Some(directory.path().join("order.txt")) };
        let project = Project::read(directory.path(), &options).unwrap();
        assert_eq!(
            (order(&project), problems(&project)),
            (vec!["1_b.sql".to_owned(), "1_a.sql".to_owned()], vec![])
        );
    }
}
