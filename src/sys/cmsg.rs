//! Control messages (cmsg(3)) as bytes: a header, the data, and nothing up to the next multiple of [`ALIGN`].

/// Bytes of a `struct cmsghdr`.
pub const HEADER: usize = size_of::<libc::cmsghdr>();
/// Messages begin at multiples of this.
pub const ALIGN: usize = size_of::<usize>();

/// One control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its level (SOL_SOCKET, IPPROTO_IP, ...).
    pub level: i32,
    /// Its type.
    pub kind: i32,
    /// Its data.
    pub data: &'a [u8],
}

/// The first message of `control`, and what is behind it. `None`: none is there, or it is longer than what is.
pub fn first(control: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let (len, rest) = control.split_first_chunk()?;
    let (level, rest) = rest.split_first_chunk()?;
    let (kind, _) = rest.split_first_chunk()?;
    let len = usize::from_ne_bytes(*len);
    let message = Message {
        level: i32::from_ne_bytes(*level),
        kind: i32::from_ne_bytes(*kind),
        data: control.get(HEADER..len)?,
    };
    let behind = control.get(len.next_multiple_of(ALIGN)..);
    Some((message, behind.unwrap_or_default()))
}

/// The header of a message of `len` bytes, itself included.
pub fn header(len: usize, level: i32, kind: i32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let (size, rest) = header.split_at_mut(size_of::<usize>());
    let (first, second) = rest.split_at_mut(size_of::<i32>());
    size.copy_from_slice(&len.to_ne_bytes());
    first.copy_from_slice(&level.to_ne_bytes());
    second.copy_from_slice(&kind.to_ne_bytes());
    header
}

/// Puts a message behind those that are in `control`.
pub fn push(control: &mut Vec<u8>, level: i32, kind: i32, data: &[u8]) {
    control.extend_from_slice(&header(HEADER + data.len(), level, kind));
    control.extend_from_slice(data);
    control.resize(control.len().next_multiple_of(ALIGN), 0);
}
