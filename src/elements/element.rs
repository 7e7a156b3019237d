//! [`Element`]: what an array or a slice can hold.

use bytemuck::Pod;

/// What the elements of a [`SharedArray`](crate::SharedArray) or a [`SharedSlice`](crate::SharedSlice) can be: plain data
/// for which any bits are a value, and which threads can share.
///
/// Nobody implements it directly. It holds for every type that is bytemuck's `Pod` and `Send + Sync`: all integers and
/// floats, arrays of them, and your own structs with a derive. There may be no padding between the fields or behind
/// them: put the largest first, and fill up to a multiple of the largest with a `_pad`. `bool`, `char` and enums are
/// not among them, because elements are used in place, and any bits may come to stand there; a
/// [`SharedValue`](crate::SharedValue), which is checked whenever it is copied out, can hold those.
///
/// # Examples
///
/// ```
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Sample { at: f64, sensor: u32, is_valid: u8, _pad: [u8; 3] }
///
/// fn is_element<T: robust_shm::Element>() {}
/// is_element::<Sample>();
/// is_element::<[f32; 4]>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an element of a shared array or slice",
    label = "not plain data for which any bits are a value, as far as the compiler knows",
    note = "for a struct, add `#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)] #[repr(C)]`, without padding between or behind the fields: fill up with a `_pad: [u8; N]`",
    note = "for `bool`, `char` and enums use `u8` or `u32`: elements are used in place, where any bits may come to stand; a `SharedValue` can hold them",
    note = "a tuple has no fixed layout: use a struct; for an `Option`, put a `u8` that says whether there is a value beside the value; atomics are not needed, because the lock is inside: use the plain number",
    note = "references, `String`, `Vec` and `Box` point into one process: share their contents, as `[u8; 64]` for a text"
)]
pub trait Element: Pod + Send + Sync {}

#[diagnostic::do_not_recommend]
impl<T: Pod + Send + Sync> Element for T {}
