//! Waits for the end of a process that is not our child and need not know of us.

use std::fs;
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// How often to look where the kernel does not tell.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A process: its id, and when it was started, as an id may soon belong to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Followed {
    id: i32,
    /// In the kernel's ticks; none where it does not tell.
    born: Option<u64>,
}

impl Followed {
    pub(crate) fn new(process: Pid) -> Self {
        let id = process.as_raw_nonzero().get();
        Self { id, born: birth(id) }
    }

    /// Whether it is there; one that has ended and was not waited for is not.
    pub(crate) fn is_alive(self) -> bool {
        if cfg!(target_os = "linux") {
            return birth(self.id).is_some_and(|born| self.born == Some(born));
        }
        Pid::from_raw(self.id).is_some_and(|id| rustix::process::test_kill_process(id).is_ok())
    }

    /// Returns when it has ended.
    pub(crate) async fn ended(self) {
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = self.open() {
            let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
            // A thread of its own that nobody waits for: it is in the kernel until the process ends.
            let watch = move || {
                let mut descriptors = [PollFd::new(&descriptor, PollFlags::IN)];
                while poll(&mut descriptors, None) == Err(rustix::io::Errno::INTR) {}
                drop(sender);
            };
            if std::thread::Builder::new().name("follow".to_owned()).spawn(watch).is_ok() {
                // A process that took the id before we opened it is not the one.
                if self.is_alive() {
                    let _ = receiver.await;
                }
                return;
            }
        }
        while self.is_alive() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    #[cfg(target_os = "linux")]
    fn open(self) -> Option<std::os::fd::OwnedFd> {
        use rustix::process::{PidfdFlags, pidfd_open};
        pidfd_open(Pid::from_raw(self.id)?, PidfdFlags::empty()).ok()
    }
}

/// When a living process was started.
fn birth(id: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // What follows the name, which may hold anything: the state, and nineteen fields later the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_is_noticed_also_before_it_is_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let followed = Followed::new(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap());
        assert!(followed.is_alive());
        let end = tokio::spawn(followed.ended());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!end.is_finished());
        child.kill().unwrap();
        end.await.unwrap();
        assert!(!followed.is_alive());
        child.wait().unwrap();
        followed.ended().await;
    }

    #[tokio::test]
    async fn another_process_with_the_same_id_is_not_followed() {
        let mut followed = Followed::new(rustix::process::getpid());
        assert!(followed.is_alive());
        followed.born = Some(1);
        followed.ended().await;
    }
}
