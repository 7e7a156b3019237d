#[repr(C)]
struct Account {
    open: bool,
    balance: i64,
}
robust_shm::describe!(Account { open: bool, balance: i64 });

fn main() {}
