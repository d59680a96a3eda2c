//! Choosing a port where the kernel does not.

/// Which ports come first: Linux gives connect(2) the even ones and bind(2) the odd ones.
#[derive(Clone, Copy)]
pub(super) enum Parity {
    Even,
    Odd,
}

/// A port of the range for which `is_free` holds, from a random start on.
pub(super) fn pick(
    range: (u16, u16),
    state: &mut u64,
    first: Parity,
    is_free: impl Fn(u16) -> bool,
) -> Option<u16> {
    // An LCG's high bits are good enough to start from: the range is scanned from there.
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let count = u32::from(range.1.saturating_sub(range.0)) + 1;
    let start = (*state >> 33) as u32 % count;
    let scan = |parity: Parity| {
        (0..count)
            .map(move |step| range.0 + ((start + step) % count) as u16)
            .filter(move |port| port % 2 == parity as u16)
    };
    let second = match first {
        Parity::Even => Parity::Odd,
        Parity::Odd => Parity::Even,
    };
    scan(first).chain(scan(second)).find(|&port| is_free(port))
}
