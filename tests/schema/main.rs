//! Schemas: `describe!`, and texts that are made up or damaged.

use robust_shm::describe;
use robust_shm::dynamic::{Described, Form, Schema};

mod trial;

#[derive(Clone, Copy)]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}
describe!(Point { x: f64, y: f64 });

#[derive(Clone, Copy)]
#[repr(i16)]
#[allow(dead_code)]
enum Light {
    Red = -1,
    Amber = 5,
    Green,
}
describe!(Light(i16) { Red, Amber, Green });

struct Cents(i64);
describe!(Cents = i64);

struct Nested(Cents);
describe!(Nested = Cents);

#[repr(C)]
struct Crossing {
    at: [Point; 2],
    r#type: Light,
    open: bool,
    _pad: [u8; 1],
    sign: char,
    fee: Nested,
    empty: [u16; 0],
    cars: usize,
}
describe!(Crossing {
    at: [Point; 2],
    r#type: Light,
    open: bool,
    _pad: [u8; 1],
    sign: char,
    fee: Nested,
    empty: [u16; 0],
    cars: usize,
});

/// Nothing in the macro depends on what the names around it mean.
mod shadowed {
    #![allow(dead_code, non_camel_case_types)]
    mod core {}
    mod std {}
    struct Option;
    struct u8;
    pub(super) struct Hidden {
        pub(super) bytes: [f32; 2],
    }
    robust_shm::describe!(Hidden { bytes: [f32; 2] });
}

#[test]
fn a_description_is_a_schema() {
    let schema = Schema::of::<Crossing>();
    let text = "Crossing{at:[Point{x:f64,y:f64};2],type:Light(i16){Red=-1,Amber=5,Green=6},open:bool,_pad:[u8;1],sign:char,fee:i64,empty:[u16;0],cars:u64}";
    assert_eq!(schema.to_string(), text);
    assert_eq!(Schema::parse(text).unwrap(), schema);
    assert_eq!((schema.size(), schema.align()), (size_of::<Crossing>(), align_of::<Crossing>()));
    assert_eq!(<[shadowed::Hidden; 3]>::schema().to_string(), "[Hidden{bytes:[f32;2]};3]");
    assert_eq!(Schema::of::<isize>(), Schema::of::<i64>());
    let Form::Struct { name: Some("Crossing"), fields } = schema.form() else { panic!("{schema:?}") };
    assert_eq!(fields[6].offset(), std::mem::offset_of!(Crossing, empty));
    assert_eq!(format!("{:?}", fields[1].schema()), "Schema(Light(i16){Red=-1,Amber=5,Green=6})");
}

#[test]
fn a_schema_that_is_too_deep_or_too_long_is_refused_and_not_a_panic() {
    for (text, at) in
        [("[".repeat(100_000), 4096), ("{a:".repeat(1000), 48), (format!("{{{}", "a:u8,".repeat(900)), 4096)]
    {
        assert_eq!(Schema::parse(&text).unwrap_err().at, at);
    }
}

/// Texts by the grammar, and with a few characters changed; bytes that are mostly right.
#[test]
fn no_text_and_no_bytes_do_harm() {
    let mut random = Random(0x5eed);
    for round in 0..20_000 {
        let mut text = String::new();
        make(&mut random, 0, &mut text);
        let size = Schema::parse(&text).map_or(8, |schema| schema.size().min(256));
        for _ in 0..4 {
            let bytes: Vec<u8> = (0..size)
                .map(|_| if random.below(3) == 0 { random.next() as u8 } else { random.below(2) as u8 })
                .collect();
            trial::holds(&text, &bytes);
        }
        if round % 2 == 0 {
            for _ in 0..1 + random.below(3) {
                damage(&mut random, &mut text);
            }
            trial::holds(&text, &[1; 8]);
        }
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

const PRIMITIVES: [&str; 16] = [
    "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64", "bool", "char", "usize",
    "isize",
];

fn make(random: &mut Random, depth: usize, text: &mut String) {
    match random.below(if depth > 3 { 1 } else { 4 }) {
        1 => {
            text.push('[');
            make(random, depth + 1, text);
            *text += &format!("; {}]", random.below(4));
        }
        2 => {
            *text += ["", "Struct"][random.below(2)];
            for at in 0..1 + random.below(4) {
                *text += if at == 0 { "{" } else { ", " };
                *text += &format!("f{at}: ");
                make(random, depth + 1, text);
            }
            text.push('}');
        }
        3 => {
            *text += ["(u8)", "Enum(i8)", "(u64)", "(i128)"][random.below(4)];
            for at in 0..1 + random.below(4) {
                *text += &format!("{}V{at}={}", if at == 0 { "{" } else { "," }, at * 3);
            }
            text.push('}');
        }
        _ => *text += PRIMITIVES[random.below(PRIMITIVES.len())],
    }
}

fn damage(random: &mut Random, text: &mut String) {
    let mut letters: Vec<char> = text.chars().collect();
    let at = random.below(letters.len() + 1);
    let strange = ['{', '}', '[', ']', '(', ')', ':', ';', ',', '=', '-', '9', '0', 'u', 'ü', '\u{1b}', ' ', '\0'];
    let strange = strange[random.below(strange.len())];
    match random.below(3) {
        0 if at < letters.len() => letters[at] = strange,
        1 if at < letters.len() => drop(letters.remove(at)),
        _ => letters.insert(at, strange),
    }
    *text = letters.into_iter().collect();
}
