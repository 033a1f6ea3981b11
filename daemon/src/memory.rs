//! What the allocator keeps: glibc holds on to freed memory, per thread and for good, which an always-on daemon that
//! once worked through a large body would show for ever.
//!
//! Must never be needed for anything to be right: elsewhere than on glibc, nothing is done.

/// Few arenas, and large blocks that go back to the system as soon as they are freed. For the start of the process,
/// before there are threads.
pub fn tune() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // What is used again and again (windows of zstd, bodies of the usual sizes) must not be mapped and zeroed each time.
        const LARGE: libc::c_int = 4 << 20;
        const KEPT: libc::c_int = 8 << 20;
        for (parameter, value) in
            [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, KEPT)]
        {
            #[allow(unsafe_code, reason = "there is no safe wrapper")]
            // SAFETY: mallopt only sets a parameter of the allocator; it takes no pointers.
            unsafe {
                libc::mallopt(parameter, value);
            }
        }
    }
}

/// Gives freed memory back to the system. For a moment of rest: it takes a millisecond or so.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "there is no safe wrapper")]
    // SAFETY: malloc_trim may be called at any time from any thread; memory in use is not touched.
    unsafe {
        libc::malloc_trim(0);
    }
}
