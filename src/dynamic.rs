//! Segments whose type is known at run time: what a segment says that it holds, and values and elements as bytes.
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
//! [`open`] opens whatever there is: a [`DynValue`], a [`DynSlice`], or one of the handles that have no type. They are users as
//! all others, with the same locks and promises, and what they write is what the schema allows. [`observe`] only looks.
//!
//! ```
//! use robust_shm::dynamic::{self, AnyObserver};
//!
//! /// What a tool shows of a segment, without being a user of it.
//! fn show(name: &str) -> Result<String, robust_shm::Error> {
//!     Ok(match dynamic::observe(name)? {
//!         AnyObserver::Value(value) => {
//!             let mut bytes = vec![0; value.size()];
//!             value.get(&mut bytes);
//!             value.schema().map_or(format!("{bytes:?}"), |schema| schema.show(&bytes).to_string())
//!         }
//!         other => format!("{other:?}"),
//!     })
//! }
//!
//! let name = robust_shm::unique_name("shown");
//! let value = robust_shm::SharedValue::create(&name, [0.5f32, 1.5])?;
//! assert_eq!(show(&name)?, "[0.5, 1.5]");
//! # Ok::<(), robust_shm::Error>(())
//! ```
//!
//! What bindings need besides: guards that keep their handle alive, as [`DynValue::lock_owned`] gives them, and
//! [`interruptible`] waits.

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
pub use value::{DynValue, DynValueGuard, DynValueHold, DynValueObserver, OwnedDynValueGuard};
