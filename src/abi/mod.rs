//! The exported C symbols.
//!
//! A function here is four moves: convert the arguments, look the descriptor up, call the socket
//! layer, turn the outcome into a return value and errno. What is not ours goes to the next
//! library's symbol of the same name, usually libc's ([`next`]).
//!
//! 1. No panic leaves a function ([`border`]): it becomes EIO, with a line in the log.
//! 2. A pointer of the program's is checked before it is touched: bad ones give EFAULT, as the
//!    kernel would.
//! 3. errno changes only when a call fails.
//! 4. Variadic functions of C whose callers pass a known number of words at most (fcntl, ioctl,
//!    syscall) are defined with these: on the machines we build for, both travel in the same
//!    registers and on the same place of the stack. The others are in [`variadic`].
//! 5. What may wait is a cancellation point (pthreads(7)): a thread may be ended, that is unwound by
//!    the C library, in the next library's function, or in [`border::serve`] after a wait of ours. So
//!    all functions are `C-unwind`, and have nothing to drop where that happens. Below this layer
//!    nothing calls the C library's cancellation points.

mod aliases;
pub mod api;
mod border;
mod control;
mod descriptors;
mod environment;
mod epoll;
mod formatted;
mod fortified;
mod keeper;
mod lists;
mod loading;
mod mapping;
mod messages;
mod names;
mod next;
mod poll;
mod positioned;
mod process;
mod programs;
mod rights;
mod select;
mod signals;
mod signatures;
mod small_calls;
mod sockets;
mod streams;
mod syscall;
mod transfer;
mod variadic;
