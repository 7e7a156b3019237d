//! [`Described`]: types that say what they are made of.

use crate::schema::Schema;

/// A type that says what it is made of, so that other languages and the command line can read it.
///
/// All primitives do, and arrays of what does; structs and enums by [`describe!`](macro@crate::describe), which the compiler
/// checks. It is a safe trait: a false description costs another program a panic or an error, and never memory, because
/// values are checked bit by bit when they are copied out, and elements are plain data of any bits.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it is made of",
    note = "beside the type, write `robust_shm::describe!(Name {{ field: type, … }});`, for an enum `describe!(Name(u8) {{ A, B }});`, for a newtype `describe!(Name = type);`"
)]
pub trait Described: 'static {
    /// What it is made of.
    fn schema() -> Schema;
}

impl Schema {
    /// That of a type that [describes](macro@crate::describe) itself.
    #[must_use]
    pub fn of<T: Described>() -> Self {
        T::schema()
    }
}

macro_rules! primitives {
    ($($primitive:ident)*) => {$(
        impl Described for $primitive {
            fn schema() -> Schema {
                Schema::parse(stringify!($primitive)).expect("a primitive is a schema")
            }
        }
    )*};
}
primitives!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char);

impl<T: Described, const N: usize> Described for [T; N] {
    fn schema() -> Schema {
        Schema::of_array(T::schema(), N)
    }
}

/// Says what a struct, an enum or a newtype is made of, so that other languages and the command line can read it: implements
/// [`Described`](crate::dynamic::Described).
///
/// It stands beside the type, and repeats it. The compiler checks that: a field or a value that is forgotten, another type,
/// another order, or a gap between the fields does not compile.
///
/// # Examples
///
/// ```
/// use robust_shm::describe;
///
/// #[derive(Clone, Copy, Debug, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
/// #[repr(u8)]
/// enum Light { Red, Amber = 5, Green }
/// describe!(Light(u8) { Red, Amber, Green });
///
/// #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(transparent)]
/// struct Cents(i64);
/// describe!(Cents = i64);
///
/// #[derive(Clone, Copy, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
/// #[repr(C)]
/// struct Account { balance: Cents, light: Light, open: bool, _pad: [u8; 6] }
/// describe!(Account { balance: Cents, light: Light, open: bool, _pad: [u8; 6] });
///
/// let schema = robust_shm::dynamic::Schema::of::<Account>();
/// assert_eq!(schema.to_string(), "Account{balance:i64,light:Light(u8){Red=0,Amber=5,Green=6},open:bool,_pad:[u8;6]}");
/// ```
#[macro_export]
macro_rules! describe {
    ($name:ident { $($field:ident : $kind:ty),+ $(,)? }) => {
        const _: () = {
            const fn type_of<T>(_: &T) -> ::core::marker::PhantomData<T> {
                ::core::marker::PhantomData
            }
            #[allow(dead_code)]
            fn all_fields($name { $($field),+ }: &$name) {
                // Inferred, so that nothing is coerced: a newtype that derefs to the type is another type.
                $(let found = type_of($field); let _: ::core::marker::PhantomData<$kind> = found;)+
            }
            let mut at = 0;
            $(
                ::core::assert!(
                    ::core::mem::offset_of!($name, $field) == at,
                    "describe!: the fields in the order of their bytes, without gaps"
                );
                ::core::assert!(::core::stringify!($field).is_ascii(), "describe!: names of ASCII letters, digits and underscores");
                at += ::core::mem::size_of::<$kind>();
            )+
            ::core::assert!(at == ::core::mem::size_of::<$name>(), "describe!: there are bytes that no field describes");
            ::core::assert!(::core::stringify!($name).is_ascii(), "describe!: names of ASCII letters, digits and underscores");
        };
        impl $crate::dynamic::Described for $name {
            fn schema() -> $crate::dynamic::Schema {
                $crate::dynamic::Schema::of_struct(
                    ::core::stringify!($name),
                    &[$((::core::stringify!($field), <$kind as $crate::dynamic::Described>::schema())),+],
                )
            }
        }
    };
    ($name:ident ($repr:ident) { $($variant:ident),+ $(,)? }) => {
        const _: () = {
            #[allow(dead_code)]
            const fn all_variants(value: $name) {
                match value { $($name::$variant => {}),+ }
            }
            ::core::assert!(
                ::core::mem::size_of::<$name>() == ::core::mem::size_of::<$repr>(),
                "describe!: the integer type that stands in #[repr(..)]"
            );
            $(
                ::core::assert!(
                    $name::$variant as $repr as i128 == $name::$variant as i128,
                    "describe!: the integer type that stands in #[repr(..)]"
                );
                ::core::assert!(::core::stringify!($variant).is_ascii(), "describe!: names of ASCII letters, digits and underscores");
            )+
            ::core::assert!(::core::stringify!($name).is_ascii(), "describe!: names of ASCII letters, digits and underscores");
        };
        impl $crate::dynamic::Described for $name {
            fn schema() -> $crate::dynamic::Schema {
                $crate::dynamic::Schema::of_enum(
                    ::core::stringify!($name),
                    ::core::stringify!($repr),
                    &[$((::core::stringify!($variant), $name::$variant as i128)),+],
                )
            }
        }
    };
    ($name:ident = $inner:ty) => {
        const _: () = {
            const fn type_of<T>(_: &T) -> ::core::marker::PhantomData<T> {
                ::core::marker::PhantomData
            }
            #[allow(dead_code)]
            fn the_only_field($name(inner): &$name) {
                let found = type_of(inner);
                let _: ::core::marker::PhantomData<$inner> = found;
            }
            ::core::assert!(::core::mem::size_of::<$name>() == ::core::mem::size_of::<$inner>(), "describe!: more than the field");
        };
        impl $crate::dynamic::Described for $name {
            fn schema() -> $crate::dynamic::Schema {
                <$inner as $crate::dynamic::Described>::schema()
            }
        }
    };
}
