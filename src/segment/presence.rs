//! Being a user of a segment: a shared `flock` on an open file description that belongs to one handle.
//!
//! A forked child shares its parent's descriptions, and either's leaving would count for both. So every handle that is
//! alive at a fork gets a second description, locked before the fork; the child puts it in the place of the first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::removal;
use crate::fault::point;
use crate::name::Name;
use crate::os::file::Status;
use crate::os::{file, generation, process};

/// One handle's place among the users of its segment. The description in it holds a shared lock, and stands in the
/// visitors' book.
#[derive(Debug)]
pub(super) struct Presence {
    file: File,
    name: Name,
    /// The last one out leaves the name where it is.
    keeps_name: AtomicBool,
    /// The fork generation that the description belongs to.
    generation: AtomicU32,
    /// A forked child has the same description, because there was no room for one of its own.
    is_shared_with_child: AtomicBool,
}

impl Presence {
    pub(super) fn new(file: File, name: Name, persistent: bool) -> Self {
        let generation = AtomicU32::new(generation::generation());
        let [keeps_name, is_shared_with_child] = [persistent, false].map(AtomicBool::new);
        Self { file, name, keeps_name, generation, is_shared_with_child }
    }

    /// Leaves; the last one out takes the name along. Errors have nobody to go to: what remains is an orphan, and goes
    /// when its name is used, or with the next sweep.
    fn leave(&self) {
        if self.take_name_along() && process::has_forked() {
            // Explicitly, because a child in the middle of its fork may have the description, too.
            let _ = file::stop_attending(&self.file);
            point!("close: left");
        }
    }

    /// The first part of leaving, and all of it at exit: other threads are still there then, and may hold the lock, so the
    /// process stays in the visitors' book until its end. `false`: leaving is somebody else's business.
    fn take_name_along(&self) -> bool {
        // After a raw `clone`, which runs no handlers, the description is the parent's: leaving is its business.
        if self.generation.load(Ordering::Relaxed) != generation::generation() {
            return false;
        }
        // While a child uses the same description, its lock is the child's, too: then the last one to close it leaves for
        // both, and what remains of the name is an orphan.
        if self.is_shared_with_child.load(Ordering::Relaxed) {
            return false;
        }
        // A persistent segment is left by closing. No sooner: other threads may still hold its lock, and whoever finds
        // no user left takes that for a dead holder's.
        if self.keeps_name.load(Ordering::Relaxed) {
            point!("close: only closing");
        } else if file::try_exclude(&self.file).unwrap_or(false) {
            point!("close: excluded");
            let _ = removal::unlink_exact(&self.file, &self.name);
        }
        point!("close: no user any more");
        true
    }
}

/// A presence that fork and exit know of. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Registered {
    key: u64,
    presence: Arc<Presence>,
}

impl Registered {
    /// [`install_hooks`] must have succeeded before.
    pub(super) fn new(presence: Presence) -> Self {
        let presence = Arc::new(presence);
        let mut registry = registry();
        let key = registry.next_key;
        registry.next_key += 1;
        registry.live.insert(key, Arc::clone(&presence));
        point!("register: listed");
        Self { key, presence }
    }

    /// Leaves a segment whose creation did not succeed: the name goes, persistent or not, unless somebody has opened it
    /// meanwhile.
    pub(super) fn retract(self) {
        self.presence.keeps_name.store(false, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> io::Result<Status> {
        file::status(&self.presence.file)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        registry().live.remove(&self.key);
        point!("close: not listed any more");
        self.presence.leave();
    }
}

/// Every handle of this process.
struct Registry {
    next_key: u64,
    live: BTreeMap<u64, Arc<Presence>>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next_key: 0, live: BTreeMap::new() });

fn registry() -> MutexGuard<'static, Registry> {
    // A panic in between leaves the map whole: it is changed by single calls.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes fork and exit known here, before there is anything to know of.
///
/// Threads that come at once may install the hooks twice, which does no harm; nobody goes on before they are there. No
/// lock is held meanwhile, because a fork by another thread would leave it locked in the child.
pub(super) fn install_hooks() -> io::Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if !INSTALLED.load(Ordering::Acquire) {
        process::on_fork(before_fork, after_fork_in_parent, after_fork_in_child)?;
        process::on_exit(at_exit)?;
        point!("register: hooks installed");
        INSTALLED.store(true, Ordering::Release); // pairs with the Acquire above
    }
    Ok(())
}

/// What is kept from before a fork until after it: the registry stays locked, so that the child finds it whole.
struct Forking {
    registry: MutexGuard<'static, Registry>,
    /// A second description for each live handle, in the registry's order; `None` where there was no room for one.
    copies: Vec<Option<File>>,
}

thread_local! {
    static FORKING: RefCell<Option<Forking>> = const { RefCell::new(None) };
}

extern "C" fn before_fork() {
    process::note_fork();
    let prepared = FORKING.try_with(|forking| {
        if forking.borrow().is_some() {
            return; // the hooks were installed twice
        }
        let registry = registry();
        point!("fork: registry locked");
        let copies = registry.live.values().map(|presence| copy_or_share(presence)).collect();
        *forking.borrow_mut() = Some(Forking { registry, copies });
        point!("fork: copies made");
    });
    if prepared.is_err() {
        // A thread whose thread-locals are being destroyed has no place for copies.
        registry().live.values().for_each(|presence| presence.is_shared_with_child.store(true, Ordering::Relaxed));
    }
}

/// A second description for the child; where there is no room for one, the child shares the first.
fn copy_or_share(presence: &Presence) -> Option<File> {
    let copy = copy(presence).ok().flatten();
    if copy.is_none() {
        presence.is_shared_with_child.store(true, Ordering::Relaxed);
    }
    copy
}

fn copy(presence: &Presence) -> io::Result<Option<File>> {
    let copy = file::reopen(&presence.file)?;
    point!("fork: copy opened");
    if !file::attend(&copy)? {
        return Ok(None);
    }
    point!("fork: copy attending");
    Ok(file::try_share(&copy)?.then_some(copy))
}

extern "C" fn after_fork_in_parent() {
    // Closes the copies: the child has its own descriptors for them.
    point!("fork: parent");
    let _ = FORKING.try_with(|forking| drop(forking.borrow_mut().take()));
    point!("fork: parent has closed the copies");
}

extern "C" fn after_fork_in_child() {
    point!("fork: child");
    let _ = FORKING.try_with(|forking| {
        let Some(Forking { registry, copies }) = forking.borrow_mut().take() else { return };
        for (presence, copy) in registry.live.values().zip(copies) {
            let in_place = copy.map(|copy| file::put_in_place(copy, presence.file.as_raw_fd()));
            if let Some(Ok(())) = in_place {
                point!("fork: copy in place");
                presence.generation.store(generation::generation(), Ordering::Relaxed);
                // What an earlier fork of the parent made it share is not shared by the new description.
                presence.is_shared_with_child.store(false, Ordering::Relaxed);
            }
        }
        point!("fork: child has its own");
    });
}

/// Leaves for the handles that no destructor reaches: those in statics, and those of threads that are still running.
extern "C" fn at_exit() {
    point!("exit: begun");
    let take_names_along = |registry: MutexGuard<'_, Registry>| {
        for presence in registry.live.values() {
            presence.take_name_along();
        }
    };
    // Never wait for good: `exit` may have been called by a signal handler that interrupted a registration.
    for _ in 0..1_000 {
        match REGISTRY.try_lock() {
            Ok(registry) => return take_names_along(registry),
            Err(TryLockError::Poisoned(poisoned)) => return take_names_along(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}
