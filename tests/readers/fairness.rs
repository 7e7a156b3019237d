//! Neither readers nor writers keep the others out.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Scratch, until};
use crate::{kinds, rwlock};

/// Without the rule, some reader would be there at every moment.
#[test]
fn a_writer_comes_in_beside_endless_readers() {
    for kind in kinds() {
        let name = Scratch::new("endless-readers");
        let lock = rwlock(kind, &name);
        let (over, reading) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let guard = lock.read().unwrap();
                        reading.fetch_add(1, Ordering::SeqCst);
                        // Until another one is in, too, if one comes soon.
                        for _ in 0..1_000 {
                            if reading.load(Ordering::SeqCst) > 1 {
                                break;
                            }
                            std::hint::spin_loop();
                        }
                        std::thread::yield_now();
                        reading.fetch_sub(1, Ordering::SeqCst);
                        drop(guard);
                    }
                });
            }
            for _ in 0..200 {
                let guard = lock.write().unwrap();
                assert_eq!(reading.load(Ordering::SeqCst), 0);
                drop(guard);
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_reader_comes_in_beside_endless_writers() {
    for kind in kinds() {
        let name = Scratch::new("endless-writers");
        let lock = rwlock(kind, &name);
        let (over, read) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        drop(lock.write().unwrap());
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..200 {
                    drop(lock.read().unwrap());
                    read.fetch_add(1, Ordering::Relaxed);
                }
            });
            until("200 readings", || (read.load(Ordering::Relaxed) == 200).then_some(()));
            over.store(true, Ordering::Relaxed);
        });
    }
}
