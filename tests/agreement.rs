//! Who checks what: a program that describes its type, one that does not, and one whose type is another, in all pairs.

mod support;

use std::fs;

use bytemuck::{CheckedBitPattern, NoUninit, Pod, Zeroable};
use robust_shm::dynamic::{Described, Schema};
use robust_shm::{Error, SegmentInfo, SharedArray, SharedSlice, SharedValue, describe};
use support::{Scratch, assert_error, exists, path};

#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
struct Account {
    balance: i64,
    open: bool,
    _pad: [u8; 7],
}
describe!(Account { balance: i64, open: bool, _pad: [u8; 7] });

const FIRST: Account = Account { balance: 200, open: true, _pad: [0; 7] };

/// The same name and size, and other fields: what a name alone cannot tell.
mod older {
    use super::*;

    #[derive(Clone, Copy, Debug, NoUninit, CheckedBitPattern)]
    #[repr(C)]
    pub(super) struct Account {
        pub(super) balance: f64,
        pub(super) open: bool,
        pub(super) _pad: [u8; 7],
    }
    describe!(Account { balance: f64, open: bool, _pad: [u8; 7] });
}

/// The same fields, and another name.
#[derive(Clone, Copy, Debug, NoUninit, CheckedBitPattern)]
#[repr(C)]
struct Wallet {
    balance: i64,
    open: bool,
    _pad: [u8; 7],
}
describe!(Wallet { balance: i64, open: bool, _pad: [u8; 7] });

/// As a program in another language may see it, which has no name for it.
#[derive(Clone, Copy, Debug, NoUninit, CheckedBitPattern)]
#[repr(C)]
struct Nameless {
    balance: i64,
    open: bool,
    _pad: [u8; 7],
}
impl Described for Nameless {
    fn schema() -> Schema {
        Schema::parse("{ balance: i64, open: bool, _pad: [u8; 7] }").unwrap()
    }
}

/// Opens as `T`, described or not; and as `open_or_create` does.
fn opens<T: robust_shm::Shareable + Described>(name: &str, described: bool, initial: T) -> [Result<(), Error>; 3] {
    let options = SharedValue::<T>::options();
    let options = if described { options.described() } else { options };
    [options.open(name).map(drop), options.open_or_create(name, initial).map(drop), options.observe(name).map(drop)]
}

#[track_caller]
fn is_refused(results: [Result<(), Error>; 3], name: &str, words: [&str; 2]) {
    for result in results {
        assert_error!(result, TypeMismatch, name, words);
    }
}

#[track_caller]
fn is_admitted(results: [Result<(), Error>; 3]) {
    for result in results {
        result.unwrap();
    }
}

const OLDER: older::Account = older::Account { balance: 1.0, open: true, _pad: [0; 7] };
const WALLET: Wallet = Wallet { balance: 1, open: true, _pad: [0; 7] };
const NAMELESS: Nameless = Nameless { balance: 1, open: true, _pad: [0; 7] };

#[test]
fn two_who_describe_their_type_must_agree_on_each_field() {
    let name = Scratch::new("both");
    let account = SharedValue::<Account>::options().described().create(&name, FIRST).unwrap();
    is_admitted(opens(&name, true, FIRST));
    is_refused(
        opens(&name, true, OLDER),
        &name,
        [
            "expected SharedValue<Account> (16 bytes, alignment 8) with `balance`: f64, ",
            "found SharedValue<Account> (16 bytes, alignment 8) with `balance`: i64;",
        ],
    );
    is_refused(opens(&name, true, WALLET), &name, ["with struct `Wallet`,", "with struct `Account`;"]);
    is_admitted(opens(&name, true, NAMELESS));
    assert_eq!(account.get(), FIRST);
    drop(account);

    // The other way round, so that it is the program that created the segment that is asked.
    let older = SharedValue::<older::Account>::options().described().create(&name, OLDER).unwrap();
    is_refused(opens(&name, true, FIRST), &name, ["with `balance`: i64,", "with `balance`: f64;"]);
    drop(older);
    let nameless = SharedValue::<Nameless>::options().described().create(&name, NAMELESS).unwrap();
    is_admitted(opens(&name, true, FIRST));
    is_admitted(opens(&name, true, WALLET));
    is_refused(opens(&name, true, OLDER), &name, ["with `balance`: f64,", "with `balance`: i64;"]);
    drop(nameless);
}

#[test]
fn one_who_does_not_describe_his_type_goes_by_the_name() {
    for described in [true, false] {
        let name = Scratch::new("one");
        let options = SharedValue::<Account>::options();
        let options = if described { options.described() } else { options };
        let _account = options.create(&name, FIRST).unwrap();
        is_admitted(opens(&name, !described, FIRST));
        is_admitted(opens(&name, false, FIRST));
        // Which is all that a name tells.
        is_admitted(opens(&name, false, OLDER));
        is_refused(opens(&name, false, WALLET), &name, ["expected SharedValue<Wallet>", "found SharedValue<Account>"]);
        if !described {
            is_admitted(opens(&name, true, OLDER));
            is_refused(opens(&name, true, NAMELESS), &name, ["SharedValue<Nameless>", "found SharedValue<Account>"]);
        }
    }
}

#[test]
fn numbers_describe_themselves() {
    let name = Scratch::new("numbers");
    let value = SharedValue::create(&name, 7usize).unwrap();
    assert_eq!(value.info().unwrap().schema().unwrap().to_string(), "u64");
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 7); // the same bytes by another name
    for error in
        [SharedValue::<i64>::open(&name).unwrap_err(), SharedValue::<i64>::open_or_create(&name, 1).unwrap_err()]
    {
        support::check(&error, &name, &["alignment 8) with i64,", "alignment 8) with u64;"]);
    }
    assert_error!(SharedValue::<[u8; 8]>::open(&name), TypeMismatch, &name, ["with an array of 8,", "with u64;"]);
    drop(value);
    let array = SharedArray::<[f32; 2], 3>::create(&name).unwrap();
    assert_error!(SharedSlice::<[i32; 2]>::open(&name), TypeMismatch, &name, ["with `[]`: i32,", "with `[]`: f32;"]);
    // What is no size of the segment's is told together with the first difference.
    assert_error!(SharedArray::<[f32; 2], 4>::open(&name), TypeMismatch, &name, ["[f32; 2], 4>", "[f32; 2], 3>"]);
    drop(array);
    assert!(!exists(&name));
}

#[test]
fn a_struct_without_a_description_has_no_schema() {
    #[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
    #[allow(non_camel_case_types)]
    #[repr(transparent)]
    struct u64(std::primitive::u64);

    let name = Scratch::new("newtype");
    let value = SharedValue::create(&name, u64(7)).unwrap();
    assert_eq!(value.info().unwrap().schema(), None); // its name is that of a number, and it is none
    assert_eq!(value.info().unwrap().bytes(), 704);
    assert_eq!(SharedValue::<std::primitive::u64>::open(&name).unwrap().get(), 7); // by the name
}

#[test]
fn a_tag_is_compared_besides() {
    let name = Scratch::new("tag");
    let tagged = |tag| SharedValue::<Account>::options().described().type_tag(tag);
    let _account = tagged("acme.Account/1").create(&name, FIRST).unwrap();
    assert_eq!(tagged("acme.Account/1").open(&name).unwrap().get(), FIRST);
    assert_error!(tagged("acme.Account/2").open(&name), TypeMismatch, &name, ["type_tag \"acme.Account/2\"", "/1\";"]);
    is_refused(opens(&name, true, FIRST), &name, [" without a type_tag,", "type_tag \"acme.Account/1\";"]);
    let other = SharedValue::<older::Account>::options().type_tag("acme.Account/1");
    assert!(other.open(&name).is_ok(), "who states a tag says that he knows");
    let words = ["with type_tag \"acme.Account/1\" with `balance`: f64,", "with `balance`: i64;"];
    assert_error!(other.described().open(&name), TypeMismatch, &name, words);
}

/// Elements stand where the creator's alignment has put them; a line of 64 bytes is enough for all smaller ones.
#[test]
fn what_agrees_need_only_be_placed_as_the_opener_needs_it() {
    macro_rules! aligned {
        ($name:ident, $align:literal) => {
            #[derive(Clone, Copy, Debug, Pod, Zeroable)]
            #[repr(C, align($align))]
            struct $name([u64; 16]);
            impl Described for $name {
                fn schema() -> Schema {
                    Schema::parse("{a:[u64;16]}").unwrap()
                }
            }
        };
    }
    aligned!(Natural, 8);
    aligned!(Line, 64);
    aligned!(Lines, 128);
    let name = Scratch::new("aligned");
    let natural = SharedSlice::<Natural>::options().described().create(&name, 3).unwrap();
    let lines = SharedSlice::<Line>::options().described().open(&name).unwrap();
    lines.lock().unwrap()[2].0[15] = 7;
    assert_eq!(natural.get(2).unwrap().0[15], 7);
    let words = ["alignment 128)", "alignment 8)"];
    assert_error!(SharedSlice::<Lines>::options().described().open(&name), TypeMismatch, &name, words);
    // Whoever goes by the name goes by the alignment, too.
    assert_error!(SharedSlice::<Line>::open(&name), TypeMismatch, &name, ["alignment 64)", "alignment 8)"]);
    drop((natural, lines));
    let _lines = SharedSlice::<Lines>::options().described().create(&name, 3).unwrap();
    SharedSlice::<Natural>::options().described().open(&name).unwrap().lock().unwrap()[1].0[0] = 1;
}

macro_rules! says {
    ($name:ident, $text:expr) => {
        #[derive(Clone, Copy, Debug, Pod, Zeroable)]
        #[repr(C)]
        struct $name([u8; 4]);
        impl Described for $name {
            fn schema() -> Schema {
                Schema::parse(&$text).unwrap()
            }
        }
    };
}

/// `describe!` says nothing wrong. The trait is a safe one, and anybody may.
#[test]
fn who_says_of_his_type_what_cannot_be_is_told_so() {
    says!(Longer, "u64");
    says!(Flags, "[bool;4]");
    let name = Scratch::new("wrong");
    let options = SharedValue::<Longer>::options().described();
    for error in [
        options.create(&name, Longer([0; 4])).unwrap_err(),
        options.open_or_create(&name, Longer([0; 4])).unwrap_err(),
        options.open(&name).unwrap_err(),
        options.observe(&name).unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
        support::check(&error, &name, &["the schema of the element", "must be one of 4 bytes", "one of 8 bytes, u64,"]);
    }
    // A value is checked whenever it is copied out. Elements are used in place.
    assert!(SharedValue::<Flags>::options().described().create(&name, Flags([0; 4])).is_ok());
    let words = ["without bool, char and enums", "u8 and u32", "[bool;4] was asked for"];
    assert_error!(SharedArray::<Flags, 2>::options().described().create(&name), InvalidArgument, &name, words);
    assert_error!(SharedSlice::<Flags>::options().described().open(&name), InvalidArgument, &name, words);
    assert!(!exists(&name));
}

#[test]
fn a_description_that_nobody_could_read_is_refused() {
    #[derive(Clone, Copy, Debug, NoUninit, CheckedBitPattern)]
    #[repr(u8)]
    enum Endless {
        A,
    }
    impl Described for Endless {
        fn schema() -> Schema {
            Schema::of_enum(&"E".repeat(5_000), "u8", &[("A", 0)])
        }
    }
    let name = Scratch::new("endless");
    let options = SharedValue::<Endless>::options().described();
    assert_error!(options.create(&name, Endless::A), InvalidArgument, &name, ["at most 4,096 bytes", "EEEE…"]);
    assert!(!exists(&name));
}

/// One that fills more than the first page, behind data that do, too.
#[test]
fn a_long_text_stands_behind_large_data() {
    #[derive(Clone, Copy, Debug, Pod, Zeroable)]
    #[repr(transparent)]
    struct Wide(u8);
    impl Described for Wide {
        fn schema() -> Schema {
            Schema::of_struct(&"W".repeat(4_000), &[("w", u8::schema())])
        }
    }
    let name = Scratch::new("wide");
    let slice = SharedSlice::<Wide>::options().described().create_from(&name, &[Wide(7); 10_000]).unwrap();
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!(info.schema(), Some(&Wide::schema()));
    assert_eq!(slice.info().unwrap().schema(), Some(&Wide::schema()));
    let bytes = fs::read(path(&name)).unwrap();
    assert!(bytes.ends_with(Wide::schema().to_string().as_bytes()) && bytes.len() as u64 == info.bytes());
    let opened = SharedSlice::<Wide>::options().described().open(&name).unwrap();
    assert!(opened.to_vec().unwrap().iter().all(|wide| wide.0 == 7));
}

/// A later version may have more words than this one: what it says is shown, and stands in nobody's way.
#[test]
fn a_text_that_is_not_understood_is_shown_and_not_used() {
    use support::FileExt;
    let name = Scratch::new("later");
    drop(SharedValue::<Account>::options().described().persistent(true).create(&name, FIRST).unwrap());
    let file = fs::OpenOptions::new().write(true).open(path(&name)).unwrap();
    file.write_all_at(b"Account<balance:i64", 704).unwrap();
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!(info.schema(), None);
    assert!(info.to_string().contains(", schema Account<balance:i64,open:bool,_pad:[u8;7]},"), "{info}");
    assert!(format!("{info:?}").contains("Account<balance"), "{info:?}");
    is_admitted(opens(&name, true, FIRST));
    is_admitted(opens(&name, false, OLDER));
    is_refused(opens(&name, true, WALLET), &name, ["expected SharedValue<Wallet>", "found SharedValue<Account>"]);
    robust_shm::remove(&name).unwrap();
}
