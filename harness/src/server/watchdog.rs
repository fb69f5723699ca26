//! Cleans up after us when we cannot: a shell that holds the other end of a pipe.
//!
//! However this process ends, `kill -9` included, the system closes its end of the pipe. The shell then stops
//! the server and removes its directory, unless it was told before that this is done. A server that outlives this
//! process has its pipe handed to a second shell, which lives as long as the one who is to be followed.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::Pid;

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
tries=0
while ! rm -rf -- "$run" && [ "$tries" -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1 || sleep 1
done
"#;

/// Holds the pipe for as long as another process lives, which need not know of it: a process is known by its id and
/// by when it was started, as an id may soon belong to another. One that has ended and was not waited for is gone.
const FOLLOWER_SCRIPT: &str = r#"
trap '' HUP INT TERM
followed=$1
meeting_point=$2
birth() {
    if [ -r /proc/self/stat ]; then
        read -r stat <"/proc/$followed/stat" || return 1
        # What follows the name: the state, and nineteen fields later the start.
        set -- ${stat##*) }
        case $1 in Z | X) return 1 ;; esac
        found=${20}
    else
        case $(ps -p "$followed" -o stat=) in '' | Z*) return 1 ;; esac
        found=$(ps -p "$followed" -o lstart=)
    fi
}
if birth; then
    born=$found
    while birth && [ "$found" = "$born" ]; do
        sleep 0.2 || sleep 1
    done
fi
rm -rf -- "$meeting_point"
"#;

/// The shell, for as long as the directory exists.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Guards a directory from now on; it need not exist yet, so that there is no moment at which it is unguarded.
    pub(super) fn start(directory: &Path) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "proofmark-watchdog"])
            .arg(directory)
            .current_dir("/")
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

    /// Gives our end of the pipe to a shell that ends when another process does, and then removes a directory.
    ///
    /// A shell, as what this process could start otherwise is itself: somebody's test, up to the point where it
    /// would notice.
    pub(super) fn hand_over(&mut self, to: Pid, meeting_point: &Path) -> io::Result<()> {
        let pipe = self.pipe.take().ok_or_else(|| io::Error::other("the watchdog was released"))?;
        let follower = Command::new("/bin/sh")
            .args(["-c", FOLLOWER_SCRIPT, "proofmark-follower", &to.to_string()])
            .arg(meeting_point)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(pipe)
            .stderr(Stdio::null())
            .spawn()?;
        tracing::debug!(id = follower.id(), followed = %to, "the server was handed over");
        Ok(())
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
