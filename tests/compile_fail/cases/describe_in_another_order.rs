#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}
robust_shm::describe!(Point { y: f64, x: f64 });

fn main() {}
