//! A segment, whatever it is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use robust_shm::dynamic::{self, Any, AnyObserver};
use robust_shm::{
    Error, SegmentInfo, SharedArray, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore, SharedSlice, SharedValue,
};

use crate::support::{COST_OF_A_PROCESS, Scratch, assert_error};

#[test]
fn each_kind_is_opened_as_what_it_is_with_or_without_a_tag() {
    for tag in [None, Some("acme/1")] {
        let name = Scratch::new("any");
        macro_rules! is {
            ($handle:ty, ($($first:expr),*), $as:ident, $observed:pat) => {{
                let options = <$handle>::options();
                let options = if let Some(tag) = tag { options.type_tag(tag) } else { options };
                let made = options.create(&name $(, $first)*).unwrap();
                let any = dynamic::open(&name).unwrap();
                assert!(matches!(any, Any::$as(_)), "{any:?}");
                assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 2);
                let observer = dynamic::observe(&name);
                assert!(matches!(observer, $observed), "{observer:?}");
                assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 2, "an observer is no user");
                drop((made, any));
            }};
        }
        is!(SharedValue<u64>, (7), Value, Ok(AnyObserver::Value(_)));
        is!(SharedArray<u64, 3>, (), Slice, Ok(AnyObserver::Slice(_)));
        is!(SharedSlice<u64>, (3), Slice, Ok(AnyObserver::Slice(_)));
        is!(SharedLock, (), Lock, Err(Error::TypeMismatch { .. }));
        is!(SharedRwLock, (), RwLock, Err(Error::TypeMismatch { .. }));
        is!(SharedEvent, (), Event, Ok(AnyObserver::Event(_)));
        is!(SharedSemaphore, (3), Semaphore, Ok(AnyObserver::Semaphore(_)));
        assert_error!(dynamic::open(&name), NotFound, &name, ["not found"]);
        assert_error!(dynamic::observe(&name), NotFound, &name, ["not found"]);
    }
    assert!(matches!(dynamic::open("a/b"), Err(Error::InvalidName { .. })));
}

#[test]
fn what_cannot_be_observed_says_what_can() {
    let name = Scratch::new("lock");
    let _lock = SharedLock::create(&name).unwrap();
    assert_error!(dynamic::observe(&name), TypeMismatch, &name, ["which can be observed", "found SharedLock"]);
}

/// Somebody replaces the segment again and again by one of another kind: each is opened as what it is then. Every other one
/// at once, and the others when they have been looked for: where opening takes longer than all that, nobody would meet one.
#[test]
fn a_name_that_leads_to_another_kind_is_followed() {
    const MEETINGS: usize = 1_500 / COST_OF_A_PROCESS;
    let name = Scratch::new("changes");
    let (done, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut kinds = [0; 2];
    std::thread::scope(|scope| {
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        let _done = Done(&done);
        scope.spawn(|| {
            let is_looked_for = || {
                let seen = looks.load(Relaxed);
                while looks.load(Relaxed) < seen + 2 && !done.load(Relaxed) {
                    std::thread::yield_now();
                }
            };
            for turn in 0u32.. {
                let stays = || (turn % 2 == 0).then(is_looked_for);
                drop(SharedLock::options().persistent(true).create(&name).unwrap());
                stays();
                robust_shm::remove(&name).unwrap();
                drop(SharedValue::options().persistent(true).create(&name, 7u8).unwrap());
                stays();
                robust_shm::remove(&name).unwrap();
                if done.load(Relaxed) {
                    return;
                }
            }
        });
        crate::support::until("both kinds to have been met", || {
            looks.fetch_add(1, Relaxed);
            match dynamic::open(&name) {
                Ok(Any::Lock(_)) => kinds[0] += 1,
                Ok(Any::Value(value)) => {
                    assert_eq!(value.size(), 1);
                    kinds[1] += 1;
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert!(matches!(error, Error::NotFound { .. }), "{error:?}"),
            }
            kinds.iter().all(|count| *count > MEETINGS).then_some(())
        });
    });
}
