#[repr(C)]
struct Account {
    balance: i64,
    open: bool,
}
robust_shm::describe!(Account { balance: i64, open: bool });

fn main() {}
