//! Data whose type is known at run time: what a segment says that it holds.
//!
//! A segment of numbers, or of a [described](macro@crate::describe) type, carries a [`Schema`] behind its data: a short
//! text, by which a stranger, another language or an administrator can read it.
//!
//! ```
//! use robust_shm::dynamic::Schema;
//!
//! let schema: Schema = "Account{balance:i64,open:bool,_pad:[u8;7]}".parse()?;
//! let mut bytes = 200i64.to_le_bytes().to_vec();
//! bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
//! assert_eq!(schema.show(&bytes).to_string(), "Account { balance: 200, open: true, _pad: [0, 0, 0, 0, 0, 0, 0] }");
//! bytes[8] = 7;
//! assert!(!schema.allows(&bytes)); // no bool
//! # Ok::<(), robust_shm::dynamic::SchemaError>(())
//! ```
//!
//! And what bindings need besides: [`interruptible`] waits.

mod any;
mod described;
mod interruptible;
mod length;
mod slice;
mod value;

pub use crate::schema::{Field, Form, Primitive, Schema, SchemaError, Variant};
pub use any::{Any, AnyObserver, observe, open};
pub use described::Described;
pub use interruptible::interruptible;
pub use slice::{DynSlice, DynSliceGuard, DynSliceObserver, DynSliceReadGuard};
pub use value::{DynValue, DynValueGuard, DynValueObserver, OwnedDynValueGuard};
