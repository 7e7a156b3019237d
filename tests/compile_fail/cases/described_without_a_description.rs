#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Point { x: f64, y: f64 }

fn main() {
    let _ = robust_shm::SharedValue::<Point>::options().described();
}
