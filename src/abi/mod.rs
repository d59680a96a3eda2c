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
//! 4. Variadic functions of C (fcntl, ioctl) are defined with the fixed arguments that callers
//!    pass: on the machines we build for, both travel in the same registers.

mod aliases;
pub mod api;
mod border;
mod control;
mod descriptors;
mod epoll;
mod fortified;
mod keeper;
mod messages;
mod names;
mod next;
mod poll;
mod positioned;
mod process;
mod programs;
mod select;
mod signatures;
mod sockets;
mod streams;
mod transfer;
