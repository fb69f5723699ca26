//! Processes of our own, started from whatever program uses this crate: a test binary, a bench, `proofmark`.
//!
//! What owns a server must outlive the test that was first to need it, and this crate may be a mere dependency of
//! somebody's tests: there is no other program that could be relied on to be there. So the running program is started
//! once more, with a variable that names a role, and takes the role before its `main` is reached. Its arguments ask a
//! test runner for an empty list, in case the program got in some way to be one that does not know of roles.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;

/// Names the role of a process that was started by us.
pub(crate) const ROLE_VARIABLE: &str = "PROOFMARK_ROLE";

/// The exit code of a process whose role is not known, or that failed in it.
const FAILED: i32 = 70;

/// What a process can be started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Owns the server and the databases of a run.
    Supervisor,
    /// Removes what a supervisor that was killed has left on somebody else's server.
    Guardian,
}

impl Role {
    const ALL: [Self; 2] = [Self::Supervisor, Self::Guardian];

    fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Guardian => "guardian",
        }
    }

    /// A command that starts this program in the role; the caller decides on its streams.
    pub(crate) fn command(self) -> io::Result<Command> {
        // The running program, also when its file was replaced or removed meanwhile.
        let running = Path::new("/proc/self/exe");
        let program = if running.exists() { running.to_owned() } else { std::env::current_exe()? };
        let mut command = Command::new(program);
        command.args(["--list", "--exact", "proofmark-role", self.name()]).env(ROLE_VARIABLE, self.name());
        command.current_dir("/");
        Ok(command)
    }

    fn run(self) -> i32 {
        match self {
            Self::Supervisor => crate::supervisor::main(),
            Self::Guardian => crate::server::guardian::main(),
        }
    }
}

/// Whether this process was started in a role: it must not start others to do its work.
pub(crate) fn has_one() -> bool {
    std::env::var_os(ROLE_VARIABLE).is_some()
}

/// Takes the role, if there is one, and never comes back then.
#[ctor::ctor(unsafe)]
fn enter() {
    let Some(name) = std::env::var_os(ROLE_VARIABLE) else { return };
    let code = match Role::ALL.into_iter().find(|role| OsStr::new(role.name()) == name) {
        // On a thread of its own, as the main one is not set up yet.
        Some(role) => std::thread::spawn(move || role.run()).join().unwrap_or(FAILED),
        None => FAILED,
    };
    std::process::exit(code);
}
