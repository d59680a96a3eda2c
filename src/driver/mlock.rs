//! mlockall(2): the memory file is none of the program's memory.

use super::{is_inside, lock};
use crate::memory;

/// Makes `mlockall`, the call of that name, which passes the memory file by.
pub fn around_mlockall<T>(mlockall: impl FnOnce() -> T) -> T {
    if is_inside() {
        // Whose lock was interrupted may be about to touch the file.
        return mlockall();
    }
    let _engine = lock();
    // SAFETY: only who has the engine's lock touches the file.
    unsafe { memory::passed_by(mlockall) }
}
