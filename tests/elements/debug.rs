//! Printing elements disturbs nobody: they are looked at, copied, and not held while they are formatted.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, mpsc};

use super::face::{Elements, GUARD, Guard, create};
use crate::support::{LIMIT, Scratch};

/// An element that looks at its own array when it is formatted.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
struct Curious(u32);

static ITS_ARRAY: OnceLock<Elements<Curious, 20>> = OnceLock::new();

impl fmt::Debug for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let array = ITS_ARRAY.get().unwrap();
        assert!(array.try_lock().is_ok(), "a print into a pipe that nobody reads would stop all others");
        assert_ne!(self.0, 13, "a formatter may panic");
        self.0.fmt(f)
    }
}

#[test]
fn an_array_is_copied_out_and_then_formatted() {
    let name = Scratch::new("curious");
    let array = create::<Curious, 20>(&name).unwrap();
    ITS_ARRAY.set(Elements::open(&name).unwrap()).unwrap();
    array.set(1, Curious(7)).unwrap();
    assert!(format!("{array:?}").contains("data: [0, 7, 0, "));
    assert!(format!("{array:?}").contains("... (20 in all)]"), "long data are shortened");
    array.set(2, Curious(13)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| format!("{array:?}"))).is_err());
    assert!(!array.is_poisoned() && array.try_lock().is_ok());
    // Behind those that are shown.
    array.set(2, Curious(0)).unwrap();
    array.set(16, Curious(13)).unwrap();
    assert!(format!("{array:?}").contains("in all"));
}

#[test]
fn an_array_says_what_keeps_it_from_being_shown() {
    let of_array = Scratch::new("states");
    let array = Elements::create_from(&of_array, &[1u8, 2]).unwrap();
    assert!(format!("{array:?}").contains("data: [1, 2]"));
    let guard = array.lock().unwrap();
    assert!(format!("{array:?}").contains("data: <locked>"));
    assert_eq!(format!("{guard:?}"), format!("{GUARD}([1, 2])"));
    drop(guard);
    assert!(catch_unwind(AssertUnwindSafe(|| array.update(|_| panic!("to poison")))).is_err());
    assert!(format!("{array:?}").contains("data: <poisoned>"));
    let mut guard = array.lock_ignoring_poison().unwrap();
    assert!(format!("{array:?}").contains("data: <locked, poisoned>"));
    Guard::clear_poison(&mut guard);
    assert!(format!("{array:?}").contains("data: <locked>"));
}

#[test]
fn an_array_that_another_thread_holds_is_printed_at_once() {
    let name = Scratch::new("held");
    let array = create::<u8, 2>(&name).unwrap();
    let guard = array.lock().unwrap();
    let (printed, print) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| printed.send(format!("{array:?}")).unwrap());
        let print = print.recv_timeout(LIMIT);
        drop(guard); // before the end of the scope, which waits for the thread
        assert!(print.unwrap().contains("data: <locked>"));
    });
}

#[test]
fn a_guard_shortens_what_an_array_shortens() {
    let name = Scratch::new("long");
    let array = create::<u8, 17>(&name).unwrap();
    let zeros = ["0"; 16].join(", ");
    assert_eq!(format!("{:?}", array.lock().unwrap()), format!("{GUARD}([{zeros}, ... (17 in all)])"));
    let name = Scratch::new("just-not-long");
    let array = create::<u8, 16>(&name).unwrap();
    assert_eq!(format!("{:?}", array.lock().unwrap()), format!("{GUARD}([{zeros}])"));
}
