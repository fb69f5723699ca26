//! Cleans up after us when we cannot: a shell that holds the other end of a pipe.
//!
//! However this process ends, `kill -9` included, the system closes its end of the pipe. The shell then stops
//! the server and removes its directory, unless it was told before that this is done.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::role::ROLE_VARIABLE;

/// Reads the id of the process that works in the directory, whenever it changes, or `done`.
///
/// A process is only stopped if its arguments name the directory: an id may belong to another by now. It leads a
/// group of its own, as initdb has helpers: they end by themselves soon after it, and leave shared memory behind if
/// they are killed.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
run=$1
pid=
while read -r word; do
    [ "$word" = done ] && exit 0
    pid=$word
done
is_ours() {
    if [ -r "/proc/$1/cmdline" ]; then
        grep -qF -- "$run" "/proc/$1/cmdline"
    else
        ps -p "$1" -o args= | grep -qF -- "$run"
    fi
}
if [ -n "$pid" ] && is_ours "$pid" && kill -QUIT "$pid"; then
    tries=0
    while is_ours "$pid" || { [ "$tries" -lt 40 ] && kill -0 -- "-$pid"; }; do
        tries=$((tries + 1))
        [ "$tries" -eq 200 ] && kill -KILL -- "-$pid"
        [ "$tries" -gt 240 ] && break
        sleep 0.03 || sleep 1
    done
fi
# A server that was killed has left the segment that keeps others from its files.
if [ -r "$run/data/postmaster.pid" ]; then
    set -- $(sed -n 7p "$run/data/postmaster.pid")
    [ -n "$2" ] && ipcrm -m "$2" 2>/dev/null
fi
# Others may meet in a directory of this name again: from here on it is another.
mv -- "$run" "$run.gone" 2>/dev/null && run=$run.gone
tries=0
while ! rm -rf -- "$run" && [ "$tries" -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1 || sleep 1
done
"#;

/// The shell, for as long as the directory exists.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Guards a directory from now on; it need not exist yet, so that there is no moment at which it is unguarded.
    pub(crate) fn start(directory: &Path) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "proofmark-watchdog"])
            .arg(directory)
            .current_dir("/")
            .env_remove(ROLE_VARIABLE)
            // Out of reach of what ends us: the terminal's signals, and a kill of our whole group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Tells it which process to stop; one that has not begun yet, so that none is ever unknown to it.
    pub(super) fn watch(&mut self, process: &Child) -> io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => writeln!(pipe, "{}", process.id()),
            None => Err(io::Error::other("the watchdog was released")),
        }
    }

    /// Tells it that nothing is left to do.
    pub(super) fn release(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"done\n");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Closes the pipe: unless it was released, it does its work now.
        self.pipe = None;
        let _ = self.shell.wait();
    }
}
