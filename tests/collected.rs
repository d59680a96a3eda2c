//! Descriptors that nobody waits for when they are closed.

#[expect(dead_code, reason = "only the queue is used here")]
#[path = "../src/sys/mod.rs"]
mod sys;

use std::io::{PipeReader, Read, pipe};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread::spawn;
use std::time::Duration;

use sys::collected::Collected;
use sys::wait::borrow;

/// A pipe that says when the last copy of its other end is closed, which is in the queue.
fn watched(queue: &Collected) -> PipeReader {
    let (reader, writer) = pipe().expect("a pipe");
    queue
        .put(borrow(writer.as_raw_fd()))
        .expect("room in the queue");
    reader
}

/// Whether that comes, within some seconds.
fn closes(mut reader: PipeReader) -> bool {
    let (tell, told) = mpsc::channel();
    spawn(move || tell.send(reader.read(&mut [0])));
    matches!(told.recv_timeout(Duration::from_secs(10)), Ok(Ok(0)))
}

#[test]
fn what_is_in_the_queue_ends_with_it() {
    let queue = Collected::new().expect("a queue");
    let watched = [watched(&queue), watched(&queue)];
    drop(queue);
    assert!(watched.into_iter().all(closes));
}

#[test]
fn each_copy_is_taken_once() {
    let queue = Collected::new().expect("a queue");
    assert!(queue.take().is_none());
    let first = watched(&queue);
    drop(queue.take().expect("what was put in"));
    assert!(closes(first));
    let second = watched(&queue);
    let taken = queue.take().expect("what was put in then");
    assert!(queue.take().is_none());
    drop(queue);
    drop(taken);
    assert!(closes(second));
}
