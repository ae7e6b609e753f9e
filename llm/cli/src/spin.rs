//! Bounds how long libgomp's threads look for work before they sleep.
//!
//! With libgomp's own limit, two programs that share the cores slow each other down tenfold (docs/LOG.md, 2026-11-20).
//! libgomp reads its limit from the environment when it is loaded, so a variable that `main` sets comes too late. The
//! program therefore starts itself once more, with the variable, before any library's initialisers have run: those take
//! 0.25 seconds, what lies before them 0.02 (docs/LOG.md, 2026-11-23).
#![allow(unsafe_code)]
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

/// Turns of the loop, measured on two cores (docs/LOG.md, 2026-11-29): a program alone is as fast as with 20,000, and two
/// side by side take little longer than one after the other, where 20,000 makes them five times as slow.
const LIMIT: &CStr = c"GOMP_SPINCOUNT=1000";
/// Whoever sets one of these has decided.
const DECIDED: [&[u8]; 2] = [b"GOMP_SPINCOUNT=", b"OMP_WAIT_POLICY="];

/// Linux with glibc calls the functions of this section before it initialises the libraries.
#[used]
#[unsafe(link_section = ".preinit_array")]
static BEFORE_LIBRARIES: unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char) =
    start_again;

/// Replaces the process by the same program with a limit; where that cannot be, the program goes on without one.
///
/// # Safety
///
/// `arguments` and `environment` are those of the process: texts, and a null pointer after the last one.
unsafe extern "C" fn start_again(
    _: c_int,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) {
    let mut with_limit = Vec::new();
    // SAFETY: the environment ends with a null pointer, and nobody else runs yet who could change it.
    unsafe {
        let mut entry = environment;
        while !(*entry).is_null() {
            if DECIDED.iter().any(|name| CStr::from_ptr(*entry).to_bytes().starts_with(name)) {
                return;
            }
            with_limit.push(*entry);
            entry = entry.add(1);
        }
    }
    with_limit.extend([LIMIT.as_ptr(), ptr::null()]);
    let mut program = [0; libc::PATH_MAX as usize];
    // SAFETY: the link's text fits into the buffer with a zero after it; the lists end with null pointers.
    unsafe {
        // Where somebody named the loader as the program, the kernel had none to load, and the link leads to it.
        let is_loader = libc::getauxval(libc::AT_BASE) == 0;
        let length = libc::readlink(c"/proc/self/exe".as_ptr(), program.as_mut_ptr(), program.len() - 1);
        if length > 0 && !is_loader {
            libc::execve(program.as_ptr(), arguments, with_limit.as_ptr());
        }
    }
}
