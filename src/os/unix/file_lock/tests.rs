use std::cell::RefCell;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::descriptor::Descriptor;
use super::super::file::{create_private, open, status, unlink};
use super::super::generation::{FORKS_BEGUN, FORKS_OVER};
use super::*;

/// A file with a name, which goes at the end.
struct Scratch(String);

impl Scratch {
    fn new() -> (Self, Descriptor) {
        let scratch = Self(crate::unique_name("robust-shm-file-lock"));
        let file = create_private(&scratch.0).unwrap();
        let status = status(&file).unwrap();
        (scratch, Descriptor::new(file, status).unwrap())
    }

    fn another(&self) -> Descriptor {
        let file = open(&self.0, true).unwrap();
        let status = status(&file).unwrap();
        Descriptor::new(file, status).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = unlink(&self.0);
    }
}

fn lives(file: &File) -> usize {
    let inode = file.metadata().unwrap().ino();
    let names = directory::names().unwrap().map(Result::unwrap);
    names.filter(|name| life_in(name, inode).is_some()).count()
}

#[test]
fn a_name_may_be_guarded_again_when_it_has_been_released() {
    let (scratch, one) = Scratch::new();
    let other = scratch.another();
    let guard = try_guard_name(one.known()).unwrap().unwrap();
    assert!(try_guard_name(other.known()).unwrap().is_none());
    release_name(one.known(), guard).unwrap();
    drop(try_guard_name(other.known()).unwrap().unwrap());
    assert!(try_guard_name(one.known()).unwrap().is_some());
}

/// Else a dead holder of whom the lock word tells would look alive for as long as the newcomer is there.
#[test]
fn a_slot_that_is_named_is_not_taken() {
    let (scratch, file) = Scratch::new();
    let refused = RefCell::new(Vec::new());
    let is_named = |slot| {
        let mut refused = refused.borrow_mut();
        refused.push(slot);
        Ok(refused.len() < 4)
    };
    let slot = mark_present(file.known(), is_named).unwrap().unwrap();
    let refused = refused.into_inner();
    assert_eq!((refused.len(), refused[3]), (4, slot));
    let asker = scratch.another();
    assert!(is_present(asker.known(), slot).unwrap());
    assert!(refused[..3].iter().all(|slot| !is_present(asker.known(), *slot).unwrap()), "given back");
    assert_eq!((count_present(asker.known()).unwrap(), count_present(file.known()).unwrap()), (1, 0));
    assert!(is_anyone_present(asker.known()).unwrap() && !is_anyone_present(file.known()).unwrap());
    assert!(!try_mark(asker.known(), slot).unwrap());
    drop(file);
    assert_eq!(lives(asker.known()), 0);
    assert!(try_mark(asker.known(), slot).unwrap());
}

#[test]
fn what_the_dead_have_left_is_not_counted_and_is_removed() {
    let (scratch, file) = Scratch::new();
    let slot = mark_present(file.known(), |_| Ok(false)).unwrap().unwrap();
    let name = beside(file.known(), Kind::Life, slot).unwrap();
    drop(Beside::of(file.known()).remove(name)); // as the kernel closes it
    let asker = scratch.another();
    assert_eq!(lives(asker.known()), 1);
    assert_eq!((count_present(asker.known()).unwrap(), lives(asker.known())), (0, 0));
    assert!(!is_present(asker.known(), slot).unwrap());
}

#[test]
fn one_watches_at_a_time() {
    let (scratch, one) = Scratch::new();
    let other = scratch.another();
    assert!(try_watch(one.known()).unwrap() && !try_watch(other.known()).unwrap());
    stop_watching(one.known()).unwrap();
    assert!(try_watch(other.known()).unwrap());
    drop(other);
    assert!(try_watch(one.known()).unwrap());
}

/// Without its life file a user looks dead: so it is none any more, and its own descriptor goes with it.
#[test]
fn who_has_lost_the_life_file_is_told_so() {
    let (scratch, file) = Scratch::new();
    let slot = mark_present(file.known(), |_| Ok(false)).unwrap().unwrap();
    assert!(file.get().is_some());
    assert!(Beside::of(file.known()).close_behind_its_back(beside(file.known(), Kind::Life, slot).unwrap()));
    assert!(file.get().is_none() && file.status().is_err());
    assert_eq!(count_present(scratch.another().known()).unwrap(), 0);
}

/// In a forked child, the descriptor of a handle gets a description of the child's own.
#[test]
fn what_replaces_a_description_brings_its_life_file() {
    let (scratch, file) = Scratch::new();
    let old = mark_present(file.known(), |_| Ok(false)).unwrap().unwrap();
    let own = open(&scratch.0, true).unwrap();
    let new = mark_present(&own, |_| Ok(false)).unwrap().unwrap();
    assert!(file.replace_by(own));
    let asker = scratch.another();
    assert!(!is_present(asker.known(), old).unwrap() && is_present(asker.known(), new).unwrap());
    assert_eq!((count_present(file.known()).unwrap(), lives(asker.known())), (0, 1));
    drop(file);
    assert_eq!(lives(asker.known()), 0);
}

/// Closed by the program, which does not know whose it is.
fn close_behind_its_back(descriptor: &Descriptor) {
    // SAFETY: a descriptor of this test's, which is told of it and closes nothing.
    assert_eq!(unsafe { libc::close(descriptor.known().as_raw_fd()) }, 0);
}

/// A file at this number: so another test cannot have it meanwhile.
fn put_at(number: RawFd, file: File) -> File {
    // SAFETY: the number is that of a description that somebody has lost.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), number) }, number);
    // SAFETY: the description is now this one's, too.
    unsafe { File::from_raw_fd(number) }
}

/// Once, three of them used up the room, and the first one's made the second look as if it were closed, too.
#[test]
fn what_was_beside_an_earlier_descriptor_of_that_number_is_not_beside_this_one() {
    let (scratch, first) = Scratch::new();
    let number = first.known().as_raw_fd();
    let mut earlier = vec![first];
    for _ in 0..5 {
        let lost = earlier.last().unwrap();
        let slot = mark_present(lost.known(), |_| Ok(false)).unwrap().unwrap();
        assert!(try_watch(lost.known()).unwrap());
        // As if the program had closed it, and the next one got its number.
        let next = put_at(number, open(&scratch.0, true).unwrap());
        let status = status(&next).unwrap();
        let next = Descriptor::new(next, status).unwrap();
        assert!(next.get().is_some() && !is_present(scratch.another().known(), slot).unwrap());
        earlier.push(next);
    }
    assert_eq!(lives(earlier[0].known()), 0);
    // They are of one number, and it is the last one's.
    let last = earlier.pop().unwrap();
    assert!(earlier.iter().all(|lost| lost.get().is_none()));
    drop(earlier);
    assert!(last.get().is_some());
}

/// Once, it was a user for as long as the process lived.
#[test]
fn the_life_of_a_lost_handle_goes_by_its_number_and_slot() {
    let (scratch, file) = Scratch::new();
    let slot = mark_present(file.known(), |_| Ok(false)).unwrap().unwrap();
    assert!(try_watch(file.known()).unwrap());
    let other = scratch.another();
    close_behind_its_back(&file);
    assert!(file.get().is_none());
    give_up_mark_of_lost(file.known(), file.opened(), slot ^ 1);
    assert!(is_present(other.known(), slot).unwrap() && !try_watch(other.known()).unwrap());
    give_up_mark_of_lost(file.known(), file.opened(), slot);
    assert!(!is_present(other.known(), slot).unwrap());
    stop_watching_of_lost(file.known(), file.opened());
    assert!(try_watch(other.known()).unwrap());
    assert_eq!(lives(other.known()), 0);
}

/// Once, what was made while a fork was under way could be in its child, and the child not know of it.
#[test]
fn nobody_is_marked_while_a_fork_is_under_way_for_as_long_as_he_can_wait() {
    let (_scratch, file) = Scratch::new();
    let begun = Instant::now();
    FORKS_BEGUN.fetch_add(1, Ordering::SeqCst);
    let slot = mark_present(file.known(), |_| Ok(false));
    let took = begun.elapsed();
    FORKS_OVER.fetch_add(1, Ordering::SeqCst);
    assert!(slot.unwrap().is_some() && took >= Duration::from_millis(10), "{took:?}");
}

/// Once, the last user left the name where it was: it was told that somebody removed it, who only looked.
#[test]
fn who_looks_whether_a_guard_is_a_dead_ones_is_not_taken_for_one() {
    const TURNS: usize = 100;
    let (_scratch, file) = Scratch::new();
    let name = beside(file.known(), Kind::Guard, 0).unwrap();
    let guarded = (0..TURNS).filter(|_| {
        let looks = named_lock::take(name).unwrap();
        std::thread::scope(|scope| {
            let (ask, asked) = std::sync::mpsc::channel();
            scope.spawn(move || {
                asked.recv().unwrap();
                std::thread::sleep(Duration::from_micros(200));
                drop(looks);
            });
            ask.send(()).unwrap();
            try_guard_name(file.known()).unwrap().is_some()
        })
    });
    let guarded = guarded.count();
    assert!(guarded > TURNS / 2, "{guarded}: but for those for whom he looked for too long");
}

#[test]
fn what_cannot_replace_a_description_leaves_no_life_file() {
    let (scratch, file) = Scratch::new();
    let own = open(&scratch.0, true).unwrap();
    let slot = mark_present(&own, |_| Ok(false)).unwrap().unwrap();
    close_behind_its_back(&file);
    assert!(!file.replace_by(own));
    let asker = scratch.another();
    assert_eq!((is_present(asker.known(), slot).unwrap(), lives(asker.known())), (false, 0));
}
