//! Arrays and slices are two faces of one body, and have one suite: each file here but `lengths` is compiled for both, as
//! two modules, with the face that it tests above it.
#![allow(clippy::duplicate_mod, reason = "that is the point")]

mod lengths;
#[path = "../support/mod.rs"]
mod support;

#[path = "."]
mod array {
    mod face {
        use robust_shm::{Element, Error, SharedArray};

        pub(super) use robust_shm::ArrayGuard as Guard;
        pub(super) type Elements<T, const N: usize> = SharedArray<T, N>;
        pub(super) const GUARD: &str = "ArrayGuard";
        pub(super) const HANDLE: &str = "SharedArray";

        pub(super) fn create<T: Element, const N: usize>(name: &str) -> Result<Elements<T, N>, Error> {
            SharedArray::create(name)
        }

        pub(super) fn role(of: &str) -> String {
            format!("array-{of}")
        }
    }
    #[path = "access.rs"]
    mod access;
    #[path = "debug.rs"]
    mod debug;
    #[path = "panics.rs"]
    mod panics;
    #[path = "poison.rs"]
    pub(super) mod poison;
}

#[path = "."]
mod slice {
    mod face {
        use robust_shm::{Element, Error, SharedSlice};

        pub(super) use robust_shm::SliceGuard as Guard;
        pub(super) type Elements<T, const N: usize> = SharedSlice<T>;
        pub(super) const GUARD: &str = "SliceGuard";
        pub(super) const HANDLE: &str = "SharedSlice";

        pub(super) fn create<T: Element, const N: usize>(name: &str) -> Result<Elements<T, N>, Error> {
            SharedSlice::create(name, N)
        }

        pub(super) fn role(of: &str) -> String {
            format!("slice-{of}")
        }
    }
    #[path = "access.rs"]
    mod access;
    #[path = "debug.rs"]
    mod debug;
    #[path = "panics.rs"]
    mod panics;
    #[path = "poison.rs"]
    pub(super) mod poison;
}

#[test]
fn child() {
    let of_arrays = array::poison::ROLES.iter().map(|(role, body)| (format!("array-{role}"), *body));
    let of_slices = slice::poison::ROLES.iter().map(|(role, body)| (format!("slice-{role}"), *body));
    let roles: Vec<_> = of_arrays.chain(of_slices).collect();
    let roles: Vec<_> = roles.iter().map(|(role, body)| (role.as_str(), *body)).collect();
    support::play(&roles);
}
