//! Functions with variable arguments.
//!
//! Rust cannot define them yet, so each is a few instructions that put the registers with arguments
//! where the machine's calling convention has a `va_list` find them, and call a function of ours with
//! the named arguments and, after them, the list ([`forward`]).
//!
//! The layouts are those of the System V ABI for x86-64, section 3.5.7, and of the Procedure Call
//! Standard for the Arm 64-bit Architecture, appendix B.

use core::ffi::c_void;

/// What C calls a `va_list`, as the trampolines make it.
#[cfg(target_arch = "x86_64")]
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct VaList {
    /// Bytes of `registers` that are used up.
    general: u32,
    vector: u32,
    stack: *const usize,
    registers: *const c_void,
}

/// What C calls a `va_list`, as the trampolines make it.
#[cfg(target_arch = "aarch64")]
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct VaList {
    stack: *const usize,
    general_end: *const c_void,
    vector_end: *const c_void,
    /// Bytes up to `general_end`, negative; 0 and more: used up.
    general: i32,
    vector: i32,
}

impl VaList {
    /// The next argument, a pointer or an integer.
    ///
    /// # Safety
    /// The caller passed one more.
    pub(super) unsafe fn next(&mut self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.general < 48 {
            self.general += 8;
            // SAFETY: six registers were put there.
            return unsafe {
                self.registers
                    .byte_add(self.general as usize - 8)
                    .cast::<usize>()
                    .read()
            };
        }
        #[cfg(target_arch = "aarch64")]
        if self.general < 0 {
            self.general += 8;
            // SAFETY: the registers were put before that end.
            return unsafe {
                self.general_end
                    .byte_offset(self.general as isize - 8)
                    .cast::<usize>()
                    .read()
            };
        }
        // SAFETY: the caller's promise: the rest is on the stack, a word each.
        unsafe {
            let argument = self.stack.read();
            self.stack = self.stack.add(1);
            argument
        }
    }
}

/// The body of a naked function with `$named` arguments and variable ones after them: calls
/// `$to` with the named ones and a `va_list` of the others.
#[cfg(target_arch = "x86_64")]
macro_rules! forward {
    ($named:literal, $to:path) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            // The va_list at 0, the general registers at 32, the vector registers at 80.
            "sub rsp, 216",
            ".cfi_adjust_cfa_offset 216",
            "mov [rsp + 32], rdi",
            "mov [rsp + 40], rsi",
            "mov [rsp + 48], rdx",
            "mov [rsp + 56], rcx",
            "mov [rsp + 64], r8",
            "mov [rsp + 72], r9",
            "test al, al",
            "je 2f",
            "movaps [rsp + 80], xmm0",
            "movaps [rsp + 96], xmm1",
            "movaps [rsp + 112], xmm2",
            "movaps [rsp + 128], xmm3",
            "movaps [rsp + 144], xmm4",
            "movaps [rsp + 160], xmm5",
            "movaps [rsp + 176], xmm6",
            "movaps [rsp + 192], xmm7",
            "2:",
            "mov dword ptr [rsp], 8 * {named}",
            "mov dword ptr [rsp + 4], 48",
            "lea rax, [rsp + 224]",
            "mov [rsp + 8], rax",
            "lea rax, [rsp + 32]",
            "mov [rsp + 16], rax",
            // The argument after the named ones.
            ".if {named} == 1",
            "mov rsi, rsp",
            ".elseif {named} == 2",
            "mov rdx, rsp",
            ".else",
            "mov rcx, rsp",
            ".endif",
            "call {to}",
            "add rsp, 216",
            ".cfi_adjust_cfa_offset -216",
            "ret",
            ".cfi_endproc",
            named = const $named,
            to = sym $to,
        )
    };
}

/// The body of a naked function with `$named` arguments and variable ones after them: calls
/// `$to` with the named ones and a `va_list` of the others.
#[cfg(target_arch = "aarch64")]
macro_rules! forward {
    ($named:literal, $to:path) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            // The frame's record at 0, the va_list at 16, the general registers at 48, the vector
            // registers at 112.
            "stp x29, x30, [sp, #-240]!",
            ".cfi_def_cfa_offset 240",
            ".cfi_offset x29, -240",
            ".cfi_offset x30, -232",
            "mov x29, sp",
            "stp x0, x1, [sp, #48]",
            "stp x2, x3, [sp, #64]",
            "stp x4, x5, [sp, #80]",
            "stp x6, x7, [sp, #96]",
            "stp q0, q1, [sp, #112]",
            "stp q2, q3, [sp, #144]",
            "stp q4, q5, [sp, #176]",
            "stp q6, q7, [sp, #208]",
            "add x9, sp, #240",
            "str x9, [sp, #16]",
            "add x10, sp, #112",
            "stp x10, x9, [sp, #24]",
            "mov w9, #(8 * {named} - 64)",
            "mov w10, #-128",
            "stp w9, w10, [sp, #40]",
            // The argument after the named ones.
            "add x{named}, sp, #16",
            "bl {to}",
            "ldp x29, x30, [sp], #240",
            ".cfi_restore x29",
            ".cfi_restore x30",
            ".cfi_def_cfa_offset 0",
            "ret",
            ".cfi_endproc",
            named = const $named,
            to = sym $to,
        )
    };
}

pub(super) use forward;
