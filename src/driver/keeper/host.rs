//! The side that makes sockets for others: a keeper, and any process for those forked from it.

use rustix::fd::AsFd;
use rustix::io::Errno;

use super::super::door::Visit;
use super::super::family::Name;
use super::super::{Asker, Engine, HOOKS};
use super::requests::{Reply, Request};
use crate::control::low_ports;
use crate::sys::owned::OwnedFd;
use crate::sys::pair;

/// A request's answer, and the descriptor that goes with it.
pub(super) type Answer = (Reply, Option<OwnedFd>);

/// Answers one who may be served; `shown`: what shows his right to low ports.
pub(super) fn answer(
    engine: &mut Engine,
    visit: &Visit,
    shown: Option<&OwnedFd>,
    request: &Request,
) -> Result<Answer, Errno> {
    match request {
        Request::Hello { interface } => {
            if !interface.is_empty() && !engine.is_driven(interface.as_bytes()) {
                return Err(Errno::NODEV);
            }
            Ok((Reply::Done, None))
        }
        Request::Create(wanted) => {
            let hooks = HOOKS.get().ok_or(Errno::OPNOTSUPP)?;
            let start = engine.ports.unprivileged();
            let asker = Asker {
                user: visit.user,
                low_ports: shown.is_some_and(|shown| low_ports::is_shown(shown, start)),
            };
            let made = (hooks.created)(engine, wanted, asker)?;
            engine.finish_pass();
            Ok(match made {
                None => (Reply::Kernel, None),
                Some((endpoint, program)) => {
                    let engine = engine.id;
                    (Reply::Created(Name { engine, endpoint }), Some(program))
                }
            })
        }
    }
}

/// Sends an answer.
pub(super) fn reply(visit: &Visit, answer: Result<Answer, Errno>) {
    let (reply, descriptor) = answer.unwrap_or_else(|errno| (Reply::Refused(errno), None));
    let message = reply.encode();
    // Who does not take it has gone, and the socket with him.
    let _ = match &descriptor {
        Some(fd) => pair::give_descriptor(&visit.client, &message, fd.as_fd()),
        None => pair::give(&visit.client, &message),
    };
}

/// Serves a process forked from this one that may not have a stack of its own any more, as if it had
/// asked a keeper; false: it asks something else. It shows that it is one by its lifeline.
pub(in crate::driver) fn serve_forked(engine: &mut Engine, visit: &Visit) -> bool {
    let Some(request) = Request::decode(&visit.message) else {
        return false;
    };
    let line = visit.descriptors.first();
    let answer = match line.is_some_and(|line| engine.is_lifeline(line)) {
        true => self::answer(engine, visit, visit.descriptors.get(1), &request),
        false => Err(Errno::ACCESS),
    };
    reply(visit, answer);
    true
}
