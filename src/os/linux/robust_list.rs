//! The kernel's list of the robust futexes that a thread holds.
//!
//! When a thread dies, however it dies, the kernel walks this list and marks each futex on it whose word still holds
//! the thread's id (kernel documentation: *robust-futexes*, *robust-futex-ABI*). There is one list for each thread,
//! registered by libc for its own robust mutexes. We ask the kernel where it is and put our nodes into the same list,
//! by the protocol that both sides keep:
//!
//! * a node lies `futex_offset` bytes in front of its futex word (the offset is negative: behind it), a number that
//!   libc chose and the head tells; bit 0 of a link marks a priority-inheriting futex of libc's;
//! * the word in front of a node is its back pointer, in glibc and in musl. Whoever links in front writes it, so that of
//!   the first node is never read;
//! * while a node goes in or out, `list_op_pending` names it, so that a death in the middle is handled as well. It may
//!   name a node that is in the list: the kernel then handles it once.
//!
//! So a lock that its thread holds alone (the list was empty) stays named as pending for as long as it is held: that
//! spares the fast path from clearing the slot and setting it again. If libc's mutexes use the slot in between, releasing
//! notices, and names the node again.
//!
//! Other threads never touch the list; a signal handler on the same thread may, in balanced pairs. Compiler fences keep
//! the order of the steps, which is all that the kernel needs: it looks when the thread has stopped.
//!
//! On musl the offset is -28, so that nodes are not 8-aligned: every access is unaligned.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering, compiler_fence};

use crate::fault::point;
use crate::layout::LockLine;

/// `struct robust_list_head` of `linux/futex.h`.
#[repr(C)]
#[derive(Debug)]
struct Head {
    first: usize,
    futex_offset: libc::c_long,
    list_op_pending: usize,
}

/// Never written: no node is ever in it.
static NOBODYS: Head = Head { first: 0, futex_offset: 0, list_op_pending: 0 };

/// The address of a node, which is a pointer to the next one.
pub(crate) type Node = usize;

/// Bit 0 of a link: libc's, for priority inheritance.
const PI: usize = 1;
/// How many robust locks a thread may hold, libc's included. The kernel walks at most 2,048 entries of a robust list
/// (`ROBUST_LIST_LIMIT`); some room is left for those that libc adds afterwards.
const MAX_HELD: usize = 2_000;
/// More than the kernel walks; the bound of our own walk.
const WALK_LIMIT: usize = 4_096;
const WORD: usize = size_of::<usize>();

/// How far behind a node its futex word lies, as the C library has chosen for its own mutexes (so: negative). A constant
/// because the fast path of a lock needs it; what the head says is compared with it before the list is used.
const FUTEX_OFFSET: isize = if cfg!(target_env = "musl") { -28 } else { -32 };

const _: () = {
    // The node and the back pointer in front of it lie in the lock line.
    let node = -FUTEX_OFFSET;
    assert!(LockLine::LINKS.start <= node - WORD as isize && node + WORD as isize <= LockLine::LINKS.end);
};

/// One thread's list. A copy is only good on that thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RobustList {
    head: *mut Head,
}

impl RobustList {
    /// A list that is nobody's: empty, with nothing pending.
    pub(crate) const NONE: Self = Self { head: (&raw const NOBODYS).cast_mut() };

    /// Where the node of a futex word lies.
    #[inline(always)]
    pub(crate) fn node(word: &AtomicU32) -> Node {
        ptr::from_ref(word).addr().wrapping_add_signed(-FUTEX_OFFSET)
    }

    pub(crate) fn is_known(self) -> bool {
        !ptr::eq(self.head, Self::NONE.head)
    }

    #[inline(always)]
    fn pending(self) -> *mut usize {
        // SAFETY: `head` is this thread's registered head: alive as long as the thread, in bounds of the struct.
        unsafe { &raw mut (*self.head).list_op_pending }
    }

    #[inline(always)]
    fn first(self) -> *mut usize {
        // SAFETY: as in `pending`.
        unsafe { &raw mut (*self.head).first }
    }

    /// Step 1 of taking or releasing: names the node as pending. Returns what was pending before: a signal handler may
    /// interrupt a lock operation and lock something else.
    #[inline(always)]
    pub(crate) fn begin(self, node: Node) -> Node {
        let before = load(self.pending().addr());
        store(self.pending().addr(), node);
        compiler_fence(Ordering::SeqCst);
        point!("list: named as pending");
        before
    }

    /// The last step of taking or releasing.
    #[inline(always)]
    pub(crate) fn end(self, before: Node) {
        compiler_fence(Ordering::SeqCst);
        store(self.pending().addr(), before);
        point!("list: pending no more");
    }

    /// Is nothing in the list, and nothing going in or out?
    #[inline(always)]
    pub(crate) fn is_idle(self) -> bool {
        (load(self.pending().addr()) == 0) & (load(self.first().addr()) == self.head.addr())
    }

    /// [`link`](Self::link) for a list that is empty.
    #[inline(always)]
    pub(crate) fn link_alone(self, node: Node) {
        store(node, self.head.addr());
        compiler_fence(Ordering::SeqCst);
        point!("list: alone and not yet in it");
        store(self.first().addr(), node);
        compiler_fence(Ordering::SeqCst);
        point!("list: alone in it");
    }

    /// Is a node that was linked alone still the first, and named as pending?
    #[inline(always)]
    pub(crate) fn is_alone(self, node: Node) -> bool {
        (load(self.pending().addr()) == node) & (load(self.first().addr()) == node)
    }

    /// [`unlink`](Self::unlink) for a node that [`is_alone`](Self::is_alone).
    #[inline(always)]
    pub(crate) fn unlink_alone(self) {
        compiler_fence(Ordering::SeqCst);
        store(self.first().addr(), self.head.addr());
        compiler_fence(Ordering::SeqCst);
        point!("list: empty");
    }

    /// Puts the node at the head of the list.
    pub(crate) fn link(self, node: Node) {
        let next = load(self.first().addr());
        store(node, next);
        compiler_fence(Ordering::SeqCst);
        point!("list: points to the next");
        if next & !PI != self.head.addr() {
            store((next & !PI) - WORD, node);
            point!("list: next points back");
        }
        store(self.first().addr(), node);
        compiler_fence(Ordering::SeqCst);
        point!("list: in front");
    }

    /// Takes the node out of the list.
    pub(crate) fn unlink(self, node: Node) {
        let next = load(node);
        let is_first = load(self.first().addr()) & !PI == node;
        // The head begins with its link, as a node does.
        let previous = if is_first { self.first().addr() } else { load(node - WORD) & !PI };
        if next & !PI != self.head.addr() {
            store((next & !PI) - WORD, previous);
            point!("list: next points back past it");
        }
        store(previous, next);
        compiler_fence(Ordering::SeqCst);
        point!("list: taken out");
    }

    /// Is the node in the list? It is only compared, never followed.
    pub(crate) fn contains(self, node: Node) -> bool {
        self.nodes().any(|listed| listed == node)
    }

    /// Are there so many nodes in the list that the kernel might not come to the end of it?
    pub(crate) fn is_full(self) -> bool {
        self.nodes().nth(MAX_HELD - 1).is_some()
    }

    fn nodes(self) -> impl Iterator<Item = Node> {
        let step = move |link: usize| Some(link & !PI).filter(|node| *node != self.head.addr());
        std::iter::successors(step(load(self.first().addr())), move |node| step(load(*node))).take(WALK_LIMIT)
    }
}

// Not volatile: a volatile access to an unaligned word goes through the stack, which doubled the cost of a lock. An
// unaligned word is one machine instruction on the architectures that this runs on, so the kernel never finds half a
// link, and the fences keep the steps apart.

#[inline(always)]
fn load(address: usize) -> usize {
    let link = ptr::with_exposed_provenance::<usize>(address);
    // SAFETY: callers pass the address of the head's fields, of a node that they own, or of one that stands in this
    // thread's list. Listed nodes are alive: a lock is never unmapped while held (`Segment`'s drop), and libc's robust
    // mutexes have the same rule.
    unsafe { ptr::read_unaligned(link) }
}

#[inline(always)]
fn store(address: usize, value: usize) {
    let link = ptr::with_exposed_provenance_mut::<usize>(address);
    // SAFETY: as in `load`; and only the thread that holds a lock, or is about to, writes its node.
    unsafe { ptr::write_unaligned(link, value) }
}

/// Finds the list of the calling thread, whose id is `tid`, and makes sure that it is as described above.
pub(super) fn of_this_thread(tid: u32) -> io::Result<RobustList> {
    let mut list = registered()?;
    if list.is_none() {
        // musl registers a thread's list when the thread first locks a robust mutex.
        Mutexes::<1>::new()?.with(|mutexes| mutexes.lock(0).and_then(|()| mutexes.unlock(0)))?;
        list = registered()?;
    }
    let list = list.ok_or_else(|| unsupported("the C library has registered no robust list for this thread"))?;
    if list.futex_offset() != FUTEX_OFFSET {
        return Err(unsupported("the C library keeps its robust list nodes at an unusual place"));
    }
    prove_once(list, tid)?;
    Ok(list)
}

fn unsupported(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

/// The list that the kernel has registered for the calling thread, if there is one.
fn registered() -> io::Result<Option<RobustList>> {
    let mut head = ptr::null_mut::<Head>();
    let mut len = 0usize;
    // SAFETY: both pointers are to locals of the types that the call writes (0 stands for the calling thread).
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if head.is_null() || len != size_of::<Head>() {
        return Ok(None);
    }
    head.expose_provenance();
    Ok(Some(RobustList { head }))
}

/// Proves, once in each process, that libc keeps the list as described: real robust mutexes are locked, and the list is
/// read. Two threads that prove at once do no harm.
fn prove_once(list: RobustList, tid: u32) -> io::Result<()> {
    const UNKNOWN: u8 = 0;
    const GOOD: u8 = 1;
    const BAD: u8 = 2;
    static VERDICT: AtomicU8 = AtomicU8::new(UNKNOWN);
    let mut verdict = VERDICT.load(Ordering::Relaxed);
    if verdict == UNKNOWN {
        verdict = if Mutexes::<2>::new()?.with(|mutexes| prove(list, tid, mutexes))? { GOOD } else { BAD };
        VERDICT.store(verdict, Ordering::Relaxed);
    }
    if verdict == GOOD { Ok(()) } else { Err(unsupported("the C library's robust list is not as documented")) }
}

fn prove(list: RobustList, tid: u32, mutexes: &Mutexes<2>) -> io::Result<bool> {
    let first = || load(list.first().addr());
    let before = first();
    mutexes.lock(0)?;
    let one = first();
    // Only a node that lies in the mutex may be followed.
    let mut good = mutexes.holds_node(0, one) && load(one) == before && RobustList::owner(one) == tid;
    mutexes.lock(1)?;
    let two = first();
    good = good && mutexes.holds_node(1, two) && load(two) == one && load(one - WORD) == two;
    mutexes.unlock(1)?;
    good = good && first() == one;
    mutexes.unlock(0)?;
    Ok(good && first() == before && load(list.pending().addr()) == 0)
}

impl RobustList {
    fn futex_offset(self) -> isize {
        // SAFETY: as in `pending`; the kernel was given a head of just this size.
        unsafe { (*self.head).futex_offset as isize }
    }

    /// The thread id in the futex word that belongs to a node.
    fn owner(node: Node) -> u32 {
        let word = ptr::with_exposed_provenance::<u32>(node.wrapping_add_signed(FUTEX_OFFSET));
        // SAFETY: `Mutexes::holds_node` has checked that the word lies in a live mutex, aligned.
        let word = unsafe { ptr::read_volatile(word) };
        word & libc::FUTEX_TID_MASK
    }
}

/// Throw-away robust mutexes of libc's. Boxed: a pthread mutex must not move once it is in use.
struct Mutexes<const N: usize>(Box<[MaybeUninit<libc::pthread_mutex_t>; N]>);

impl<const N: usize> Mutexes<N> {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        // SAFETY: the pointer is to room for the attributes.
        check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: the attributes were initialised above.
        check(unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) })?;
        let mut mutexes = Box::new([const { MaybeUninit::uninit() }; N]);
        for mutex in mutexes.iter_mut() {
            // SAFETY: room for a mutex, and attributes that were initialised above.
            check(unsafe { libc::pthread_mutex_init(mutex.as_mut_ptr(), attributes.as_ptr()) })?;
        }
        // SAFETY: initialised above, not used again.
        check(unsafe { libc::pthread_mutexattr_destroy(attributes.as_mut_ptr()) })?;
        Ok(Self(mutexes))
    }

    /// Runs `use_them`; the mutexes are freed only when it succeeded, which it does only with all of them unlocked: a
    /// locked one is in the thread's list for good.
    fn with<R>(self, use_them: impl FnOnce(&Self) -> io::Result<R>) -> io::Result<R> {
        let result = use_them(&self);
        if result.is_err() {
            std::mem::forget(self);
        }
        result
    }

    fn mutex(&self, which: usize) -> *mut libc::pthread_mutex_t {
        self.0[which].as_ptr().cast_mut()
    }

    fn lock(&self, which: usize) -> io::Result<()> {
        // SAFETY: an initialised mutex that only this thread knows; pthread mutexes are made to be changed through
        // shared pointers.
        check(unsafe { libc::pthread_mutex_lock(self.mutex(which)) })
    }

    fn unlock(&self, which: usize) -> io::Result<()> {
        // SAFETY: as in `lock`, and this thread holds it.
        check(unsafe { libc::pthread_mutex_unlock(self.mutex(which)) })
    }

    /// Do the node, its back pointer and its futex word all lie in this mutex?
    fn holds_node(&self, which: usize, node: Node) -> bool {
        let start = self.mutex(which).expose_provenance();
        let end = start + size_of::<libc::pthread_mutex_t>();
        let word = node.wrapping_add_signed(FUTEX_OFFSET);
        node.wrapping_sub(WORD) >= start
            && node <= end - WORD
            && word >= start
            && word <= end - 4
            && word.is_multiple_of(4)
    }
}

fn check(errno: libc::c_int) -> io::Result<()> {
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// In a forked child, which holds no robust lock: empties what libc does not.
///
/// No libc clears the pending slot. glibc's `fork` empties the list. musl's keeps the parent's links, and the child's
/// next lock would write into lock lines that the parent still holds. The kernel forgets the registration in a child;
/// the list that the parent's thread had cached stands in for it.
pub(super) fn empty_inherited() {
    if let Some(list) = registered().ok().flatten().or_else(super::thread::inherited_list) {
        store(list.pending().addr(), 0);
        if cfg!(target_env = "musl") {
            store(list.first().addr(), list.head.addr());
        }
    }
}
