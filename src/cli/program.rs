//! The program to run: where it is, and whether preloading reaches its sockets.
//!
//! `LD_PRELOAD` is a service of the dynamic loader. It is not given to static programs (no loader
//! runs), to programs of another machine type or C library, and to programs that gain rights by being
//! executed (ld.so(8), secure-execution mode). It is given in vain to programs that do not make their
//! calls by the C library, as Go's. Those run on the kernel, and the user is told before.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, getxattr};
use rustix::process::{getgid, getuid};

use super::{NOT_EXECUTABLE, NOT_FOUND};

/// Why there is nothing to execute: the exit status and a sentence.
pub(crate) type Refusal = (u8, String);

/// Set-user-ID and set-group-ID mode bits (inode(7)).
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
/// `PT_INTERP` of elf(5): the segment that names the loader.
const PT_INTERP: u32 = 3;
/// `PT_NOTE`: a segment of notes.
const PT_NOTE: u32 = 4;
/// The note that Go's linker leaves: its owner and its type, as they lie in the file.
const GO_BUILD_ID: Note<'static> = (b"Go\0\0", 4);
/// Bytes of a segment looked at; notes and the loader's name are shorter.
const MAX_SEGMENT: u64 = 4096;
/// Program headers looked at; a real program has about a dozen.
const MAX_PROGRAM_HEADERS: u16 = 256;

/// Finds the program as execvp(3) would.
pub(crate) fn find(name: &OsStr) -> Result<PathBuf, Refusal> {
    if name.as_bytes().contains(&b'/') {
        return check_executable(Path::new(name)).map(|()| name.into());
    }
    let mut refusal = None;
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    for folder in env::split_paths(&path) {
        let candidate = folder.join(name);
        match check_executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err((NOT_FOUND, _)) => {}
            Err(other) => refusal = refusal.or(Some(other)),
        }
    }
    let name = name.display();
    Err(refusal.unwrap_or((NOT_FOUND, format!("no program '{name}' in PATH"))))
}

fn check_executable(path: &Path) -> Result<(), Refusal> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err((NOT_FOUND, format!("there is no program {shown}")))
        }
        Err(error) => Err((NOT_EXECUTABLE, format!("cannot execute {shown}: {error}"))),
        Ok(metadata) if !metadata.is_file() => Err((
            NOT_EXECUTABLE,
            format!("cannot execute {shown}: it is no regular file"),
        )),
        Ok(_) if access(path.as_os_str().as_bytes(), Access::EXEC_OK).is_err() => {
            Err((NOT_EXECUTABLE, format!("no permission to execute {shown}")))
        }
        Ok(_) => Ok(()),
    }
}

/// Why preloading the library does not reach this program's sockets; `None`: it does, as far as the
/// file tells.
pub(crate) fn preload_obstacle(path: &Path) -> Option<String> {
    let shown = path.display();
    if let Some(how) = gains_rights(path) {
        return Some(format!(
            "{shown} {how}, and the loader preloads nothing into such programs"
        ));
    }
    match inspect(path) {
        Image::Unknown | Image::Dynamic => None,
        Image::Script(interpreter) => preload_obstacle_of_binary(&interpreter)
            .map(|why| format!("{shown} is a script, and its interpreter {why}")),
        other => obstacle(&other).map(|why| format!("{shown} {why}")),
    }
}

/// The same for a script's interpreter, which must not be a script again.
fn preload_obstacle_of_binary(path: &Path) -> Option<String> {
    obstacle(&inspect(path)).map(|why| format!("{} {why}", path.display()))
}

fn obstacle(image: &Image) -> Option<String> {
    match image {
        Image::Static => Some("is a static program: no loader runs that could preload".into()),
        Image::Go => Some("is a Go program, which makes its sockets past the C library".into()),
        Image::Foreign => Some("is built for another kind of machine than the library".into()),
        Image::OtherLibc(loader) => Some(format!(
            "uses the loader {loader}, and the library is built for the GNU C library"
        )),
        Image::Unknown | Image::Dynamic | Image::Script(_) => None,
    }
}

/// Will executing this file give rights that we do not have? Then AT_SECURE is set.
fn gains_rights(path: &Path) -> Option<&'static str> {
    let metadata = fs::metadata(path).ok()?;
    let (user, group) = (getuid(), getgid());
    if metadata.mode() & SET_USER_ID != 0 && metadata.uid() != user.as_raw() {
        return Some("is a set-user-ID program");
    }
    if metadata.mode() & SET_GROUP_ID != 0 && metadata.gid() != group.as_raw() {
        return Some("is a set-group-ID program");
    }
    let mut value = [0; 64];
    if !user.is_root()
        && getxattr(
            path.as_os_str().as_bytes(),
            "security.capability",
            &mut value,
        )
        .is_ok()
    {
        return Some("has file capabilities");
    }
    None
}

/// What a file turns out to be, as far as it matters for preloading.
enum Image {
    /// No ELF file and no script, or not readable: the kernel will decide.
    Unknown,
    /// Begins with `#!`.
    Script(PathBuf),
    /// Names the GNU loader.
    Dynamic,
    /// Names no loader.
    Static,
    /// Names the GNU loader, but Go's runtime makes its calls.
    Go,
    /// ELF, but not of this command's class and machine.
    Foreign,
    /// Names another loader than the GNU one.
    OtherLibc(String),
}

fn inspect(path: &Path) -> Image {
    let Ok(mut file) = File::open(path) else {
        return Image::Unknown;
    };
    let mut head = Vec::new();
    if file.by_ref().take(256).read_to_end(&mut head).is_err() {
        return Image::Unknown;
    }
    if let Some(line) = head.strip_prefix(b"#!") {
        return script(line);
    }
    if head.len() < 64 || !head.starts_with(b"\x7fELF") {
        return Image::Unknown;
    }
    // Class (64 bit), byte order (little) and machine, as elf(5) lays them out.
    if head[4] != 2 || head[5] != 1 || head[18..20] != machine().to_le_bytes() {
        return Image::Foreign;
    }
    match loader(&file, &head) {
        None => Image::Static,
        Some(_) if is_go(&file, &head) => Image::Go,
        Some(name) if name.contains("/ld-linux") => Image::Dynamic,
        Some(name) => Image::OtherLibc(name),
    }
}

/// `e_machine` of the programs this command's own build can run.
fn machine() -> u16 {
    if cfg!(target_arch = "aarch64") {
        libc::EM_AARCH64
    } else {
        libc::EM_X86_64
    }
}

fn script(line: &[u8]) -> Image {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    let Some(interpreter) = words.next() else {
        return Image::Unknown;
    };
    let interpreter = Path::new(OsStr::from_bytes(interpreter));
    // `#!/usr/bin/env python3` says the interpreter in its second word.
    if interpreter.file_name() == Some(OsStr::new("env"))
        && let Some(name) = words.find(|word| !word.starts_with(b"-"))
        && let Ok(found) = find(OsStr::from_bytes(name))
    {
        return Image::Script(found);
    }
    Image::Script(interpreter.into())
}

/// The loader that an ELF file names in its PT_INTERP segment.
fn loader(file: &File, head: &[u8]) -> Option<String> {
    let segment = segments(file, head, PT_INTERP).next()?;
    let name = segment.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Whether Go's linker made an ELF file.
fn is_go(file: &File, head: &[u8]) -> bool {
    segments(file, head, PT_NOTE).any(|segment| {
        let notes = std::iter::successors(note(&segment), |(_, rest)| note(rest));
        let mut owners = notes.map(|(note, _)| note);
        owners.any(|note| note == GO_BUILD_ID)
    })
}

/// A note's owner and type (elf(5)).
type Note<'a> = (&'a [u8], u32);

/// The first of these notes, and what follows it.
fn note(notes: &[u8]) -> Option<(Note<'_>, &[u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(notes.get(at..at + 4)?.try_into().ok()?));
    let (owner, description, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let notes = &notes[12..];
    let next = owner
        .checked_next_multiple_of(4)?
        .checked_add(description.checked_next_multiple_of(4)?)?;
    Some(((notes.get(..owner)?, kind), notes.get(next..)?))
}

/// The segments of one kind in a 64-bit little-endian ELF file, as far as they can be read.
fn segments(file: &File, head: &[u8], kind: u32) -> impl Iterator<Item = Vec<u8>> {
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let table = u64_at(head, 32);
    let (entry_size, entries) = (half(54), half(56).min(MAX_PROGRAM_HEADERS));
    (0..entries).filter_map(move |index| {
        let mut entry = [0; 56];
        let offset = u64::from(index) * u64::from(entry_size);
        file.read_exact_at(&mut entry, table.checked_add(offset)?)
            .ok()?;
        if entry[..4] != kind.to_le_bytes() {
            return None;
        }
        let mut segment = vec![0; u64_at(&entry, 32).min(MAX_SEGMENT) as usize];
        let length = file.read_at(&mut segment, u64_at(&entry, 8)).ok()?;
        segment.truncate(length);
        Some(segment)
    })
}

/// `bytes` is longer than `at` by eight.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
