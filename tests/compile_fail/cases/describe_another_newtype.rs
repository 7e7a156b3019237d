struct Meters(f64);
robust_shm::describe!(Meters = f32);

struct Pair(f64, f64);
robust_shm::describe!(Pair = f64);

fn main() {}
