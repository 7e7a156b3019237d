//! [`Shareable`]: what a value can be.

use bytemuck::{CheckedBitPattern, NoUninit};

/// What a [`SharedValue`](crate::SharedValue) can hold: plain data without padding, references or pointers, that any process can copy.
///
/// Nobody implements it directly. It holds for every type that is bytemuck's `NoUninit` and `CheckedBitPattern`: all
/// integers and floats, `bool`, `char`, arrays of `Pod` types, and your own structs and field-less enums with a derive.
/// There may be no padding between the fields or behind them: put the largest first, and fill up to a multiple of the
/// largest with a `_pad`.
///
/// # Examples
///
/// ```
/// use bytemuck::{CheckedBitPattern, NoUninit};
///
/// #[derive(Clone, Copy, NoUninit, CheckedBitPattern)]
/// #[repr(u8)]
/// enum Light { Red, Amber, Green }
///
/// #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Point { x: f64, y: f64 }
///
/// #[derive(Clone, Copy, NoUninit, CheckedBitPattern)]
/// #[repr(C)]
/// struct Crossing { at: Point, cars: u32, light: Light, open: bool, _pad: [u8; 2] }
///
/// fn is_shareable<T: robust_shm::Shareable>() {}
/// is_shareable::<Light>();
/// is_shareable::<Point>();
/// is_shareable::<Crossing>();
/// is_shareable::<[u8; 64]>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared between processes",
    label = "not plain data, as far as the compiler knows",
    note = "for a struct, add `#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)] #[repr(C)]`, without padding between or behind the fields: fill up with a `_pad: [u8; N]`",
    note = "for an enum without fields add `#[derive(Clone, Copy, bytemuck::NoUninit, bytemuck::CheckedBitPattern)] #[repr(u8)]`, for a struct with `bool`, `char` or enums in it the same with `#[repr(C)]`",
    note = "a tuple has no fixed layout: use a struct; for an `Option`, put a `bool` that says whether there is a value beside the value; for `[bool; N]` use `[u8; N]`; atomics are not needed, because the lock is inside: use the plain number",
    note = "references, `String`, `Vec` and `Box` point into one process: share their contents, as `[u8; 64]` for a text"
)]
pub trait Shareable: NoUninit + CheckedBitPattern + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: NoUninit + CheckedBitPattern + Send + 'static> Shareable for T {}
