//! launchd's sockets: each is asked for by its name in the agent's `Sockets`.

use std::os::fd::RawFd;

/// None: it is not macOS.
#[cfg(not(target_os = "macos"))]
pub(super) fn sockets() -> Vec<(RawFd, String)> {
    Vec::new()
}

/// All that have one of our names; none where launchd did not start us. A name that stands for two addresses comes
/// twice.
#[cfg(target_os = "macos")]
pub(super) fn sockets() -> Vec<(RawFd, String)> {
    let of = |name: super::Name| activate(name).into_iter().map(move |fd| (fd, name.as_str().to_owned()));
    super::Name::ALL.into_iter().flat_map(of).collect()
}

#[cfg(target_os = "macos")]
#[allow(unsafe_code, reason = "launchd hands sockets over by a C function alone")]
fn activate(name: super::Name) -> Vec<RawFd> {
    unsafe extern "C" {
        fn launch_activate_socket(
            name: *const libc::c_char,
            fds: *mut *mut libc::c_int,
            count: *mut libc::size_t,
        ) -> libc::c_int;
    }
    let name = match name {
        super::Name::Proxy => c"proxy",
        super::Name::Web => c"web",
        super::Name::Hook => c"hook",
        super::Name::Control => c"control",
    };
    let mut fds: *mut libc::c_int = std::ptr::null_mut();
    let mut count: libc::size_t = 0;
    // SAFETY: the name ends in a NUL byte and lives throughout; both results are valid places to write to, and are
    // written before 0 is returned.
    let failed = unsafe { launch_activate_socket(name.as_ptr(), &raw mut fds, &raw mut count) };
    if failed != 0 || fds.is_null() {
        return Vec::new();
    }
    // SAFETY: on success `fds` is an array of `count` numbers, ours to read and to free, once.
    unsafe {
        let all = std::slice::from_raw_parts(fds, count).to_vec();
        libc::free(fds.cast());
        all
    }
}
