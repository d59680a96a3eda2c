//! The users of the process's connections, who outlive it: what they write and read passes by pairs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

use crate::app::{bytes_at, check};
use crate::process::Task;
use crate::stack::Stack;
use crate::stack::ids::SocketId;
use crate::stack::passing::{Passing, Road, Way};
use crate::stack::time::Instant;
use crate::sys::{pair, raw};

/// A user of one connection.
struct User {
    /// The end that the stack's process has.
    stack: OwnedFd,
    own: OwnedFd,
    written: RefCell<usize>,
    read: RefCell<usize>,
}

/// All of them, by what both sides know their streams by.
#[derive(Clone)]
pub(crate) struct Users {
    by_key: Rc<BTreeMap<u16, User>>,
    /// What each writes.
    to_write: usize,
}

impl Users {
    /// Those of a process that has `task`, whose connections have these keys.
    pub(crate) fn new(task: &Task, keys: impl Iterator<Item = u16>) -> Self {
        let user = |key| {
            let flags = SocketFlags::NONBLOCK;
            let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
            let (stack, own) = pair.expect("a pair of sockets");
            let (written, read) = (RefCell::new(0), RefCell::new(0));
            let user = User {
                stack,
                own,
                written,
                read,
            };
            (key, user)
        };
        Self {
            by_key: Rc::new(keys.map(user).collect()),
            to_write: task.to_send,
        }
    }

    /// Each writes what there is room for, and reads what is there.
    pub(crate) fn run(&self) {
        for (&key, user) in &*self.by_key {
            let mut written = user.written.borrow_mut();
            while *written < self.to_write {
                let len = (self.to_write - *written).min(2000);
                let flags = SendFlags::DONTWAIT;
                match send(&user.own, bytes_at(key, *written, len), flags) {
                    Ok(count) => *written += count,
                    Err(_) => break,
                }
            }
            let mut read = user.read.borrow_mut();
            let mut buffer = [0; 4000];
            while let Ok((count @ 1.., _)) = recv(&user.own, &mut buffer[..], RecvFlags::DONTWAIT) {
                check(key, *read, &buffer[..count]);
                *read += count;
            }
        }
    }

    /// Bytes that have left the pair of a stream for the stack, and that have come there from it.
    pub(crate) fn passed(&self, key: u16) -> (usize, usize) {
        let user = &self.by_key[&key];
        let unread = |fd: &OwnedFd| raw::unread(fd.as_raw_fd()).expect("a pair");
        let sent = *user.written.borrow() - unread(&user.stack);
        (sent, *user.read.borrow() + unread(&user.own))
    }

    /// The stack offers bytes of a stream; how many the user gets.
    pub(crate) fn offer(
        &self,
        key: u16,
        data: &[u8],
        passing: &mut Passing,
        road: &mut Road,
    ) -> usize {
        passing.begin(Way::ToUser, road);
        self.give(key, data, road).unwrap_or(0)
    }

    fn give(&self, key: u16, data: &[u8], road: &mut Road) -> Result<usize, Errno> {
        pair::give_noted(
            &self.by_key[&key].stack,
            &[IoSlice::new(data)],
            &mut road.head,
        )
    }

    /// Gives the user what is queued, `most` bytes at most; how many.
    pub(crate) fn deliver(
        &self,
        stack: &mut Stack,
        now: Instant,
        (id, key): (SocketId, u16),
        most: usize,
        road: &mut Road,
    ) -> usize {
        stack.tcp_begin_passing(id, Way::ToUser, road);
        let bytes = stack.tcp_received(id);
        let given = self
            .give(key, &bytes[..bytes.len().min(most)], road)
            .unwrap_or(0);
        match given {
            0 => stack.tcp_end_passing(id),
            _ => stack.tcp_consume(now, id, given),
        }
        given
    }

    /// Sends what the user has written, `most` bytes at most; how many.
    pub(crate) fn send(
        &self,
        stack: &mut Stack,
        now: Instant,
        (id, key): (SocketId, u16),
        most: usize,
        road: &mut Road,
    ) -> usize {
        let most = most.min(stack.tcp_send_space(id));
        stack.tcp_begin_passing(id, Way::FromUser, road);
        let end = &self.by_key[&key].stack;
        let taken = pair::take_noted(end, &mut road.bytes[..most], &mut road.head).unwrap_or(0);
        if taken > 0 {
            let sent = stack.tcp_send_taken(now, id, &road.bytes[..taken]);
            assert_eq!(sent, Ok(taken), "there was room");
        }
        stack.tcp_end_passing(id);
        taken
    }
}
