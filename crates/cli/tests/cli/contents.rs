//! `show`, `get`, `set`, `add`, and what `create` makes with a type: values of other programs, by their schema.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use robust_shm::{
    SegmentInfo, SharedArray, SharedEvent, SharedLock, SharedSemaphore, SharedSlice, SharedValue, remove,
};
use serde_json::json;

use crate::support::{self, Scratch, exists, spawn, until};
use crate::tool::{Running, run};

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
#[repr(u8)]
enum Light {
    Red = 0,
    Green = 6,
}
robust_shm::describe!(Light(u8) { Red, Green });

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
#[repr(C)]
struct Crossing {
    cars: i64,
    light: Light,
    open: bool,
    plate: [u8; 6],
}
robust_shm::describe!(Crossing { cars: i64, light: Light, open: bool, plate: [u8; 6] });

const CROSSING: Crossing = Crossing { cars: -3, light: Light::Green, open: true, plate: *b"AB-1\0\0" };

fn crossing(name: &str) -> SharedValue<Crossing> {
    SharedValue::options().described().create(name, CROSSING).unwrap()
}

/// The output of a command that succeeds, and complains of nothing.
fn printed(arguments: &[&str]) -> String {
    let said = run(arguments);
    assert_eq!((said.code, &*said.err), (0, ""), "{arguments:?}: {said:?}");
    said.out
}

#[test]
fn a_struct_of_a_rust_program_is_shown_and_changed() {
    let name = Scratch::new("crossing");
    let value = crossing(&name);
    assert_eq!(
        printed(&["show", &name]),
        "Crossing { cars: -3, light: Green, open: true, plate: [65, 66, 45, 49, 0, 0] }\n"
    );
    assert_eq!(
        printed(&["get", &name]),
        "{\"cars\":-3,\"light\":\"Green\",\"open\":true,\"plate\":[65,66,45,49,0,0]}\n"
    );
    assert_eq!(
        printed(&["get", "--text", &name]),
        "{\"cars\":-3,\"light\":\"Green\",\"open\":true,\"plate\":\"AB-1\"}\n"
    );
    assert_eq!(printed(&["set", &name, r#"{"cars": 7, "light": "Red", "open": false, "plate": "C"}"#]), "");
    assert_eq!(value.get(), Crossing { cars: 7, light: Light::Red, open: false, plate: *b"C\0\0\0\0\0" });
    let json = run(&["show", "--json", &name]).json();
    assert_eq!(json["format"], json!(1));
    assert_eq!(json["value"]["light"], json!("Red"));
    assert_eq!([&json["commits"], &json["kind"]], [&json!(1), &json!("value")]);
    assert!(json["schema"].as_str().unwrap().starts_with("Crossing{cars:i64,light:Light(u8)"), "{json}");
    assert!(printed(&["ls", &name]).contains("Crossing{cars:i64"), "the type is the schema");
    assert_eq!(run(&["info", "--json", &name]).json()["schema"], json["schema"]);
}

#[test]
fn what_is_no_value_of_the_type_is_refused_and_changes_nothing() {
    let name = Scratch::new("refused");
    let value = crossing(&name);
    for (word, words) in [
        ("7", "expected a value of Crossing{"),
        ("{", "expected JSON"),
        (r#"{"cars": 1}"#, "\"light\""),
        (r#"{"cars": 1, "light": "Blue", "open": true, "plate": ""}"#, "found \"Blue\""),
        (r#"{"cars": 1, "light": "Red", "open": 2, "plate": ""}"#, "of bool"),
        (r#"{"cars": 1, "light": "Red", "open": true, "plate": "much too long"}"#, "[u8;6]"),
    ] {
        let said = run(&["set", &name, word]);
        assert_eq!((said.code, &*said.out), (65, ""), "{said:?}");
        assert!(said.err.contains(words), "{said:?}");
    }
    assert_eq!((value.get(), value.commits()), (CROSSING, 0));
}

#[test]
fn numbers_are_bare() {
    let name = Scratch::new("number");
    let value = SharedValue::create(&name, 200i64).unwrap();
    assert_eq!(printed(&["get", &name]), "200\n");
    assert_eq!(printed(&["set", &name, "-5"]), "");
    assert_eq!(printed(&["add", &name, "-2"]), "-7\n");
    assert_eq!(value.get(), -7);
    assert_eq!(run(&["add", "--json", &name, "8"]).json(), json!({"format": 1, "name": name.0, "value": 1}));
    assert_eq!(
        run(&["get", "--json", &name]).json(),
        json!({"format": 1, "name": name.0, "value": 1, "schema": "i64", "commits": 3})
    );
    assert_eq!(run(&["add", &name, &i64::MAX.to_string()]).code, 65, "no number so large");
    assert_eq!(run(&["add", &name, "one"]).code, 65);
    assert_eq!(value.get(), 1);
    let float = Scratch::new("float");
    let _float = SharedValue::create(&float, 1.5f64).unwrap();
    assert_eq!(printed(&["add", &float, "0.25"]), "1.75\n");
    assert_eq!(printed(&["get", &float]), "1.75\n");
}

/// Whoever adds meanwhile: nothing is lost.
#[test]
fn many_add_at_once() {
    let name = Scratch::new("many");
    let value = SharedValue::create(&name, 0u64).unwrap();
    let running: Vec<Running> = (0..10).map(|_| Running::of(&["add", &name, "1"])).collect();
    for _ in 0..1_000 {
        value.update(|value| *value += 1).unwrap();
    }
    running.into_iter().for_each(|running| assert_eq!(running.end().code, 0));
    assert_eq!(value.get(), 1_010);
}

/// A holder that does not go on keeps nobody from reading.
#[test]
fn reading_waits_for_nobody() {
    let name = Scratch::new("held");
    let holder = spawn("hold", &name);
    holder.expect("ready");
    holder.signal(libc::SIGSTOP);
    assert_eq!(printed(&["get", &name]), "7\n");
    assert_eq!(printed(&["show", &name]), "7\n");
    assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 1, "nor is it a user");
    holder.kill();
}

#[test]
fn what_nobody_has_described_is_bytes() {
    let name = Scratch::new("bytes");
    let value = SharedValue::create(&name, CROSSING).unwrap(); // not described
    assert_eq!(
        printed(&["show", &name]),
        format!("00000000  {:47}  ........{}\n", "fd ff ff ff ff ff ff ff 06 01 41 42 2d 31 00 00", "..AB-1..")
    );
    assert_eq!(printed(&["show", "--as", "[i32;4]", &name]), "[-3, -1, 1111556358, 12589]\n");
    assert_eq!(
        printed(&["show", "--as", "{cars:i64,_rest:[u8;8]}", &name]),
        "{ cars: -3, _rest: [6, 1, 65, 66, 45, 49, 0, 0] }\n"
    );
    assert_eq!(printed(&["show", "--as", "[bool;16]", &name]).matches("<impossible").count(), 13);
    assert_eq!(run(&["show", "--as", "i64", &name]).code, 2, "another size");
    assert_eq!(run(&["show", "--as", "integer", &name]).code, 2);
    assert_eq!(printed(&["get", &name]), "fdffffffffffffff060141422d310000\n");
    let said = run(&["set", &name, "1"]);
    assert!(said.code == 65 && said.err.contains("has no schema"), "{said:?}");
    assert_eq!(run(&["add", &name, "1"]).code, 65);
    assert_eq!(value.get(), CROSSING);
}

#[test]
fn arrays_are_marked_as_read_without_the_lock() {
    let name = Scratch::new("array");
    let array = SharedArray::<f64, 100>::create(&name).unwrap();
    array.copy_from_slice(&std::array::from_fn::<f64, 100, _>(|at| at as f64 / 2.0)).unwrap();
    let all = printed(&["show", &name]);
    assert_eq!(all.lines().count(), 101);
    assert_eq!(all.lines().next().unwrap(), format!("{}: 100 of f64, unlocked", &*name));
    let some = printed(&["show", "--range", "7..9", &name]);
    assert_eq!(some, format!("{}: 2 of f64, unlocked\n7  3.5\n8  4.0\n", &*name));
    let json = run(&["show", "--json", "--range", "..2", &name]).json();
    assert_eq!(
        [&json["value"], &json["unlocked"], &json["from"], &json["to"]],
        [&json!([0.0, 0.5]), &json!(true), &json!(0), &json!(2)]
    );
    let locked = printed(&["show", "--lock", "--range", "1..2", &name]);
    assert_eq!(locked, format!("{}: 1 of f64\n1  0.5\n", &*name));
    assert_eq!(run(&["show", "--json", "--lock", "--range", "1..2", &name]).json()["unlocked"], json!(false));
    let as_integers = printed(&["show", "--as", "u32", "--range", "2..4", &name]);
    assert_eq!(as_integers, format!("{}: 2 of u32, unlocked\n2  0\n3  {}\n", &*name, 0x3fe0_0000));
    let odd = printed(&["show", "--as", "u32", "--range", "3..4", &name]);
    assert_eq!(odd.lines().last(), as_integers.lines().last(), "from the middle of an element");
    assert_eq!(run(&["show", "--as", "[u8;7]", &name]).code, 2, "no whole number of these");

    let guard = array.lock().unwrap();
    assert_eq!(
        printed(&["show", "--range", "1..2", &name]).lines().last(),
        Some("1  0.5"),
        "who shows waits for nobody"
    );
    let said = run(&["show", "--lock", &name]);
    assert_eq!((said.code, &*said.out), (3, ""), "{said:?}");
    drop(guard);
    let _reading = array.read().unwrap();
    assert_eq!(run(&["show", "--lock", &name]).code, 0, "beside other readers");
}

#[test]
fn poisoned_arrays_are_shown_but_not_under_the_lock() {
    let name = Scratch::new("poisoned");
    let array = SharedArray::<u64, 2>::create(&name).unwrap();
    let _ = std::panic::catch_unwind(|| array.update(|_| panic!("on purpose")));
    assert_eq!(run(&["show", &name]).code, 0);
    let said = run(&["show", "--lock", &name]);
    assert!(said.code == 4 && said.err.contains("poisoned"), "{said:?}");
}

#[test]
fn arrays_of_bytes_are_dumped_or_texts() {
    let name = Scratch::new("text");
    let slice = SharedSlice::<u8>::create(&name, 40).unwrap();
    slice.lock().unwrap()[..5].copy_from_slice(b"h\x1b[2J");
    let said = printed(&["show", &name]);
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(said.contains("68 1b 5b 32 4a 00") && said.contains("h.[2J."), "{said}");
    assert_eq!(
        printed(&["show", "--text", &name]).lines().last(),
        Some("h\\u{1b}[2J"),
        "a text of a stranger is escaped"
    );
    assert!(printed(&["show", "--range", "32..", &name]).contains("\n00000020  00"), "counted from the first");
    assert_eq!(run(&["show", "--json", "--text", &name]).json()["value"], json!("h\u{1b}[2J"));
}

#[test]
fn the_others_have_a_state() {
    let [lock, event, semaphore] = ["lock", "event", "semaphore"].map(Scratch::new);
    let lock_handle = SharedLock::create(&lock).unwrap();
    let event_handle = SharedEvent::create(&event).unwrap();
    let _semaphore = SharedSemaphore::create(&semaphore, 3).unwrap();
    assert_eq!(
        [printed(&["show", &lock]), printed(&["show", &event]), printed(&["show", &semaphore])],
        ["free\n", "clear\n", "3 of 3 free\n"]
    );
    let _guard = lock_handle.lock().unwrap();
    event_handle.set().unwrap();
    assert_eq!([printed(&["show", &lock]), printed(&["show", &event])], ["held\n", "set\n"]);
    let json = run(&["show", "--json", &lock]).json();
    assert_eq!([&json["value"], &json["holder"]["process"]], [&json!("held"), &json!(std::process::id())]);
    assert_eq!(run(&["show", "--as", "u8", &lock]).code, 2);
    for name in [&lock, &event, &semaphore] {
        for arguments in [&["get", &**name][..], &["set", name, "1"], &["add", name, "1"]] {
            assert_eq!(run(arguments).code, 65, "{arguments:?}");
        }
    }
    assert_eq!(run(&["show", "no-such-segment"]).code, 1);
    assert_eq!(run(&["get", "no-such-segment"]).code, 1);
    assert_eq!(run(&["set", "no-such-segment", "1"]).code, 1);
}

#[test]
fn values_and_arrays_are_created() {
    let [number, account, light, array] = ["number", "account", "light", "array"].map(Scratch::new);
    printed(&["create", &number, "i64", "-7"]);
    assert_eq!(SharedValue::<i64>::open(&number).unwrap().get(), -7);
    assert!(exists(&number), "it stays");
    printed(&["create", &account, "Account{balance:i64,open:bool,_pad:[u8;7]}"]);
    assert_eq!(printed(&["get", &account]), "{\"balance\":0,\"open\":false,\"_pad\":[0,0,0,0,0,0,0]}\n");
    printed(&["create", &light, "(u8){Amber=5,Green=6}", "Green"]);
    assert_eq!(printed(&["get", &light]), "Green\n");
    printed(&["create", &array, "f64", "--len", "3"]);
    assert_eq!(SharedArray::<f64, 3>::open(&array).unwrap().to_vec().unwrap(), [0.0; 3]);
    for (arguments, code) in [
        (&["create", &*number, "i64", "1"][..], 1),
        (&["create", "new", "i64", "x"], 2),
        (&["create", "new", "int"], 2),
        (&["create", "new", "(u8){Amber=5}"], 2), // zeros are none
        (&["create", "new", "f64", "1", "--len", "3"], 2),
        (&["create", "new", "bool", "--len", "3"], 2), // elements have any bits
        (&["create", "new", "lock", "--len", "3"], 2),
    ] {
        let said = run(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(!exists("new"));
    }
    for name in [&number, &account, &light, &array] {
        remove(name).unwrap();
    }
}

/// What nobody's program could have written is shown as that, and is no way into a terminal.
#[test]
fn hostile_contents_are_shown_and_harmless() {
    let name = Scratch::new("hostile");
    let value = crossing(&name);
    let file = std::fs::read(support::path(&name)).unwrap();
    let at = file.windows(4).position(|bytes| bytes == b"AB-1").unwrap();
    let write = |offset: usize, bytes: &[u8]| {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(support::path(&name)).unwrap();
        file.write_all_at(bytes, offset as u64).unwrap();
    };
    write(at - 2, &[9, 9]); // no light, and no truth
    write(at, b"\x1b\xe2\x80\xae\n"); // from right to left
    let shown = printed(&["show", &name]);
    assert!(shown.contains("light: <impossible 9>, open: <impossible 9>"), "{shown}");
    for text in [printed(&["show", "--text", &name]), printed(&["get", "--text", &name])] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.lines().count() == 1, "{text:?}");
        assert!(text.contains("\\u{202e}"), "{text:?}");
    }
    drop(value);
    let name = Scratch::new("text");
    let _value = SharedValue::create(&name, *b"a\x1b[2J\n\0\0").unwrap();
    for command in ["show", "get"] {
        assert_eq!(printed(&[command, "--text", &name]), "a\\u{1b}[2J\\n\n");
    }
}

#[test]
fn a_change_is_waited_for() {
    let name = Scratch::new("changed");
    let value = SharedValue::create(&name, 1u64).unwrap();
    assert_eq!(run(&["wait", &name, "--until", "changed", "--timeout", "0.01"]).code, 124);
    let waiting = Running::of(&["wait", &name, "--until", "changed"]);
    until("it to sleep", || value.info().unwrap().has_sleepers().then_some(()));
    waiting.until_asleep();
    value.set(1).unwrap();
    assert_eq!(waiting.end().code, 0, "also if it is what it was");
    let lock = Scratch::new("lock");
    let _lock = SharedLock::create(&lock).unwrap();
    assert_eq!(run(&["wait", &lock, "--until", "changed"]).code, 65);
    assert_eq!(run(&["wait", "no-such-segment", "--until", "changed"]).code, 1);
}

#[test]
fn values_and_arrays_become_free() {
    let (name, array) = (Scratch::new("free"), Scratch::new("free"));
    let value = SharedValue::create(&name, 1u64).unwrap();
    let array_handle = SharedArray::<u8, 2>::create(&array).unwrap();
    let (guard, writing) = (value.lock().unwrap(), array_handle.lock().unwrap());
    for name in [&name, &array] {
        assert_eq!(run(&["wait", name, "--until", "free", "--timeout", "0"]).code, 124);
    }
    drop((guard, writing));
    for name in [&name, &array] {
        assert_eq!(run(&["wait", name, "--until", "free"]).code, 0);
    }
    assert_eq!(value.commits(), 0);
    assert!(!array_handle.is_poisoned());
}

/// Says that it is over, when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Each value has all its elements alike, and writers never rest.
#[test]
fn a_value_among_writers_is_shown_whole() {
    const ELEMENTS: usize = 512; // 4 KiB
    let name = Scratch::new("storm");
    let value = SharedValue::create(&name, [0u64; ELEMENTS]).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    value.update(|elements| *elements = [elements[0] + 1; ELEMENTS]).unwrap();
                }
            });
        }
        let _ends = Ends(&is_over); // or a panic here would wait for them for ever
        let shown: Vec<Vec<u64>> = (0..40)
            .map(|_| serde_json::from_value(run(&["show", &name, "--json"]).json()["value"].take()).unwrap())
            .collect();
        for elements in &shown {
            assert!(
                elements.len() == ELEMENTS && elements.iter().all(|element| *element == elements[0]),
                "{elements:?}"
            );
        }
        assert_ne!(shown.first(), shown.last(), "nobody wrote");
    });
}
