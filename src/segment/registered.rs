//! The presences that fork and exit know of, and what happens to them there.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use super::presence::Presence;
use super::registry::{self, Listed};
use crate::fault::point;
use crate::name::Name;
use crate::os::file::Status;
use crate::os::fork::forks_begun;
use crate::os::{self, generation, process};

/// A presence that fork and exit know of. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Registered(Listed);

impl Registered {
    /// Announces a file that was opened when `forks` forks had begun. `None`: another one has begun since, and its child
    /// may have the file and not know of it. [`install_hooks`] must have succeeded before.
    pub(super) fn announce(
        file: File,
        status: Status,
        name: &Name,
        persistent: bool,
        forks: u32,
    ) -> io::Result<Option<Self>> {
        let announced = Self(Listed::new(Presence::new(file, status, name, persistent, forks)?));
        point!("register: announced");
        Ok((forks_begun() == forks).then_some(announced))
    }

    /// Leaves a segment whose creation did not succeed: the name goes, persistent or not, unless somebody has opened it
    /// meanwhile.
    pub(super) fn retract(self) {
        self.give_up_name();
    }
}

impl Deref for Registered {
    type Target = Presence;

    fn deref(&self) -> &Presence {
        self.0.presence()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Not listed any more only when it is closed: so a child that is forked meanwhile closes it, too.
        self.leave();
    }
}

/// Makes an attempt. If a signal handler forks in the middle of it, the child has to make it `again`: what it was at is
/// its parent's.
pub(super) fn in_one_process<R, E>(again: R, attempt: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    let process = generation::generation();
    let result = attempt();
    if generation::generation() == process { result } else { Ok(again) }
}

/// Will the hooks be called?
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Makes fork and exit known here, before there is anything to know of.
///
/// Threads that come at once may install the exit hook twice, which does no harm; nobody goes on before it is there.
pub(super) fn install_hooks() -> io::Result<()> {
    if !INSTALLED.load(Ordering::Acquire) {
        os::fork::install(after_fork_in_child)?;
        process::on_exit(at_exit)?;
        point!("register: hooks installed");
        INSTALLED.store(true, Ordering::Release); // pairs with the Acquire above
    }
    Ok(())
}

extern "C" fn after_fork_in_child() {
    if os::fork::begin_child() {
        point!("fork: child");
        registry::all_in_child().for_each(Presence::begin_child);
        point!("fork: child has its own");
    }
}

/// Leaves for the handles that no destructor reaches: those in statics, and those of threads that are still running.
extern "C" fn at_exit() {
    point!("exit: begun");
    // A program's hook that was there before this one is called after it, and may open something yet.
    INSTALLED.store(false, Ordering::Relaxed);
    registry::take_all().for_each(|presence| presence.leave_at_exit());
}
