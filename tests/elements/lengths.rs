//! What only slices have: a length that the program chooses, and that an opener reads from the segment, or states.

use std::fs;

use robust_shm::{Error, SegmentInfo, SharedArray, SharedLock, SharedSlice, SharedValue, remove};

use crate::support::{FileExt, Scratch, assert_error, exists, path};

#[test]
fn an_array_is_opened_as_a_slice_and_back() {
    let name = Scratch::new("both");
    let array = SharedArray::create_from(&name, &[1u32, 2, 3, 4]).unwrap();
    let slice = SharedSlice::<u32>::open(&name).unwrap();
    assert_eq!((slice.len(), slice.to_vec().unwrap()), (4, vec![1, 2, 3, 4]));
    slice.lock().unwrap()[3] = 5;
    assert_eq!(array.get(3).unwrap(), 5);
    assert!(!SharedSlice::<u32>::open_or_create(&name, 4).unwrap().was_created());
    assert_eq!(SharedSlice::<u32>::open_exact(&name, 4).unwrap().len(), 4);
    drop((array, slice));

    let slice = SharedSlice::create_from(&name, &[1u32, 2, 3, 4, 5]).unwrap();
    let array = SharedArray::<u32, 5>::open_or_create(&name).unwrap();
    assert!(!array.was_created());
    array.update(|elements| elements[4] = 9).unwrap();
    assert_eq!(slice.get(4).unwrap(), 9);
}

#[test]
fn bytes_do_not_tell_an_array_from_a_slice() {
    let names = [Scratch::new("as-array"), Scratch::new("as-slice")];
    let _array = SharedArray::create_from(&names[0], &[[1u16, 2], [3, 4], [5, 6]]).unwrap();
    let _slice = SharedSlice::create_from(&names[1], &[[1u16, 2], [3, 4], [5, 6]]).unwrap();
    let [array, slice] = names.each_ref().map(|name| {
        let mut bytes = fs::read(path(name)).unwrap();
        bytes[32..48].fill(0); // the id
        bytes[104..112].fill(0); // when it was created
        bytes
    });
    assert_eq!(array, slice);
}

#[test]
fn who_states_a_length_gets_it_or_is_told_both() {
    let name = Scratch::new("lengths");
    let _slice = SharedSlice::<f64>::create(&name, 1024).unwrap();
    let stated = ["expected SharedSlice<f64> of 512 elements (", "found SharedArray<f64, 1024> ("];
    assert_error!(SharedSlice::<f64>::open_exact(&name, 512), TypeMismatch, &name, stated);
    assert_error!(SharedSlice::<f64>::open_or_create(&name, 512), TypeMismatch, &name, stated);
    assert_error!(SharedSlice::open_or_create_from(&name, &[0f64; 512]), TypeMismatch, &name, stated);
    assert_error!(SharedSlice::<f64>::options().open_exact(&name, 512), TypeMismatch, &name, stated);
    let by_its_type = ["expected SharedArray<f64, 512> (", "found SharedArray<f64, 1024> ("];
    assert_error!(SharedArray::<f64, 512>::open(&name), TypeMismatch, &name, by_its_type);
    // Who states none is told of the rest.
    let of_another_type = ["expected SharedSlice<f32> (", "found SharedArray<f64, 1024> ("];
    assert_error!(SharedSlice::<f32>::open(&name), TypeMismatch, &name, of_another_type);
    let tagged = SharedSlice::<f64>::options().type_tag("acme.Weights/1").open(&name);
    assert_error!(tagged, TypeMismatch, &name, ["SharedSlice<acme.Weights/1> (", "without a type_tag"]);
    for other in [Scratch::new("value"), Scratch::new("lock")] {
        let _value = SharedValue::create(&other, 1f64).unwrap();
        assert_error!(SharedSlice::<f64>::open(&other), TypeMismatch, &other, ["SharedSlice<f64>", "SharedValue<f64>"]);
    }
    assert_error!(SharedValue::<f64>::open(&name), TypeMismatch, &name, ["SharedValue<f64>", "SharedArray<f64, 1024>"]);
    assert_error!(SharedLock::open(&name), TypeMismatch, &name, ["SharedLock", "SharedArray<f64, 1024>"]);
}

#[test]
fn more_than_an_address_space_is_an_error_and_leaves_nothing() {
    let name = Scratch::new("too-long");
    for len in [usize::MAX, usize::MAX / 8, usize::MAX / 8 + 1, usize::MAX / 16 + 1, 1 << 56] {
        for reserve in [true, false] {
            let options = SharedSlice::<u64>::options().reserve(reserve);
            for error in [options.create(&name, len).unwrap_err(), options.open_or_create(&name, len).unwrap_err()] {
                // A file may be larger than what can be mapped.
                let is_too_much = match &error {
                    Error::OutOfSharedMemory { .. } => true,
                    Error::Io { .. } => !reserve && error.to_string().contains("could not map the segment"),
                    _ => false,
                };
                assert!(is_too_much && error.name() == &*name, "{len:#x}, reserve {reserve}: {error}");
            }
            assert!(!exists(&name), "{len:#x}, reserve {reserve}");
        }
        let error = SharedSlice::<u64>::open_exact(&name, len).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    // What takes no room can be any number.
    let nothing = SharedSlice::<[u8; 0]>::create(&name, usize::MAX).unwrap();
    assert_eq!((nothing.len(), nothing.get(usize::MAX - 1).unwrap()), (usize::MAX, []));
    assert_eq!(SharedSlice::<[u8; 0]>::open(&name).unwrap().to_vec().unwrap().len(), usize::MAX);
}

const TOTAL_LEN: u64 = 24;
const LEN: u64 = 80;
const DATA: usize = 704 + 32 * 64;

/// The text behind the data: `u64`.
const SCHEMA: u64 = 3;

/// A file whose header says that it has `len` elements of 8 bytes, and that the data end there; 4 are there.
fn lying(len: u64, end: u64) -> Scratch {
    let name = Scratch::new("lying");
    drop(SharedSlice::<u64>::options().persistent(true).create(&name, 4).unwrap());
    let file = fs::OpenOptions::new().write(true).open(path(&name)).unwrap();
    file.write_all_at(&len.to_ne_bytes(), LEN).unwrap();
    file.write_all_at(&end.wrapping_add(SCHEMA).to_ne_bytes(), TOTAL_LEN).unwrap();
    name
}

#[test]
fn a_hostile_length_is_refused_before_anything_is_mapped() {
    let data = DATA as u64;
    for (len, end) in [
        (u64::MAX, data + 32),
        (u64::MAX, data.wrapping_sub(8)), // as a product that is cut off would have it
        (1 << 61, data),                  // the same
        ((1 << 61) + 4, data + 32),       // the same
        (1 << 60, data + (1 << 63)),      // fits a number, and no object
        (5, data + 32),                   // one more than there is room for
        (3, data + 32),                   // one less
        (u64::MAX / 8, u64::MAX),         // and all of it, with the text, is two bytes
    ] {
        let name = lying(len, end);
        for error in [
            SharedSlice::<u64>::open(&name).unwrap_err(),
            SharedSlice::<u64>::open_exact(&name, len as usize).unwrap_err(),
            SharedArray::<u64, 4>::open(&name).unwrap_err(),
            SegmentInfo::of(&name).unwrap_err(),
        ] {
            assert!(matches!(error, Error::NotASegment { .. }), "{len:#x} in {end:#x}: {error}");
            assert!(error.to_string().contains(&format!("{len} elements of 8 bytes")), "{error}");
        }
        remove(&name).unwrap();
    }
    for len in [5, 1 << 32, (1 << 60) - data / 8 - 1] {
        let name = lying(len, data + 8 * len);
        let expected = format!("expected at least {} bytes", data + 8 * len + SCHEMA);
        assert_error!(SharedSlice::<u64>::open(&name), Truncated, &name, [&expected]);
        assert_error!(SharedSlice::<u64>::open_or_create(&name, 4), Truncated, &name, [&expected]);
        remove(&name).unwrap();
    }
}

/// Whoever can write to the segment can write there, too: it moves no bound of those who have it open.
#[test]
fn a_length_that_changes_later_moves_nothing() {
    let name = Scratch::new("changed");
    let slice = SharedSlice::create_from(&name, &[1u64, 2, 3, 4]).unwrap();
    let opened = SharedSlice::<u64>::open(&name).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path(&name)).unwrap();
    for lie in [0u64, 3, 5, u64::MAX] {
        file.write_all_at(&lie.to_ne_bytes(), LEN).unwrap();
        for slice in [&slice, &opened] {
            assert_eq!((slice.len(), slice.lock().unwrap().len()), (4, 4));
            assert_eq!(slice.to_vec().unwrap(), [1, 2, 3, 4]);
            slice.copy_from_slice(&[1, 2, 3, 4]).unwrap();
        }
    }
    file.write_all_at(&4u64.to_ne_bytes(), LEN).unwrap(); // or it would not be known again when it goes
}

/// As large as a memory's: pages that nobody uses are not there.
#[test]
fn a_gibibyte_that_is_not_reserved_takes_the_pages_that_are_used() {
    const LEN: usize = 1 << 27;
    let name = Scratch::new("sparse");
    let slice = SharedSlice::<u64>::options().reserve(false).create(&name, LEN).unwrap();
    for at in [0, LEN / 2, LEN - 1] {
        slice.set(at, at as u64 + 1).unwrap();
    }
    let opened = SharedSlice::<u64>::open(&name).unwrap();
    assert_eq!(opened.len(), LEN);
    assert_eq!([0, 1, LEN / 2, LEN - 1].map(|at| opened.get(at).unwrap()), [1, 0, LEN as u64 / 2 + 1, LEN as u64]);
    let file = fs::metadata(path(&name)).unwrap();
    assert_eq!(file.len(), (DATA + 8 * LEN) as u64 + SCHEMA);
    #[cfg(target_os = "linux")]
    if crate::support::is_linux("counts the blocks of a file by its length") {
        use std::os::unix::fs::MetadataExt;
        assert!(file.blocks() * 512 <= 64 << 10, "{} blocks", file.blocks());
    }
}
