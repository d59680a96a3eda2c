//! execl(3), execlp(3), execle(3): exec with the arguments one by one.

use core::ffi::{c_char, c_int};
use core::ptr;

use super::programs::{Strings, execv, execve, execvp};
use super::variadic::{VaList, forward};

/// How many arguments are gathered without the heap: a child of vfork(2) would leak there.
const FEW: usize = 512;

/// Calls `exec` with the strings of the list up to its null as an array.
///
/// # Safety
/// The caller passed strings and a null after them.
unsafe fn gathered(list: &mut VaList, exec: impl FnOnce(&mut VaList, Strings) -> c_int) -> c_int {
    let mut few = [ptr::null(); FEW];
    let mut many = Vec::new();
    let mut count = 0;
    loop {
        // SAFETY: the null was not there yet.
        let string = ptr::with_exposed_provenance::<c_char>(unsafe { list.next() });
        if count < FEW {
            few[count] = string;
        } else {
            if many.is_empty() {
                many.extend_from_slice(&few);
            }
            many.push(string);
        }
        if string.is_null() {
            break;
        }
        count += 1;
    }
    let strings = if many.is_empty() { &few[..] } else { &many[..] };
    exec(list, strings.as_ptr())
}

unsafe extern "C-unwind" fn list_exec(path: *const c_char, list: *mut VaList) -> c_int {
    // SAFETY: the program's own arguments, in the list that `forward` has made.
    unsafe { gathered(&mut *list, |_, arguments| execv(path, arguments)) }
}

unsafe extern "C-unwind" fn list_exec_in_path(file: *const c_char, list: *mut VaList) -> c_int {
    // SAFETY: as above.
    unsafe { gathered(&mut *list, |_, arguments| execvp(file, arguments)) }
}

unsafe extern "C-unwind" fn list_exec_with_environment(
    path: *const c_char,
    list: *mut VaList,
) -> c_int {
    // SAFETY: as above; the environment comes after the null.
    unsafe {
        gathered(&mut *list, |list, arguments| {
            let environment = ptr::with_exposed_provenance(list.next());
            execve(path, arguments, environment)
        })
    }
}

/// execl(3).
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execl(_path: *const c_char) -> c_int {
    forward!(1, list_exec)
}

/// execlp(3).
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execlp(_file: *const c_char) -> c_int {
    forward!(1, list_exec_in_path)
}

/// execle(3).
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execle(_path: *const c_char) -> c_int {
    forward!(1, list_exec_with_environment)
}
