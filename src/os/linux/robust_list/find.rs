//! Finding a thread's list, and what a forked child does with the one that it has inherited.

use std::io;
use std::mem::size_of;
use std::ptr;

use super::{FUTEX_OFFSET, Head, RobustList, came_by, proof, store};

/// Finds the list of the calling thread, whose id is `tid`, and makes sure that it is as described above.
pub(crate) fn of_this_thread(tid: u32) -> io::Result<RobustList> {
    let registered = || {
        registered().map_err(|error| {
            let message = format!("the kernel does not tell this thread's robust list (get_robust_list: {error})");
            io::Error::new(io::ErrorKind::Unsupported, message)
        })
    };
    let mut list = registered()?;
    if list.is_none() {
        // musl registers a thread's list when the thread first locks a robust mutex.
        proof::touch()?;
        list = registered()?;
    }
    let list = list.ok_or_else(|| proof::unsupported("the C library has registered no robust list for this thread"))?;
    if list.futex_offset() != FUTEX_OFFSET {
        return Err(proof::unsupported("the C library keeps its robust list nodes at an unusual place"));
    }
    proof::prove_once(list, tid)?;
    Ok(list)
}

/// The list that the kernel has registered for the calling thread, if there is one.
fn registered() -> io::Result<Option<RobustList>> {
    let mut head = ptr::null_mut::<Head>();
    let mut len = 0usize;
    // SAFETY: both pointers are to locals of the types that the call writes (0 stands for the calling thread).
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    if result != 0 {
        return Err(io::Error::last_os_error()); // without an allocation: forked children ask
    }
    if head.is_null() || len != size_of::<Head>() {
        return Ok(None);
    }
    head.expose_provenance();
    Ok(Some(RobustList { head }))
}

/// In a forked child, which holds no robust lock: empties what libc does not.
///
/// No libc clears the pending slot. glibc's `fork` empties the list. musl's keeps the parent's links, and the child's
/// next lock would write into lock lines that the parent still holds. The kernel forgets the registration in a child;
/// the list that the parent's thread had cached stands in for it.
pub(crate) fn empty_inherited(cached: Option<RobustList>) {
    came_by::remember(0);
    if let Some(list) = registered().ok().flatten().or(cached) {
        store(list.pending().addr(), 0);
        if cfg!(target_env = "musl") {
            store(list.first().addr(), list.head.addr());
        }
    }
}
