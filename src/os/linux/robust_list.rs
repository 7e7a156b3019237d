//! The kernel's list of the robust futexes that a thread holds.
//!
//! When a thread dies, however it dies, the kernel walks this list and marks each futex on it whose word still holds
//! the thread's id (kernel documentation: *robust-futexes*, *robust-futex-ABI*). There is one list for each thread,
//! registered by libc for its own robust mutexes. We ask the kernel where it is and put our nodes into the same list,
//! by the protocol that both sides keep:
//!
//! * a node lies `futex_offset` bytes in front of its futex word (the offset is negative: behind it), a number that
//!   libc chose and the head tells; bit 0 of a link marks a priority-inheriting futex of libc's;
//! * the word in front of a node is its back pointer, in glibc and in musl. That of the first node is written by whoever
//!   links in front of it, and leads nowhere until then: it is kept, and never followed;
//! * while a node goes in or out, `list_op_pending` names it, so that a death in the middle is handled as well. It may
//!   name a node that is in the list: the kernel then handles it once.
//!
//! So a lock that its thread holds alone (the list was empty) stays named as pending for as long as it is held: that
//! spares the fast path from clearing the slot and setting it again. If libc's mutexes use the slot in between, releasing
//! notices, and names the node again.
//!
//! Other threads never touch the list. Compiler fences keep the order of the steps, which is all that the kernel needs: it
//! looks when the thread has stopped.
//!
//! # Signal handlers
//!
//! A handler may interrupt any step, of ours or of libc's, with operations of its own. What it locks it releases, in any
//! order, before it returns; so it puts nodes in front of the first one and takes them out again, and must leave all as
//! it was:
//!
//! * **the first node's back pointer.** libc's own linking sets it before the head leads to the new node, and relies on
//!   it afterwards. Whoever links in front of a node moves what is there to the back pointer of his own, and moves it
//!   back when he goes. At our own steps no such pointer is relied on: the head leads to the new node first. So even a
//!   handler that uses libc's mutexes, which is not allowed to and restores nothing, leaves the list whole (but empties
//!   the slot, so that a death before the interrupted operation ends may go unnoticed);
//! * **the slot.** What it names is put back. While it names the handler's lock, the interrupted one may be held and in
//!   no list, or its wake-up may be under way: see `robust_list/nested.rs`.
//!
//! On musl the offset is -28, so that nodes are not 8-aligned: every access is unaligned.

use std::mem::size_of;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use crate::fault::point;

mod came_by;
mod find;
mod nested;
mod proof;

pub(crate) use find::{empty_inherited, of_this_thread};
pub(crate) use nested::Interrupted;

/// `struct robust_list_head` of `linux/futex.h`.
#[repr(C)]
#[derive(Debug)]
struct Head {
    first: usize,
    futex_offset: libc::c_long,
    list_op_pending: usize,
}

/// Never written: no node is ever in it.
static EMPTY_HEAD: Head = Head { first: 0, futex_offset: 0, list_op_pending: 0 };

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

/// One thread's list. A copy is only good on that thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RobustList {
    head: *mut Head,
}

impl RobustList {
    /// A list that is nobody's: empty, with nothing pending.
    pub(crate) const NONE: Self = Self { head: (&raw const EMPTY_HEAD).cast_mut() };

    /// Where a futex word's node and the back pointer in front of it lie, in bytes from the word.
    pub(crate) const NODE: Range<isize> = -FUTEX_OFFSET - WORD as isize..-FUTEX_OFFSET + WORD as isize;

    /// Where the node of a word lies, of which the lower half is the futex.
    #[inline(always)]
    pub(crate) fn node(word: &AtomicU64) -> Node {
        Self::node_of(ptr::from_ref(word).addr())
    }

    /// Where the node of a word at this address lies.
    pub(crate) fn node_of(word: usize) -> Node {
        word.wrapping_add_signed(-FUTEX_OFFSET)
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

    /// Step 1 of taking or releasing: names the node as pending, and remembers in whose name (`robust_list/nested.rs`).
    #[inline(always)]
    pub(crate) fn begin(self, node: Node, slot: u32) {
        store(self.pending().addr(), node);
        compiler_fence(Ordering::SeqCst);
        // In this order: a handler in between finds something pending, and so puts back what was remembered.
        came_by::remember(slot);
        compiler_fence(Ordering::SeqCst);
        point!("list: named as pending");
    }

    /// The last step of taking or releasing.
    #[inline(always)]
    pub(crate) fn end(self) {
        self.name(0);
        point!("list: pending no more");
    }

    #[inline(always)]
    fn name(self, pending: Node) {
        compiler_fence(Ordering::SeqCst);
        store(self.pending().addr(), pending);
    }

    /// Is nothing in the list, and nothing going in or out?
    #[inline(always)]
    pub(crate) fn is_idle(self) -> bool {
        (load(self.pending().addr()) == 0) & self.is_empty()
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        load(self.first().addr()) == self.head.addr()
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

    /// Puts a node at the head of the list, with the bit that a link to it has.
    pub(crate) fn link(self, link: usize) {
        let node = link & !PI;
        let next = load(self.first().addr());
        store(node, next);
        if let Some(next) = self.node_in(next) {
            store(node - WORD, load(next - WORD)); // what the first node has there is kept by the first
        }
        compiler_fence(Ordering::SeqCst);
        point!("list: points to the next");
        store(self.first().addr(), link);
        compiler_fence(Ordering::SeqCst);
        point!("list: in front");
        if let Some(next) = self.node_in(next) {
            store(next - WORD, node);
            compiler_fence(Ordering::SeqCst);
            point!("list: next points back");
        }
    }

    /// Takes the node out of the list.
    pub(crate) fn unlink(self, node: Node) {
        let next = load(node);
        let back = load(node - WORD);
        // The head begins with its link, as a node does.
        let previous = if load(self.first().addr()) & !PI == node { self.first().addr() } else { back & !PI };
        if let Some(next) = self.node_in(next) {
            store(next - WORD, back);
            compiler_fence(Ordering::SeqCst);
            point!("list: next points back past it");
        }
        store(previous, next);
        compiler_fence(Ordering::SeqCst);
        point!("list: taken out");
    }

    /// The node that a link leads to; `None` at the end of the list.
    fn node_in(self, link: usize) -> Option<Node> {
        Some(link & !PI).filter(|node| *node != self.head.addr())
    }

    /// Is the node in the list? It is only compared, never followed.
    pub(crate) fn contains(self, node: Node) -> bool {
        self.nodes().any(|listed| listed == node)
    }

    /// Is there such a node in the list? Listed nodes are in mapped memory.
    pub(crate) fn has_one(self, such: impl Fn(Node) -> bool) -> bool {
        self.nodes().any(such)
    }

    /// What there is of the nodes in the list, from the first on. Listed nodes are in mapped memory.
    pub(crate) fn find_all<T>(self, of: impl Fn(Node) -> Option<T>) -> impl Iterator<Item = T> {
        self.nodes().filter_map(of)
    }

    /// Are there so many nodes in the list that the kernel might not come to the end of it?
    pub(crate) fn is_full(self) -> bool {
        self.nodes().nth(MAX_HELD - 1).is_some()
    }

    fn futex_offset(self) -> isize {
        // SAFETY: as in `pending`; the kernel was given a head of just this size.
        unsafe { (*self.head).futex_offset as isize }
    }

    fn nodes(self) -> impl Iterator<Item = Node> {
        let first = self.node_in(load(self.first().addr()));
        std::iter::successors(first, move |node| self.node_in(load(*node))).take(WALK_LIMIT)
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

/// The thread id in the futex word that belongs to a node. Callers have found out that the word is there.
fn owner(node: Node) -> u32 {
    let word = ptr::with_exposed_provenance::<u32>(node.wrapping_add_signed(FUTEX_OFFSET));
    // SAFETY: the word is mapped and aligned, by the rule above.
    let word = unsafe { ptr::read_volatile(word) };
    word & libc::FUTEX_TID_MASK
}

/// The thread id and the slot in the word that belongs to a node of a segment, read at once: in between, others come and go.
fn whole(node: Node) -> u64 {
    let word = ptr::with_exposed_provenance::<u64>(node.wrapping_add_signed(FUTEX_OFFSET));
    // SAFETY: as above; such a word has 64 bits, and is aligned to them.
    let word = unsafe { ptr::read_volatile(word) };
    word & !u64::from(libc::FUTEX_WAITERS | libc::FUTEX_OWNER_DIED)
}

#[inline(always)]
fn store(address: usize, value: usize) {
    let link = ptr::with_exposed_provenance_mut::<usize>(address);
    // SAFETY: as in `load`; and only the thread that holds a lock, or is about to, writes its node.
    unsafe { ptr::write_unaligned(link, value) }
}
