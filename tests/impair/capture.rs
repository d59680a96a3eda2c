use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::block_common::Block;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use rustix::io::Errno;

use crate::link::{Capture, Checksum, Frame, Link, RECEIVE_BUFFER};
use crate::wire::Wire;

/// A file's path, removed in the end.
struct Path(PathBuf);

impl Path {
    fn new(name: &str) -> Self {
        let name = format!("sidestack-{name}-{}.pcapng", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("path")
    }

    /// Sections, and the packets' bytes with their directions.
    fn contents(&self) -> (usize, Vec<(Vec<u8>, u32)>) {
        let file = std::fs::File::open(&self.0).expect("capture");
        let mut reader = PcapNgReader::new(file).expect("pcapng");
        let (mut sections, mut packets) = (1, Vec::new());
        while let Some(block) = reader.next_block() {
            match block.expect("block").0 {
                Block::SectionHeader(_) => sections += 1,
                Block::EnhancedPacket(packet) => {
                    assert!(packet.timestamp.as_secs() > 1_700_000_000);
                    let [EnhancedPacketOption::Flags(flags)] = packet.options[..] else {
                        panic!("options {:?}", packet.options);
                    };
                    packets.push((packet.data.to_vec(), flags));
                }
                _ => {}
            }
        }
        (sections, packets)
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

thread_local! {
    /// Why captures of this test have ended before their time.
    static ENDED: RefCell<Vec<Errno>> = const { RefCell::new(Vec::new()) };
}

fn ended(errno: Errno) {
    ENDED.with_borrow_mut(|ended| ended.push(errno));
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame {
        header: bytes,
        payload: &[],
        offload: None,
        ..Frame::default()
    }
}

#[test]
fn both_directions_are_written_at_the_end_of_a_pass() {
    let path = Path::new("both");
    let mut wire = Wire::new();
    wire.room = 1;
    wire.arriving.push_back((vec![1; 60], Checksum::Verify));
    let mut link = Capture::create(wire, path.name(), "eth0", ended).expect("capture");
    let mut buffer = vec![0; RECEIVE_BUFFER];
    assert!(link.receive(&mut buffer).expect("receive").is_some());
    assert!(link.receive(&mut buffer).expect("receive").is_none());
    let parts = Frame {
        header: &[2; 54],
        payload: &[&[3; 1000], &[4; 1]],
        offload: None,
        ..Frame::default()
    };
    // Only what was taken is captured.
    assert_eq!(link.transmit(&[parts, frame(&[9; 60])]), Ok(1));
    assert_eq!(path.contents().1.len(), 0);
    link.flush();
    let (sections, packets) = path.contents();
    let sent = [vec![2; 54], vec![3; 1000], vec![4; 1]].concat();
    assert_eq!(packets, [(vec![1; 60], 1), (sent, 2)]);
    assert_eq!(sections, 1);
}

#[test]
fn super_packets_are_whole_and_nothing_is_lost_at_the_end() {
    let path = Path::new("super");
    let mut link = Capture::create(Wire::new(), path.name(), "eth0", ended).expect("capture");
    let big = vec![5; 65_000];
    for _ in 0..100 {
        assert_eq!(link.transmit(&[frame(&big)]), Ok(1));
    }
    drop(link);
    let (_, packets) = path.contents();
    assert_eq!(packets.len(), 100);
    assert!(packets.iter().all(|(bytes, _)| *bytes == big));
}

#[test]
fn processes_share_a_file() {
    let path = Path::new("shared");
    let open = || Capture::create(Wire::new(), path.name(), "eth0", ended).expect("capture");
    let (mut one, mut other) = (open(), open());
    for n in 0..10 {
        assert_eq!(one.transmit(&[frame(&[n; 61])]), Ok(1));
        assert_eq!(other.transmit(&[frame(&[n; 62])]), Ok(1));
        one.flush();
        other.flush();
    }
    let (sections, packets) = path.contents();
    assert_eq!((sections, packets.len()), (2, 20));
}

#[test]
fn a_failed_capture_does_not_disturb_the_traffic() {
    let mut link = Capture::create(Wire::new(), "/dev/full", "eth0", ended).map(drop);
    assert_eq!(link, Err(Errno::NOSPC));
    link = Capture::create(Wire::new(), "/nonexistent/x", "eth0", ended).map(drop);
    assert_eq!(link, Err(Errno::NOENT));
    assert_eq!(ENDED.take(), []);
}

#[test]
fn a_capture_that_breaks_ends_alone() {
    let (reader, writer) = std::io::pipe().expect("pipe");
    let name = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut link = Capture::create(Wire::new(), &name, "eth0", ended).expect("capture");
    assert_eq!(link.transmit(&[frame(&[1; 60])]), Ok(1));
    link.flush();
    assert_eq!(link.statistics().capture_error, None);
    drop(reader);
    assert_eq!(link.transmit(&[frame(&[1; 60])]), Ok(1));
    link.flush();
    assert_eq!(link.statistics().capture_error, Some(Errno::AGAIN));
    assert_eq!(link.transmit(&[frame(&[1; 60])]), Ok(1));
    link.flush();
    assert_eq!(ENDED.take(), [Errno::AGAIN]);
}
