//! The language of SIDESTACK_IMPAIR: `loss=1%,delay=20ms,rate=100mbit,seed=7`.

use std::fmt;
use std::num::NonZeroU64;

/// What becomes of our own frames, in both directions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impairments {
    /// The share of frames that is lost, 0 to 1.
    pub loss: f64,
    /// Nanoseconds every frame is late.
    pub delay: u64,
    /// Nanoseconds a frame may be earlier or later than that.
    pub jitter: u64,
    /// The share of frames that leaves its place in the order.
    pub reorder: f64,
    /// The share of frames that arrives twice.
    pub duplicate: f64,
    /// The share of frames with a wrong bit.
    pub corrupt: f64,
    /// Bits a second; `None`: no limit.
    pub rate: Option<NonZeroU64>,
    /// Makes it all repeatable.
    pub seed: Option<u64>,
}

/// What is wrong with a description of impairments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImpairError(String);

impl fmt::Display for ImpairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Impairments {
    /// Reads a description.
    ///
    /// # Errors
    /// A sentence that names the item and what was expected of it.
    pub fn parse(text: &str) -> Result<Self, ImpairError> {
        let mut impairments = Self::default();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            impairments
                .set(name.trim(), value.trim())
                .map_err(|expected| {
                    ImpairError(format!(
                        "unknown item \"{item}\" in SIDESTACK_IMPAIR; expected {expected}"
                    ))
                })?;
        }
        Ok(impairments)
    }

    /// Sets one item, or says what was expected.
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "loss" => self.loss = share(value).ok_or("a share such as loss=1%")?,
            "delay" => self.delay = time(value).ok_or("a time such as delay=20ms")?,
            "jitter" => self.jitter = time(value).ok_or("a time such as jitter=5ms")?,
            "reorder" => self.reorder = share(value).ok_or("a share such as reorder=2%")?,
            "duplicate" => self.duplicate = share(value).ok_or("a share such as duplicate=1%")?,
            "corrupt" => self.corrupt = share(value).ok_or("a share such as corrupt=0.1%")?,
            "rate" => self.rate = Some(rate(value).ok_or("a rate such as rate=100mbit")?),
            "seed" => self.seed = Some(value.parse().map_err(|_| "a number such as seed=1")?),
            _ => {
                return Err("loss, delay, jitter, reorder, duplicate, corrupt, rate or seed");
            }
        }
        Ok(())
    }
}

/// `1%`, or `0.01`.
fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(number) => decimal(number)? / 100.0,
        None => decimal(text)?,
    };
    (share <= 1.0).then_some(share)
}

/// `20ms`, in nanoseconds.
fn time(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];
    Some(scaled(text, &UNITS)? as u64)
}

/// `100mbit`, in bits a second; powers of ten, as tc(8) has them.
fn rate(text: &str) -> Option<NonZeroU64> {
    const UNITS: [(&str, f64); 4] = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9), ("bit", 1.0)];
    NonZeroU64::new(scaled(&text.to_ascii_lowercase(), &UNITS)? as u64)
}

/// A number with a unit.
fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    units
        .iter()
        .find_map(|(unit, factor)| Some(decimal(text.strip_suffix(unit)?)? * factor))
}

/// Digits with at most one point: no sign, no exponent, no infinity.
fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}
