//! Frames made by hand: Ethernet, IPv4, and UDP or TCP.

use std::net::Ipv4Addr;

/// An end of the veth pair.
#[derive(Clone, Copy)]
pub struct End {
    pub hardware: [u8; 6],
    pub address: Ipv4Addr,
    pub port: u16,
}

/// A whole UDP frame without UDP checksum (RFC 768 allows that over IPv4).
pub fn udp(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let mut frame = ip(from, to, 17, 8 + payload.len());
    frame.extend(from.port.to_be_bytes());
    frame.extend(to.port.to_be_bytes());
    frame.extend((8 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// The headers of a TCP segment with ACK and PSH; the checksum field holds the pseudo-header sum.
pub fn tcp_header(from: End, to: End, payload_len: usize) -> Vec<u8> {
    let mut frame = ip(from, to, 6, 20 + payload_len);
    let pseudo = sum(&frame[26..34]) + 6 + (20 + payload_len as u32);
    frame.extend(from.port.to_be_bytes());
    frame.extend(to.port.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff]);
    frame.extend(fold(pseudo).to_be_bytes());
    frame.extend([0, 0]);
    frame
}

fn ip(from: End, to: End, protocol: u8, length: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(to.hardware);
    frame.extend(from.hardware);
    frame.extend([0x08, 0x00, 0x45, 0]);
    let whole = u16::try_from(20 + length).unwrap_or(0);
    frame.extend(whole.to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(from.address.octets());
    frame.extend(to.address.octets());
    let checksum = !fold(sum(&frame[14..34]));
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// The Internet checksum's sum (RFC 1071), unfolded.
pub fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

/// Folds a sum into 16 bits.
pub fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
