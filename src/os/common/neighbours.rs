//! The slots that this process has: those of all its handles that a lock may have to tell from a stranger's.
//!
//! Without a lock, because a fork or a signal may come at any instruction. Places are made one by one, used again, and never
//! freed; to look through them is for the rare case that a lock is held by the caller's thread id.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

#[derive(Debug)]
struct Place {
    is_taken: AtomicBool,
    /// 0 while there is none.
    slot: AtomicU32,
    /// Does not change once the place can be found.
    next: AtomicPtr<Place>,
}

static FIRST: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

fn places() -> impl Iterator<Item = &'static Place> {
    // Acquire pairs with the Release in `Neighbour::new`.
    // SAFETY: null, or a place that is never freed, and made of atomics.
    let follow = |link: &AtomicPtr<Place>| unsafe { link.load(Ordering::Acquire).as_ref() };
    std::iter::successors(follow(&FIRST), move |place| follow(&place.next))
}

/// Has a handle of this process this slot?
pub(super) fn have(slot: u32) -> bool {
    slot != 0 && places().any(|place| place.slot.load(Ordering::Relaxed) == slot)
}

/// One that can be found, until this is dropped.
#[derive(Debug)]
pub(super) struct Neighbour(&'static Place);

impl Neighbour {
    pub(super) fn new(slot: u32) -> Self {
        let take =
            |place: &&Place| !place.is_taken.load(Ordering::Relaxed) && !place.is_taken.swap(true, Ordering::Relaxed);
        let neighbour = Self(places().find(take).unwrap_or_else(make));
        neighbour.set(slot);
        neighbour
    }

    // Relaxed: who asks has the number from a word that was written by the thread that asks.
    pub(super) fn set(&self, slot: u32) {
        self.0.slot.store(slot, Ordering::Relaxed);
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.set(0);
        self.0.is_taken.store(false, Ordering::Relaxed);
    }
}

fn make() -> &'static Place {
    let first = FIRST.load(Ordering::Relaxed);
    let place = Place { is_taken: AtomicBool::new(true), slot: AtomicU32::new(0), next: AtomicPtr::new(first) };
    let place: &'static Place = Box::leak(Box::new(place));
    let address = ptr::from_ref(place).cast_mut();
    let mut first = first;
    while let Err(found) = FIRST.compare_exchange(first, address, Ordering::Release, Ordering::Relaxed) {
        place.next.store(found, Ordering::Relaxed);
        first = found;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_is_found_and_places_are_used_again() {
        // Other tests have some meanwhile.
        let slots: Vec<u32> = (0..50).map(|_| crate::os::random_id()[0] as u32 | 1).collect();
        let neighbours: Vec<_> = slots.iter().map(|slot| Neighbour::new(*slot)).collect();
        assert!(slots.iter().all(|slot| have(*slot)));
        neighbours[0].set(2);
        assert!(!have(slots[0]) && have(2) && !have(0));
        drop(neighbours);
        assert!(!slots.iter().any(|slot| have(*slot)));
        let before = places().count();
        (0..1_000).for_each(|slot| drop(Neighbour::new(slot)));
        assert!(places().count() < before + 50);
    }

    #[test]
    fn a_place_has_one_at_a_time() {
        std::thread::scope(|scope| {
            for thread in 1..5 {
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let slot = thread << 20 | round;
                        let neighbour = Neighbour::new(slot);
                        assert_eq!(neighbour.0.slot.load(Ordering::Relaxed), slot);
                        assert!(have(slot));
                    }
                });
            }
        });
    }
}
