//! A typed and an untyped program, in both directions.

use bytemuck::{CheckedBitPattern, NoUninit};
use robust_shm::dynamic::{Described, DynSlice, DynValue, DynValueGuard, Schema};
use robust_shm::{Error, SharedArray, SharedSlice, SharedValue, describe};

use crate::schema;
use crate::support::{Body, Scratch, assert_error, say, spawn};

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("add-typed", add_typed),
    ("add-untyped", add_untyped),
    ("fill-typed", fill_typed),
    ("fill-untyped", fill_untyped),
];

const ROUNDS: u64 = 20_000;

fn add_typed(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    (0..ROUNDS).for_each(|_| *value.lock().unwrap() += 1);
    say("done");
}

fn add_untyped(name: &str) {
    let value = DynValue::open_as(name, &schema("u64")).unwrap();
    for round in 0..ROUNDS {
        let mut guard = value.lock().unwrap();
        let sum = u64::from_ne_bytes(guard.bytes().try_into().unwrap()) + 1;
        guard.bytes_mut().copy_from_slice(&sum.to_ne_bytes());
        if round % 2 == 0 {
            DynValueGuard::commit(guard).unwrap();
        }
    }
    say("done");
}

#[test]
fn both_add_up() {
    for creates_typed in [true, false] {
        let name = Scratch::new("add");
        let (typed, untyped);
        if creates_typed {
            typed = SharedValue::create(&name, 0u64).unwrap();
            untyped = DynValue::open(&name).unwrap();
        } else {
            untyped = DynValue::create(&name, &schema("u64"), &[0; 8]).unwrap();
            typed = SharedValue::<u64>::open(&name).unwrap();
        }
        let mut children = ["add-typed", "add-untyped", "add-typed", "add-untyped"].map(|role| spawn(role, &name));
        children.iter_mut().for_each(|child| child.expect("done"));
        children.into_iter().for_each(crate::support::Role::join);
        assert_eq!((typed.get(), typed.commits(), untyped.commits()), (4 * ROUNDS, 4 * ROUNDS, 4 * ROUNDS));
        let mut bytes = [0; 8];
        untyped.get(&mut bytes);
        assert_eq!(u64::from_ne_bytes(bytes), 4 * ROUNDS);
    }
}

const LEN: usize = 64;

fn fill_typed(name: &str) {
    let array = SharedArray::<u16, LEN>::open(name).unwrap();
    for round in 0..ROUNDS as u16 {
        let mut guard = array.lock().unwrap();
        assert!(guard.iter().all(|element| *element == guard[0]), "half-changed");
        guard.fill(round);
    }
    say("done");
}

fn fill_untyped(name: &str) {
    let slice = DynSlice::open(name).unwrap();
    assert_eq!((slice.len(), slice.element_size()), (LEN, 2));
    for round in 0..ROUNDS as u16 {
        let reading = slice.read().unwrap();
        assert!(reading.as_bytes().chunks(2).all(|element| element == &reading.as_bytes()[..2]), "half-changed");
        drop(reading);
        let mut guard = slice.lock().unwrap();
        guard.as_bytes_mut().chunks_mut(2).for_each(|element| element.copy_from_slice(&round.to_ne_bytes()));
    }
    say("done");
}

#[test]
fn both_change_elements_in_place() {
    for creates_typed in [true, false] {
        let name = Scratch::new("fill");
        let _typed = creates_typed.then(|| SharedSlice::<u16>::create(&name, LEN).unwrap());
        let _untyped = (!creates_typed).then(|| DynSlice::create(&name, &schema("u16"), LEN).unwrap());
        let mut children = ["fill-typed", "fill-untyped", "fill-untyped"].map(|role| spawn(role, &name));
        children.iter_mut().for_each(|child| child.expect("done"));
        children.into_iter().for_each(crate::support::Role::join);
        let last = SharedSlice::<u16>::open(&name).unwrap().to_vec().unwrap();
        assert_eq!(last, [ROUNDS as u16 - 1; LEN]);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
struct Account {
    balance: i64,
    open: bool,
    _pad: [u8; 7],
}
describe!(Account { balance: i64, open: bool, _pad: [u8; 7] });

const FIRST: Account = Account { balance: 200, open: true, _pad: [0; 7] };

/// As a program in another language, which knows the fields and not the name.
#[test]
fn a_struct_without_a_name_is_any_that_has_the_same_fields() {
    let name = Scratch::new("account");
    let account = SharedValue::<Account>::options().described().create(&name, FIRST).unwrap();
    let untyped = DynValue::open_as(&name, &schema("{balance: i64, open: bool, _pad: [u8; 7]}")).unwrap();
    assert_eq!(untyped.schema(), Some(&Schema::of::<Account>())); // as the segment calls it
    untyped.set(bytemuck::bytes_of(&Account { balance: 7, ..FIRST })).unwrap();
    assert_eq!(account.get().balance, 7);
    for (other, words) in [
        ("{balance:i64,shut:bool,_pad:[u8;7]}", ["with field `shut`", "with field `open`"]),
        ("{balance:u64,open:bool,_pad:[u8;7]}", ["with `balance`: u64", "with `balance`: i64"]),
        ("Purse{balance:i64,open:bool,_pad:[u8;7]}", ["with struct `Purse`", "with struct `Account`"]),
    ] {
        assert_error!(DynValue::open_as(&name, &schema(other)), TypeMismatch, &name, words);
    }
}

#[test]
fn what_has_no_schema_is_told_by_the_name_that_rust_has_for_it() {
    for (text, words) in [
        ("{balance:i64,open:bool,_pad:[u8;7]}", ["{balance:i64,open:bool,_pad:[u8;7]}>", "SharedValue<Account>"]),
        ("Purse{balance:i64,open:bool,_pad:[u8;7]}", ["SharedValue<Purse>", "SharedValue<Account>"]),
    ] {
        let name = Scratch::new("undescribed");
        let account = SharedValue::<Account>::create(&name, FIRST).unwrap();
        assert_error!(DynValue::open_as(&name, &schema(text)), TypeMismatch, &name, words);
        let named = format!("Account{}", &text[text.find('{').unwrap()..]);
        let stated = DynValue::open_as(&name, &schema(&named)).unwrap();
        assert_eq!(stated.schema().unwrap().to_string(), named); // what the opener says, for want of anything else
        stated.set(bytemuck::bytes_of(&Account { balance: 8, ..FIRST })).unwrap();
        assert!(stated.set(&[2; 16]).is_err());
        assert_eq!(account.get().balance, 8);
    }
    // And the other way round.
    let name = Scratch::new("arrays");
    let _untyped = DynValue::create(&name, &schema("[[u8;4];2]"), &[0; 8]).unwrap();
    assert_eq!(robust_shm::SegmentInfo::of(&name).unwrap().type_name(), "[[u8; 4]; 2]");
}

/// Fields that are not at a multiple of their size are packed, as Rust calls that.
#[test]
fn what_is_packed_has_no_alignment() {
    #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C, packed)]
    struct Odd {
        a: u8,
        b: u64,
    }
    impl Described for Odd {
        fn schema() -> Schema {
            schema("Odd{a:u8,b:u64}")
        }
    }
    let name = Scratch::new("packed");
    let value = DynValue::create(&name, &schema("Odd{a:u8,b:u64}"), &[7, 1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let typed = SharedValue::<Odd>::options().described().open(&name).unwrap();
    let odd = typed.get();
    assert_eq!(({ odd.a }, { odd.b }, value.size()), (7, 1, 9));
    let slice_name = Scratch::new("packed-slice");
    let slice = DynSlice::create(&slice_name, &schema("Odd{a:u8,b:u64}"), 3).unwrap();
    slice.lock().unwrap().as_bytes_mut()[9] = 5;
    assert_eq!({ SharedSlice::<Odd>::open(&slice_name).unwrap().get(1).unwrap().a }, 5);
}

#[test]
fn a_tag_is_followed_unless_one_is_stated() {
    let name = Scratch::new("tagged");
    let _value = SharedValue::<u64>::options().type_tag("acme.Count/1").create(&name, 7).unwrap();
    assert_eq!(DynValue::open(&name).unwrap().size(), 8);
    assert!(DynValue::options().type_tag("acme.Count/1").open(&name).is_ok());
    let other = DynValue::options().type_tag("acme.Count/2");
    let words = ["SharedValue of any type with type_tag \"acme.Count/2\"", "type_tag \"acme.Count/1\""];
    assert_error!(other.open(&name), TypeMismatch, &name, words);
    // Who says what it is, says all of it.
    assert_error!(
        DynValue::open_as(&name, &schema("u64")),
        TypeMismatch,
        &name,
        ["without a type_tag", "acme.Count/1"]
    );
}

#[test]
fn another_kind_is_told() {
    let name = Scratch::new("kind");
    let array = SharedArray::<u8, 4>::create(&name).unwrap();
    assert_error!(DynValue::open(&name), TypeMismatch, &name, ["SharedValue of any type", "SharedArray<u8, 4>"]);
    drop(array);
    let _value = SharedValue::create(&name, 1u8).unwrap();
    assert_error!(DynSlice::open(&name), TypeMismatch, &name, ["SharedArray of any type", "SharedValue<u8>"]);
    let words = ["expected SharedSlice<u8> of 4 elements", "SharedValue<u8>"];
    assert_error!(DynSlice::open_or_create(&name, &schema("u8"), 4), TypeMismatch, &name, words);
    assert!(matches!(DynValue::create(&name, &schema("u8"), &[1]), Err(Error::AlreadyExists { .. })));
}
