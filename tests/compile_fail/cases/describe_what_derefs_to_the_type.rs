struct Meters(f64);

impl std::ops::Deref for Meters {
    type Target = f64;
    fn deref(&self) -> &f64 {
        &self.0
    }
}

#[repr(C)]
struct Hill {
    height: Meters,
}
robust_shm::describe!(Hill { height: f64 });

fn main() {}
