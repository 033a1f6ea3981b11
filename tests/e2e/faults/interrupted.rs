//! Preloaded into the daemon (F07): reads and writes of files that do what POSIX allows and nobody expects. Every
//! fifth is interrupted before it begins, most of the others do a part only. Compiled by the test that uses it.
//!
//! Nothing is ever said to be done that was not. Sockets and pipes are left alone: their readiness is told once,
//! and a made-up refusal would never be taken back.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
    fn fstat(fd: c_int, into: *mut u8) -> c_int;
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: i64 = 0;
    pub const WRITE: i64 = 1;
    pub const PREAD: i64 = 17;
    pub const PWRITE: i64 = 18;
    /// Where `struct stat` has the mode.
    pub const MODE_AT: usize = 24;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const READ: i64 = 63;
    pub const WRITE: i64 = 64;
    pub const PREAD: i64 = 67;
    pub const PWRITE: i64 = 68;
    /// Where `struct stat` has the mode.
    pub const MODE_AT: usize = 16;
}

const EINTR: c_int = 4;
/// The kind of a file in its mode, and that of a plain one.
const KIND: u32 = 0o170_000;
const PLAIN: u32 = 0o100_000;

static CALLS: AtomicU64 = AtomicU64::new(0);

/// How much of `count` bytes to do; none: interrupted.
fn part(count: usize) -> Option<usize> {
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    match call % 5 {
        0 => None,
        4 => Some(count),
        _ => Some(1 + (call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as usize % count.max(1)),
    }
}

fn interrupted() -> isize {
    // SAFETY: the C library gives every thread a valid place for its error number.
    unsafe { *__errno_location() = EINTR };
    -1
}

fn is_file(fd: c_int) -> bool {
    let mut stat = [0_u64; 32];
    let bytes = stat.as_mut_ptr().cast::<u8>();
    // SAFETY: the place is aligned and larger than `struct stat`; a wrong descriptor is an error like any other.
    let mode = unsafe {
        if fstat(fd, bytes) != 0 {
            return false;
        }
        bytes.add(number::MODE_AT).cast::<u32>().read()
    };
    mode & KIND == PLAIN
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, from: *const c_void, count: usize, at: i64) -> isize {
    let Some(count) = part(count) else { return interrupted() };
    // SAFETY: the caller's buffer, or a beginning of it.
    unsafe { syscall(number::PWRITE, fd, from, count, at) as isize }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(fd: c_int, into: *mut c_void, count: usize, at: i64) -> isize {
    let Some(count) = part(count) else { return interrupted() };
    // SAFETY: the caller's buffer, or a beginning of it.
    unsafe { syscall(number::PREAD, fd, into, count, at) as isize }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, from: *const c_void, count: usize) -> isize {
    let part = if is_file(fd) { part(count) } else { Some(count) };
    let Some(count) = part else { return interrupted() };
    // SAFETY: the caller's buffer, or a beginning of it.
    unsafe { syscall(number::WRITE, fd, from, count) as isize }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, into: *mut c_void, count: usize) -> isize {
    let part = if is_file(fd) { part(count) } else { Some(count) };
    let Some(count) = part else { return interrupted() };
    // SAFETY: the caller's buffer, or a beginning of it.
    unsafe { syscall(number::READ, fd, into, count) as isize }
}
