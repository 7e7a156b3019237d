//! The presences of this process, for those who must find all of them: a forked child, and the exit hook.
//!
//! Without a lock, because a fork or a signal may come at any instruction: a lock would be held for good in the child, or
//! waited for by the thread that holds it. A presence stands in a slot; slots are made in blocks, used again, and never
//! freed. At every instruction, each slot holds a presence or nothing.
#![allow(unsafe_code)]

use std::iter;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::presence::Presence;

/// A place for one presence.
#[derive(Debug)]
struct Slot {
    /// From `Arc::into_raw`, or null.
    presence: AtomicPtr<Presence>,
    /// While the slot is free: the next free one, as in `FREE`.
    next_free: AtomicU32,
}

/// Block `n` has `FIRST_BLOCK << n` slots.
const FIRST_BLOCK: u32 = 64;
const BLOCKS: usize = 24;
static SLOTS: [AtomicPtr<Slot>; BLOCKS] = [const { AtomicPtr::new(ptr::null_mut()) }; BLOCKS];
/// So many slots have ever been used.
static USED: AtomicU32 = AtomicU32::new(0);
/// A stack of free slots: in the lower half the index of the first one plus 1, in the upper half how often it has been
/// changed, so that a slot that came back in the meantime is not taken for one that never went.
static FREE: AtomicU64 = AtomicU64::new(0);

/// The block of a slot, and the place in it.
fn place(index: u32) -> (usize, usize) {
    let block = (index / FIRST_BLOCK + 1).ilog2();
    (block as usize, (index - FIRST_BLOCK * ((1 << block) - 1)) as usize)
}

/// The slot, if its block has been made.
fn slot(index: u32) -> Option<&'static Slot> {
    let (block, at) = place(index);
    let block = SLOTS[block].load(Ordering::Acquire); // pairs with the Release in `make_block`
    if block.is_null() {
        return None;
    }
    // SAFETY: a block has a slot at each place.
    let slot = unsafe { block.add(at) };
    // SAFETY: a block is never freed, and its slots are changed by atomics only.
    Some(unsafe { &*slot })
}

fn make_block(block: usize) {
    let slots: Box<[Slot]> =
        iter::repeat_with(|| Slot { presence: AtomicPtr::default(), next_free: AtomicU32::new(0) })
            .take((FIRST_BLOCK as usize) << block)
            .collect();
    let slots = Box::into_raw(slots);
    let first = slots.cast::<Slot>();
    if SLOTS[block].compare_exchange(ptr::null_mut(), first, Ordering::Release, Ordering::Relaxed).is_err() {
        // SAFETY: from `into_raw` above; another thread has made the block, and this one is known to nobody.
        drop(unsafe { Box::from_raw(slots) });
    }
}

/// Takes a slot that nobody uses.
fn claim() -> u32 {
    let mut free = FREE.load(Ordering::Acquire);
    while let Some(index) = (free as u32).checked_sub(1) {
        let Some(slot) = slot(index) else { break };
        let next = changed(free, slot.next_free.load(Ordering::Relaxed));
        // Acquire pairs with the Release of `give_back`.
        match FREE.compare_exchange_weak(free, next, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => return index,
            Err(now) => free = now,
        }
    }
    let index = USED.fetch_add(1, Ordering::Relaxed);
    let (block, _) = place(index);
    if SLOTS[block].load(Ordering::Relaxed).is_null() {
        make_block(block);
    }
    index
}

fn give_back(index: u32) {
    let Some(slot) = slot(index) else { return };
    let mut free = FREE.load(Ordering::Relaxed);
    loop {
        slot.next_free.store(free as u32, Ordering::Relaxed);
        match FREE.compare_exchange_weak(free, changed(free, index + 1), Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => free = now,
        }
    }
}

fn changed(free: u64, first: u32) -> u64 {
    ((free >> 32).wrapping_add(1)) << 32 | u64::from(first)
}

/// A presence in its slot, until this is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    index: u32,
    presence: Arc<Presence>,
}

impl Listed {
    pub(super) fn new(presence: Presence) -> Self {
        let presence = Arc::new(presence);
        let index = claim();
        if let Some(slot) = slot(index) {
            let in_slot = Arc::into_raw(Arc::clone(&presence)).cast_mut();
            slot.presence.store(in_slot, Ordering::Release); // pairs with the Acquire in `Slot::take` and `all_in_child`
        }
        Self { index, presence }
    }

    pub(super) fn presence(&self) -> &Presence {
        &self.presence
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(slot) = slot(self.index) {
            drop(slot.take());
        }
        give_back(self.index);
    }
}

impl Slot {
    fn take(&self) -> Option<Arc<Presence>> {
        let presence = self.presence.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: from `into_raw` in `Listed::new`; whoever swaps it out has that reference.
        (!presence.is_null()).then(|| unsafe { Arc::from_raw(presence) })
    }
}

fn slots() -> impl Iterator<Item = &'static Slot> {
    (0..USED.load(Ordering::Relaxed)).filter_map(slot)
}

/// Takes all presences out of their slots, one after another.
pub(super) fn take_all() -> impl Iterator<Item = Arc<Presence>> {
    slots().filter_map(Slot::take)
}

/// All presences, in a child that was forked just now, and so has one thread.
pub(super) fn all_in_child() -> impl Iterator<Item = &'static Presence> {
    // SAFETY: what stands in a slot is alive as long as it does, and there is nobody who takes it out meanwhile.
    slots().filter_map(|slot| unsafe { slot.presence.load(Ordering::Acquire).as_ref() })
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::name::Name;
    use crate::os::file;
    use crate::os::fork::forks_begun;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let places: Vec<_> = (0..5_000).map(place).collect();
        assert_eq!(places[..3], [(0, 0), (0, 1), (0, 2)]);
        assert_eq!((places[63], places[64], places[191], places[192]), ((0, 63), (1, 0), (1, 127), (2, 0)));
        assert!(places.windows(2).all(|pair| pair[1] == (pair[0].0, pair[0].1 + 1) || pair[1] == (pair[0].0 + 1, 0)));
    }

    /// Handles come and go for years. (Other tests have some of their own meanwhile.)
    #[test]
    fn a_handle_gives_its_slot_back() {
        let name = crate::unique_name("slots");
        for _ in 0..1_000 {
            drop(crate::SharedLock::create(&name).unwrap());
        }
        assert!(USED.load(Ordering::Relaxed) <= 500, "{USED:?}");
    }

    /// A slot is not dropped before the next presence stands in it: it would keep the old one until then, or for good.
    #[test]
    fn a_slot_does_not_keep_the_presence_of_a_handle_that_has_gone() {
        let name = Name::new(&crate::unique_name("gone")).unwrap();
        let file = file::create_private(name.as_str()).unwrap();
        let status = file::status(&file).unwrap();
        file::unlink(name.as_str()).unwrap();
        let listed = Listed::new(Presence::new(file, status, &name, true, forks_begun()).unwrap());
        let presence = Arc::downgrade(&listed.presence);
        assert_eq!(presence.strong_count(), 2, "the handle and its slot");
        drop(listed);
        assert_eq!(presence.strong_count(), 0);
    }

    #[test]
    fn a_stack_that_has_changed_and_changed_back_is_another() {
        let first = changed(0, 1);
        let again = changed(changed(first, 2), 1);
        assert_eq!((first as u32, again as u32), (1, 1));
        assert_ne!(first, again);
    }

    #[test]
    fn a_slot_is_used_by_one_at_a_time_and_again() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let mine = [0; 3].map(|_| claim());
                        for index in mine {
                            let slot = slot(index).unwrap();
                            // No presence: a mark that only this thread sets.
                            let mark = ptr::without_provenance_mut(8);
                            assert!(slot.presence.swap(mark, Ordering::AcqRel).is_null());
                        }
                        for index in mine {
                            slot(index).unwrap().presence.store(ptr::null_mut(), Ordering::Release);
                            give_back(index);
                        }
                    }
                });
            }
        });
        assert!(USED.load(Ordering::Relaxed) <= 4 * 3 + 200, "{USED:?}");
    }
}
