//! Lines of a packet script: `S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 7>`, the way the
//! stack's own Display writes segments.

use crate::stack::wire::tcp::{FastOpenCookie, Flags, Options, Seq, Timestamps};

/// A segment as a script tells it. What is left out is not compared, or has a default.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) flags: Flags,
    pub(crate) seq: u32,
    pub(crate) len: usize,
    pub(crate) ack: Option<u32>,
    pub(crate) window: Option<u16>,
    pub(crate) urgent: Option<u16>,
    /// `None`: no options are mentioned.
    pub(crate) options: Option<Options>,
}

/// Reads a segment; panics with the line if it makes no sense, for that is a mistake in the test.
pub(crate) fn parse(text: &str) -> Line {
    try_parse(text).unwrap_or_else(|| panic!("not a segment: {text}"))
}

fn try_parse(text: &str) -> Option<Line> {
    let (head, options) = match text.split_once('<') {
        Some((head, options)) => (head, Some(parse_options(options.trim_end_matches('>'))?)),
        None => (text, None),
    };
    let mut words = head.split_whitespace();
    let flags = parse_flags(words.next()?)?;
    let (seq, len) = parse_range(words.next()?)?;
    let mut line = Line {
        flags,
        seq,
        len,
        ack: None,
        window: None,
        urgent: None,
        options,
    };
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word {
            "ack" => line.ack = Some(number(value)?),
            "win" => line.window = Some(value.parse().ok()?),
            "urg" => line.urgent = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(line)
}

/// A sequence number; one before the start is written with a minus.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix('-') {
        Some(rest) => Some(0_u32.wrapping_sub(rest.parse().ok()?)),
        None => text.parse().ok(),
    }
}

fn parse_flags(text: &str) -> Option<Flags> {
    let mut flags = Flags(0);
    for letter in text.chars().filter(|&letter| letter != '_') {
        flags = flags.with(match letter {
            'F' => Flags::FIN,
            'S' => Flags::SYN,
            'R' => Flags::RST,
            'P' => Flags::PSH,
            '.' => Flags::ACK,
            'U' => Flags::URG,
            'E' => Flags::ECE,
            'W' => Flags::CWR,
            _ => return None,
        });
    }
    Some(flags)
}

/// `1:101(100)`.
fn parse_range(text: &str) -> Option<(u32, usize)> {
    let (seq, rest) = text.split_once(':')?;
    let (end, len) = rest.strip_suffix(')')?.split_once('(')?;
    let (seq, len) = (number(seq)?, len.parse().ok()?);
    (number(end)? == seq.wrapping_add(len as u32)).then_some((seq, len))
}

fn parse_options(text: &str) -> Option<Options> {
    let mut options = Options::default();
    for option in text.split(',') {
        let words: Vec<&str> = option.split_whitespace().collect();
        match words.as_slice() {
            ["nop"] | ["eol"] | [] => {}
            ["mss", mss] => options.mss = Some(mss.parse().ok()?),
            ["sackOK"] => options.sack_permitted = true,
            ["wscale", shift] => options.window_scale = Some(shift.parse().ok()?),
            ["TS", "val", value, "ecr", echo] => {
                options.timestamps = Some(Timestamps {
                    value: value.parse().ok()?,
                    echo: echo.parse().ok()?,
                });
            }
            ["sack", blocks @ ..] => {
                for block in blocks {
                    let (left, right) = block.split_once(':')?;
                    options.sack.push(Seq(number(left)?), Seq(number(right)?));
                }
            }
            ["FO"] => options.fast_open = Some(FastOpenCookie::REQUEST),
            ["FO", hex] => {
                let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
                let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
                options.fast_open = Some(FastOpenCookie::new(&bytes?)?);
            }
            _ => return None,
        }
    }
    Some(options)
}
