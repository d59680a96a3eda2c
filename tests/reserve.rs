//! The memory that the library has when there is no other.

#[path = "../src/sys/reserve.rs"]
mod reserve;

use std::alloc::Layout;
use std::thread;

use reserve::{Reserve, SIZE};

static RESERVE: Reserve = Reserve::new();
/// More than this is not given to one.
const MOST: usize = SIZE / 8;

fn of(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

/// All that can be had in pieces of a size, given back at once.
fn pieces(size: usize) -> usize {
    let mut had = Vec::new();
    loop {
        let piece = RESERVE.allocate(of(size));
        if piece.is_null() {
            break;
        }
        assert!(RESERVE.has(piece) && RESERVE.has(piece.wrapping_add(size - 1)));
        assert!(!had.contains(&piece), "given twice");
        had.push(piece);
    }
    had.iter().for_each(|piece| RESERVE.free(*piece, of(size)));
    had.len()
}

/// Takes and gives back by chance, some at a time, and looks whether anybody else has written there.
fn churn(mut chance: u64) {
    let mut held: Vec<(*mut u8, usize, u8)> = Vec::new();
    for _ in 0..20_000 {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        if held.len() == 8 {
            let (piece, size, mark) = held.remove(chance as usize % 8);
            // SAFETY: the piece is this thread's, and was filled.
            let bytes = unsafe { std::slice::from_raw_parts(piece, size) };
            assert!(bytes.iter().all(|&byte| byte == mark));
            RESERVE.free(piece, of(size));
        }
        let size = 1
            + (chance >> 8) as usize
                % if chance.is_multiple_of(64) {
                    MOST
                } else {
                    9000
                };
        let (piece, mark) = (RESERVE.allocate(of(size)), chance as u8);
        if !piece.is_null() {
            // SAFETY: there is room for as many bytes.
            unsafe { piece.write_bytes(mark, size) };
            held.push((piece, size, mark));
        }
    }
    held.iter()
        .for_each(|(piece, size, _)| RESERVE.free(*piece, of(*size)));
}

#[test]
fn what_is_given_is_one_s_own_and_comes_back() {
    for (size, many) in [
        (1, SIZE / 1024),
        (1024, SIZE / 1024),
        (3000, SIZE / 65536 * 21),
        (65_536, SIZE / 65536),
        (65_537, SIZE / 65536 / 2),
        (MOST, 8),
        (MOST + 1, 0),
    ] {
        assert_eq!(pieces(size), many, "pieces of {size}");
    }
    thread::scope(|scope| {
        for number in 1..=4 {
            scope.spawn(move || churn(number * 0x1234_5678_9abc_def1));
        }
    });
    assert_eq!(pieces(MOST), 8);
    assert!(
        RESERVE
            .allocate(Layout::from_size_align(64, 4096).expect("a layout"))
            .is_null()
    );
}
