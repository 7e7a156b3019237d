#[repr(C)]
struct Inner {
    x: f64,
}

#[repr(C)]
struct Outer {
    inner: Inner,
}
robust_shm::describe!(Outer { inner: Inner });

fn main() {}
