//! Golden files: segments as format version 2 has them, kept in `tests/golden`. Whoever changes the format without another
//! version breaks these tests; so does whoever can no longer read what is there. How they are made anew stands in
//! `tests/golden/README.md`.
#![cfg_attr(not(unix), allow(dead_code, unused_imports, reason = "for the parts that need Unix"))]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use robust_shm::{
    Error, LockError, LockKind, SegmentInfo, SharedArray, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore,
    SharedSlice, SharedValue,
};
use support::{Need, Scratch, exists, path, skip};

/// What is the same in the picture of each: nobody uses it but this test, and nobody holds it.
struct Picture {
    kind: &'static str,
    type_name: &'static str,
    has_type_tag: bool,
    element: u64,
    length: u64,
    bytes: u64,
    commits: Option<u64>,
    is_persistent: bool,
    has_poison: bool,
    is_poisoned: bool,
    is_set: Option<bool>,
    lock_kind: LockKind,
    schema: Option<&'static str>,
}

const VALUE: Picture = Picture {
    kind: "SharedValue",
    type_name: "u64",
    has_type_tag: false,
    element: 8,
    length: 1,
    bytes: 704 + 3,
    commits: Some(0),
    is_persistent: true,
    has_poison: false,
    is_poisoned: false,
    is_set: None,
    lock_kind: LockKind::Futex,
    schema: Some("u64"),
};
const ARRAY: Picture = Picture {
    kind: "SharedArray",
    type_name: "u16",
    element: 2,
    length: 5,
    bytes: 714 + 3,
    commits: None,
    has_poison: true,
    schema: Some("u16"),
    ..VALUE
};
const LOCK: Picture =
    Picture { kind: "SharedLock", type_name: "()", element: 0, length: 0, bytes: 640, schema: None, ..ARRAY };
const EVENT: Picture = Picture { kind: "SharedEvent", has_poison: false, is_set: Some(true), ..LOCK };

const SEMAPHORE: Picture = Picture { kind: "SharedSemaphore", bytes: 768, has_poison: false, ..LOCK };

struct Golden {
    file: &'static str,
    picture: Picture,
    /// Makes one of this name, and gives its bytes.
    make: fn(&str) -> Result<Vec<u8>, Error>,
    /// Opens it, and sees what is in it.
    check: fn(&str),
}

/// The handle keeps it there.
fn bytes_of<H>(name: &str, _handle: &H) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

fn take_three(name: &str) {
    let semaphore = SharedSemaphore::open(name).unwrap();
    let permits: [_; 3] = std::array::from_fn(|_| semaphore.acquire().unwrap());
    assert_eq!((semaphore.permits(), semaphore.available(), permits.len()), (3, 0, 3));
}

const LARGE: [u64; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
#[repr(u8)]
enum Light {
    Red,
    Amber = 5,
    Green,
}
robust_shm::describe!(Light(u8) { Red, Amber, Green });

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
#[repr(C)]
struct Crossing {
    at: [f64; 2],
    cars: i32,
    light: Light,
    open: bool,
    _pad: [u8; 2],
}
robust_shm::describe!(Crossing { at: [f64; 2], cars: i32, light: Light, open: bool, _pad: [u8; 2] });

const CROSSING: Crossing = Crossing { at: [1.5, -2.0], cars: -3, light: Light::Green, open: true, _pad: [0; 2] };
const OF_CROSSING: &str = "Crossing{at:[f64;2],cars:i32,light:Light(u8){Red=0,Amber=5,Green=6},open:bool,_pad:[u8;2]}";

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Sample {
    sensor: u32,
    level: f32,
}
robust_shm::describe!(Sample { sensor: u32, level: f32 });

const SAMPLES: [Sample; 2] = [Sample { sensor: 7, level: 0.5 }, Sample { sensor: 8, level: -0.5 }];

const ALL: [Golden; 20] = [
    Golden {
        file: "value",
        picture: Picture { commits: Some(2), ..VALUE },
        make: |name| {
            let value = SharedValue::options().lock_kind(LockKind::Futex).persistent(true).create(name, 7u64)?;
            value.set(8)?;
            value.set(9)?;
            Ok(bytes_of(name, &value))
        },
        check: |name| {
            let value = SharedValue::<u64>::open(name).unwrap();
            assert_eq!((value.get(), value.commits()), (9, 2));
            // Commit 1 is in the other slot; and the next one goes there.
            assert_eq!(value.update(|v| *v += 1).unwrap(), 10);
            assert_eq!((value.get(), value.commits()), (10, 3));
        },
    },
    Golden {
        file: "large-value",
        picture: Picture {
            type_name: "[u64; 9]",
            element: 72,
            bytes: 904 + 7,
            commits: Some(1),
            schema: Some("[u64;9]"),
            ..VALUE
        },
        make: |name| {
            let value = SharedValue::options().lock_kind(LockKind::Futex).persistent(true).create(name, [0; 9])?;
            value.set(LARGE)?;
            Ok(bytes_of(name, &value))
        },
        check: |name| {
            let value = SharedValue::<[u64; 9]>::open(name).unwrap();
            assert_eq!((value.get(), value.commits()), (LARGE, 1));
            value.update(|v| v[8] = 10).unwrap();
            assert_eq!((value.get()[8], value.commits()), (10, 2));
        },
    },
    // A last word of which only a byte is used.
    Golden {
        file: "odd-value",
        picture: Picture { type_name: "[u8; 25]", element: 25, bytes: 800 + 7, schema: Some("[u8;25]"), ..VALUE },
        make: |name| {
            let options = SharedValue::options().lock_kind(LockKind::Futex).persistent(true);
            options.create(name, *b"twenty-five bytes of text").map(|made| bytes_of(name, &made))
        },
        check: |name| {
            assert_eq!(&SharedValue::<[u8; 25]>::open(name).unwrap().get(), b"twenty-five bytes of text");
        },
    },
    Golden {
        file: "tagged-value",
        picture: Picture {
            type_name: "acme.Point/1",
            has_type_tag: true,
            element: 16,
            bytes: 704 + 7,
            schema: Some("[f64;2]"),
            ..VALUE
        },
        make: |name| {
            let options = SharedValue::options().lock_kind(LockKind::Futex).persistent(true).type_tag("acme.Point/1");
            options.create(name, [0.5f64, -2.0]).map(|made| bytes_of(name, &made))
        },
        check: |name| {
            let value = SharedValue::<[f64; 2]>::options().type_tag("acme.Point/1").open(name).unwrap();
            assert_eq!(value.get().map(f64::to_bits), [0.5, -2.0].map(f64::to_bits));
            assert!(matches!(SharedValue::<[f64; 2]>::open(name), Err(Error::TypeMismatch { .. })));
        },
    },
    Golden {
        file: "described-value",
        picture: Picture {
            type_name: "Crossing",
            element: 24,
            bytes: 704 + OF_CROSSING.len() as u64,
            schema: Some(OF_CROSSING),
            ..VALUE
        },
        make: |name| {
            let options = SharedValue::options().lock_kind(LockKind::Futex).persistent(true).described();
            options.create(name, CROSSING).map(|made| bytes_of(name, &made))
        },
        check: |name| {
            assert_eq!(SharedValue::<Crossing>::options().described().open(name).unwrap().get(), CROSSING);
            assert_eq!(SharedValue::<Crossing>::open(name).unwrap().get(), CROSSING);
        },
    },
    // What nobody describes has no text.
    Golden {
        file: "undescribed-value",
        picture: Picture { type_name: "Sample", bytes: 704, schema: None, ..VALUE },
        make: |name| {
            let options = SharedValue::options().lock_kind(LockKind::Futex).persistent(true);
            options.create(name, SAMPLES[0]).map(|made| bytes_of(name, &made))
        },
        check: |name| {
            assert_eq!(SharedValue::<Sample>::open(name).unwrap().get(), SAMPLES[0]);
            assert_eq!(SharedValue::<Sample>::options().described().open(name).unwrap().get(), SAMPLES[0]);
        },
    },
    Golden {
        file: "described-array",
        picture: Picture {
            type_name: "Sample",
            element: 8,
            length: 2,
            bytes: 720 + 28,
            schema: Some("Sample{sensor:u32,level:f32}"),
            ..ARRAY
        },
        make: |name| {
            let options = SharedArray::options().lock_kind(LockKind::Futex).persistent(true).readers(0).described();
            options.create_from(name, &SAMPLES).map(|made| bytes_of(name, &made))
        },
        check: |name| {
            let array = SharedArray::<Sample, 2>::options().described().open(name).unwrap();
            assert_eq!(array.to_vec().unwrap(), SAMPLES);
            assert_eq!(SharedSlice::<Sample>::open(name).unwrap().to_vec().unwrap(), SAMPLES);
        },
    },
    Golden {
        file: "array",
        picture: ARRAY,
        make: |name| {
            let options = SharedArray::<u16, 5>::options().lock_kind(LockKind::Futex).persistent(true).readers(0);
            options.create_from(name, &[1, 2, 3, 4, 500]).map(|made| bytes_of(name, &made))
        },
        check: |name| {
            let array = SharedArray::<u16, 5>::open(name).unwrap();
            assert_eq!(array.to_vec().unwrap(), [1, 2, 3, 4, 500]);
            array.set(4, 5).unwrap();
            assert_eq!(array.get(4).unwrap(), 5);
            let slice = SharedSlice::<u16>::open(name).unwrap();
            assert_eq!(slice.to_vec().unwrap(), [1, 2, 3, 4, 5]);
        },
    },
    Golden {
        file: "array-without-poison",
        picture: Picture { has_poison: false, ..ARRAY },
        make: |name| {
            let options = SharedArray::<u16, 5>::options().lock_kind(LockKind::Futex).persistent(true).poison(false);
            options.readers(0).create(name).map(|made| bytes_of(name, &made))
        },
        check: |name| {
            let array = SharedArray::<u16, 5>::options().poison(false).open(name).unwrap();
            assert_eq!(array.to_vec().unwrap(), [0; 5]);
        },
    },
    Golden {
        file: "poisoned-array",
        picture: Picture { is_poisoned: true, ..ARRAY },
        make: |name| {
            let options = SharedArray::<u16, 5>::options().lock_kind(LockKind::Futex).persistent(true).readers(0);
            let array = options.create(name)?;
            let broken_off = catch_unwind(AssertUnwindSafe(|| {
                array.update(|elements| {
                    elements[0] = 7;
                    panic!("amid changes");
                })
            }));
            assert!(broken_off.is_err());
            Ok(bytes_of(name, &array))
        },
        check: |name| {
            let array = SharedArray::<u16, 5>::open(name).unwrap();
            assert!(matches!(array.lock(), Err(LockError::Poisoned { .. })));
            drop(array.lock_recover(|elements| assert_eq!(*elements, [7, 0, 0, 0, 0])).unwrap());
            assert_eq!(array.get(0).unwrap(), 7);
        },
    },
    // Somebody has read side by side.
    Golden {
        file: "read-array",
        picture: Picture { bytes: 778 + 3, ..ARRAY },
        make: |name| {
            let options = SharedArray::<u16, 5>::options().lock_kind(LockKind::Futex).persistent(true).readers(1);
            let array = options.create_from(name, &[1, 2, 3, 4, 500])?;
            drop(array.read()?);
            Ok(bytes_of(name, &array))
        },
        check: |name| {
            let array = SharedArray::<u16, 5>::options().readers(1).open(name).unwrap();
            assert_eq!(array.read().unwrap()[4], 500);
            array.set(4, 5).unwrap();
            assert_eq!(array.read().unwrap()[..], [1, 2, 3, 4, 5]);
        },
    },
    Golden {
        file: "rwlock",
        picture: Picture { kind: "SharedRwLock", bytes: 832, ..LOCK },
        make: |name| {
            let options = SharedRwLock::options().lock_kind(LockKind::Futex).persistent(true).readers(2);
            options.create(name).map(|made| bytes_of(name, &made))
        },
        check: |name| {
            let lock = SharedRwLock::open(name).unwrap();
            drop(lock.read().unwrap());
            drop(lock.write().unwrap());
        },
    },
    Golden {
        file: "lock",
        picture: LOCK,
        make: |name| {
            let options = SharedLock::options().lock_kind(LockKind::Futex).persistent(true);
            options.create(name).map(|made| bytes_of(name, &made))
        },
        check: |name| drop(SharedLock::open(name).unwrap().lock().unwrap()),
    },
    // Set twice, and somebody has waited in vain in between: so that it looks as if he still did.
    Golden {
        file: "event",
        picture: Picture { is_set: Some(false), ..EVENT },
        make: |name| {
            let event = SharedEvent::options().lock_kind(LockKind::Futex).persistent(true).create(name)?;
            event.set().unwrap();
            event.clear().unwrap();
            assert!(event.wait_for(Duration::from_millis(1)).is_err());
            Ok(bytes_of(name, &event))
        },
        check: |name| {
            let event = SharedEvent::open(name).unwrap();
            assert!(!event.is_set() && event.wait_for(Duration::from_millis(1)).is_err());
            event.set().unwrap();
            event.wait().unwrap();
        },
    },
    Golden {
        file: "set-event",
        picture: EVENT,
        make: |name| {
            let event = SharedEvent::options().lock_kind(LockKind::Futex).persistent(true).create(name)?;
            event.set().unwrap();
            event.clear().unwrap();
            event.set().unwrap();
            Ok(bytes_of(name, &event))
        },
        check: |name| SharedEvent::open(name).unwrap().wait().unwrap(),
    },
    Golden {
        file: "semaphore",
        picture: SEMAPHORE,
        make: |name| {
            let options = SharedSemaphore::options().lock_kind(LockKind::Futex).persistent(true);
            options.create(name, 3).map(|made| bytes_of(name, &made))
        },
        check: take_three,
    },
    Golden {
        file: "file-value",
        picture: Picture { commits: Some(1), lock_kind: LockKind::File, ..VALUE },
        make: |name| {
            let value = SharedValue::options().lock_kind(LockKind::File).persistent(true).create(name, 7u64)?;
            value.set(8)?;
            Ok(bytes_of(name, &value))
        },
        check: |name| {
            let value = SharedValue::<u64>::open(name).unwrap();
            assert_eq!((value.get(), value.update(|v| *v += 1).unwrap(), value.commits()), (8, 9, 2));
        },
    },
    // Somebody has waited for it in vain: so that a release to sleepers has been counted.
    Golden {
        file: "file-lock",
        picture: Picture { lock_kind: LockKind::File, ..LOCK },
        make: |name| {
            let lock = SharedLock::options().lock_kind(LockKind::File).persistent(true).create(name)?;
            let guard = lock.lock().unwrap();
            std::thread::scope(|scope| {
                let waits = || lock.try_lock_for(Duration::from_millis(1)).is_err();
                assert!(scope.spawn(waits).join().unwrap());
            });
            drop(guard);
            Ok(bytes_of(name, &lock))
        },
        check: |name| drop(SharedLock::open(name).unwrap().lock().unwrap()),
    },
    Golden {
        file: "file-semaphore",
        picture: Picture { lock_kind: LockKind::File, ..SEMAPHORE },
        make: |name| {
            let options = SharedSemaphore::options().lock_kind(LockKind::File).persistent(true);
            options.create(name, 3).map(|made| bytes_of(name, &made))
        },
        check: take_three,
    },
    Golden {
        file: "temporary-lock",
        picture: Picture { is_persistent: false, ..LOCK },
        make: |name| {
            let options = SharedLock::options().lock_kind(LockKind::Futex);
            options.create(name).map(|made| bytes_of(name, &made))
        },
        check: |name| drop(SharedLock::open(name).unwrap().lock().unwrap()),
    },
];

fn kept(golden: &Golden) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    folder.join(golden.file).with_extension("shm")
}

/// The bytes of a new segment, with one value in everything that is another each time. `None`: not on this system.
fn made_anew(golden: &Golden) -> Option<Vec<u8>> {
    let name = Scratch::new(golden.file);
    let mut bytes = match (golden.make)(&name) {
        Ok(bytes) => bytes,
        Err(error) => {
            assert!(matches!(&error, Error::Lock { .. }), "{error}");
            skip(Need::System, error);
            return None;
        }
    };
    let mut set = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    set(32, b"of no randomness"); // the id
    set(96, &4_026_531_836u64.to_le_bytes()); // the first PID namespace of a machine
    set(104, &1_767_225_600_000_000_000u64.to_le_bytes()); // created when 2026 began
    set(112, &4242u32.to_le_bytes()); // by this process
    set(116, &1000u32.to_le_bytes()); // of this user
    set(528, &[0; 32]); // where the last holder had its list
    if golden.file == "read-array" {
        set(720, &[0; 32]); // and the last reader
    }
    Some(bytes)
}

#[test]
fn the_bytes_of_new_segments_are_those_of_the_kept_ones() {
    for golden in ALL.iter().filter(is_of_this_system) {
        let Some(new) = made_anew(golden) else { continue };
        let old = fs::read(kept(golden)).unwrap();
        let differ: Vec<_> = (0..new.len().min(old.len())).filter(|at| new[*at] != old[*at]).collect();
        assert!(
            differ.is_empty() && new.len() == old.len(),
            "{}: {} bytes and {}, {differ:?}",
            golden.file,
            old.len(),
            new.len()
        );
    }
}

/// Has the segment a lock of a kind that this system can have?
#[cfg(target_os = "linux")]
fn is_of_this_system(_: &&Golden) -> bool {
    true
}

#[cfg(not(target_os = "linux"))]
fn is_of_this_system(golden: &&Golden) -> bool {
    golden.picture.lock_kind != LockKind::Futex
}

/// Has the kept segment a lock that there is here?
fn is_for_here(golden: &&Golden) -> bool {
    golden.picture.lock_kind != LockKind::Futex || support::has_robust_lists("the kept segment has such a lock")
}

/// Plants a copy, whose user, as it seems, is this test: else the next sweep would take what is not persistent.
#[cfg(unix)]
fn plant(golden: &Golden, name: &str) -> File {
    let mut file = File::create_new(path(name)).unwrap();
    file.lock_shared().unwrap();
    file.write_all(&fs::read(kept(golden)).unwrap()).unwrap();
    file
}

#[cfg(unix)]
#[test]
fn kept_segments_are_opened_and_hold_what_was_put_into_them() {
    for golden in ALL.iter().filter(is_for_here) {
        let name = Scratch::new(golden.file);
        let user = plant(golden, &name);
        let info = SegmentInfo::of(&name).unwrap();
        let expected = &golden.picture;
        let file = golden.file;
        assert_eq!((info.kind(), info.type_name()), (expected.kind, expected.type_name), "{file}");
        assert_eq!((info.element_size(), info.length()), (expected.element, expected.length), "{file}");
        assert_eq!((info.bytes(), info.commits()), (expected.bytes, expected.commits), "{file}");
        assert_eq!(info.is_set(), expected.is_set, "{file}");
        assert_eq!(info.schema().map(ToString::to_string).as_deref(), expected.schema, "{file}");
        assert_eq!(
            (info.has_type_tag(), info.is_persistent()),
            (expected.has_type_tag, expected.is_persistent),
            "{file}"
        );
        assert_eq!((info.has_poison(), info.is_poisoned()), (expected.has_poison, expected.is_poisoned), "{file}");
        assert_eq!((info.holder_thread(), info.lock_kind(), info.attached()), (None, expected.lock_kind, 0), "{file}");
        assert_eq!((info.creator(), info.is_orphan()), (4242, !expected.is_persistent), "{file}");
        (golden.check)(&name);
        assert!(exists(&name), "{file}");
        drop(user);
    }
}

#[cfg(unix)]
#[test]
fn without_users_what_is_persistent_stays_and_the_other_goes() {
    for golden in ALL.iter().filter(is_for_here) {
        let name = Scratch::new(golden.file);
        drop(plant(golden, &name));
        if golden.picture.is_persistent {
            (golden.check)(&name);
            assert!(exists(&name), "{}", golden.file);
            continue;
        }
        // A child that another test is just starting has this test's description until its `exec`.
        support::until("the end of the orphan", || {
            let _ = SharedLock::open(&name);
            (!exists(&name)).then_some(())
        });
    }
}

#[test]
#[ignore = "makes the files anew: for another format version, or a new kind of segment"]
fn make() {
    for golden in &ALL {
        fs::write(kept(golden), made_anew(golden).expect("futexes")).unwrap();
    }
}
