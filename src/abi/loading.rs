//! dlopen(3), without RTLD_DEEPBIND: a library loaded with it, as PHP loads its extensions, would be bound to the C
//! library past us.

use core::ffi::{c_char, c_int, c_void};

use super::next;

extern "C-unwind" fn next_dlopen()
-> unsafe extern "C-unwind" fn(*const c_char, c_int) -> *mut c_void {
    next::DLOPEN.get()
}

/// dlopen(3). It leaves by a jump: the next one finds by its return address who asks, in whose RUNPATH it looks.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dlopen(_file: *const c_char, _mode: c_int) -> *mut c_void {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "sub rsp, 24",
        ".cfi_adjust_cfa_offset 24",
        "mov [rsp], rdi",
        "mov [rsp + 8], rsi",
        "call {next}",
        "mov rdi, [rsp]",
        "mov rsi, [rsp + 8]",
        "add rsp, 24",
        ".cfi_adjust_cfa_offset -24",
        "and esi, {kept}",
        "jmp rax",
        ".cfi_endproc",
        next = sym next_dlopen,
        kept = const !libc::RTLD_DEEPBIND,
    )
}

/// dlopen(3). It leaves by a jump: the next one finds by its return address who asks, in whose RUNPATH it looks.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dlopen(_file: *const c_char, _mode: c_int) -> *mut c_void {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-32]!",
        ".cfi_def_cfa_offset 32",
        ".cfi_offset x29, -32",
        ".cfi_offset x30, -24",
        "stp x0, x1, [sp, #16]",
        "bl {next}",
        "mov x16, x0",
        "ldp x0, x1, [sp, #16]",
        "ldp x29, x30, [sp], #32",
        ".cfi_restore x29",
        ".cfi_restore x30",
        ".cfi_def_cfa_offset 0",
        "and w1, w1, #{kept}",
        "br x16",
        ".cfi_endproc",
        next = sym next_dlopen,
        kept = const (!libc::RTLD_DEEPBIND).cast_unsigned(),
    )
}
