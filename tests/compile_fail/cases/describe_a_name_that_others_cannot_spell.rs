#[repr(C)]
struct Größe {
    x: f64,
}
robust_shm::describe!(Größe { x: f64 });

fn main() {}
