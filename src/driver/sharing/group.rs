//! One group: who is in it, and what its members say to each other.

use core::net::Ipv4Addr;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::list::{self, ADDRESS, KEY, MOST, MOST_SOCKETS};
use crate::stack::sharing::Sharing;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::Set;
use crate::sys::{local, pair};

/// A group, as this process sees it.
pub(super) struct Group {
    /// The addresses of this process's sockets.
    pub(super) sockets: Vec<Ipv4Addr>,
    pub(super) part: Part,
}

/// What part this process has.
pub(super) enum Part {
    Leads {
        listener: OwnedFd,
        key: [u8; KEY],
        members: Vec<Member>,
    },
    Follows {
        line: OwnedFd,
        /// A list has come.
        listed: bool,
    },
    /// None yet: somebody has the name, and does not listen.
    Apart,
}

/// A follower, as the leader knows it.
pub(super) struct Member {
    line: OwnedFd,
    sockets: Vec<Ipv4Addr>,
}

/// What is to be done after news.
pub(super) enum News {
    None,
    /// The list has changed.
    Publish,
    /// It has come.
    List(Sharing),
    /// The leader is gone; or, if not `at_once`, it did not let us in.
    Join {
        at_once: bool,
    },
}

impl Part {
    pub(super) fn follows(line: OwnedFd) -> Self {
        Self::Follows {
            line,
            listed: false,
        }
    }
}

impl Group {
    /// Ends the watch of its descriptors: a forked child may still hold copies of them.
    pub(super) fn unwatch(&self, set: &Set) {
        match &self.part {
            Part::Leads {
                listener, members, ..
            } => {
                set.remove(listener);
                members.iter().for_each(|member| set.remove(&member.line));
            }
            Part::Follows { line, .. } => set.remove(line),
            Part::Apart => {}
        }
    }

    pub(super) fn take_news(&mut self, set: &Set, token: u64) -> News {
        match &mut self.part {
            Part::Leads {
                listener, members, ..
            } => {
                let before = members.len();
                admit(set, token, listener, members);
                let mut changed = members.len() != before;
                members.retain_mut(|member| match member.listen() {
                    Ok(news) => {
                        changed |= news;
                        true
                    }
                    Err(_) => {
                        set.remove(&member.line);
                        changed = true;
                        false
                    }
                });
                match changed {
                    true => News::Publish,
                    false => News::None,
                }
            }
            Part::Follows { line, listed } => take_list(line, listed),
            Part::Apart => News::None,
        }
    }

    /// Sends the leader's list to all followers; what it is to the leader itself.
    pub(super) fn publish(&mut self, set: &Set) -> Option<Sharing> {
        let Part::Leads { key, members, .. } = &mut self.part else {
            return None;
        };
        loop {
            let others = members.iter().flat_map(|member| &member.sockets);
            let all: Vec<Ipv4Addr> = self.sockets.iter().chain(others).copied().collect();
            let count = members.len();
            let mut first = self.sockets.len();
            members.retain(|member| {
                let own = first..first + member.sockets.len();
                first = own.end;
                let list = list::encode(key, &list::of(&all, &own));
                let taken = pair::give(&member.line, &list).is_ok();
                if !taken {
                    set.remove(&member.line);
                }
                taken
            });
            if members.len() == count {
                let own = 0..self.sockets.len();
                return Some(Sharing::new(key, list::of(&all, &own)));
            }
        }
    }
}

impl Member {
    /// Takes in what it says; whether that is news.
    fn listen(&mut self) -> Result<bool, Errno> {
        let mut told = false;
        let mut message = [0; MOST_SOCKETS * ADDRESS];
        loop {
            match pair::take(&self.line, &mut message) {
                Ok(0) => return Err(Errno::PIPE),
                Ok(count) => {
                    let addresses = message[..count].chunks_exact(ADDRESS);
                    let read = |four: &[u8]| four.try_into().ok().map(<[u8; ADDRESS]>::into);
                    self.sockets = addresses.filter_map(read).collect();
                    told = true;
                }
                Err(Errno::AGAIN | Errno::INTR) => return Ok(told),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Lets in who waits at the door, as long as there is room.
fn admit(set: &Set, token: u64, listener: &OwnedFd, members: &mut Vec<Member>) {
    loop {
        match local::accept(listener) {
            Ok(line) if is_trusted(&line) => {
                if set.add(&line, token, EventFlags::IN).is_ok() {
                    members.push(Member {
                        line,
                        sockets: Vec::new(),
                    });
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return,
            // No descriptor is left: nobody else comes in.
            Err(_) => return set.remove(listener),
        }
        if members.len() >= MOST {
            return set.remove(listener);
        }
    }
}

/// The last list that has come from the leader.
fn take_list(line: &OwnedFd, listed: &mut bool) -> News {
    let mut message = vec![0; list::LONGEST];
    let mut news = News::None;
    loop {
        match pair::take(line, &mut message) {
            Ok(0) => return News::Join { at_once: *listed },
            Ok(count) => {
                if let Some(sharing) = list::decode(&message[..count]) {
                    *listed = true;
                    news = News::List(sharing);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => return news,
            Err(_) => return News::Join { at_once: *listed },
        }
    }
}

/// Whether the process at the other side is the same user's, or root's.
pub(super) fn is_trusted(line: &OwnedFd) -> bool {
    let own = local::own_user();
    local::peer_user(line).is_ok_and(|user| user == own || user == 0)
}
