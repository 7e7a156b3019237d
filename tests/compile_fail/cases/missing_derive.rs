#[derive(Clone, Copy)]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}

fn main() {
    let _ = robust_shm::SharedValue::create("name", Point { x: 0.0, y: 0.0 });
}
