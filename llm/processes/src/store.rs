//! torch's `TCPStore`: a table of keys and values that one process keeps and all others read and write. torchrun's agent
//! keeps one, so a program that it started finds the others as a program in Python would.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;
use std::slice;
use std::time::Duration;

use crate::error::Error;

unsafe extern "C" {
    fn ts_store_open(
        host: *const c_char,
        port: u16,
        listens: bool,
        milliseconds: i64,
        store: *mut *mut c_void,
        found: *mut u16,
    ) -> *mut c_char;
    fn ts_store_set(store: *mut c_void, key: *const c_char, value: *const u8, length: usize) -> *mut c_char;
    fn ts_store_get(
        store: *mut c_void,
        key: *const c_char,
        milliseconds: i64,
        value: *mut *mut u8,
        length: *mut usize,
    ) -> *mut c_char;
    fn ts_store_count(store: *mut c_void, key: *const c_char, sum: *mut i64) -> *mut c_char;
    fn ts_store_close(store: *mut c_void);
}

/// A connection to the store; of the process that keeps it, the store.
#[derive(Debug)]
pub struct Store {
    store: *mut c_void,
    port: u16,
}

// SAFETY: torch's class locks what its calls use.
unsafe impl Send for Store {}

impl Store {
    /// Keeps a store on a port; 0 takes a free one.
    pub fn keep(host: &str, port: u16, patience: Duration) -> Result<Self, Error> {
        Self::open(host, port, true, patience)
    }

    /// Connects with the store that another process keeps, and waits for it that long.
    pub fn connect(host: &str, port: u16, patience: Duration) -> Result<Self, Error> {
        Self::open(host, port, false, patience)
    }

    fn open(host: &str, port: u16, listens: bool, patience: Duration) -> Result<Self, Error> {
        let (mut store, mut found) = (null_mut(), 0);
        let host = text(host)?;
        let milliseconds = milliseconds(patience);
        // SAFETY: a string that lives through the call, which fills in the store and its port unless it gives a message.
        let message = unsafe {
            ts_store_open(host.as_ptr(), port, listens, milliseconds, &raw mut store, &raw mut found)
        };
        complaint(message).map_or(Ok(Self { store, port: found }), |what| Err(Error::Store(what)))
    }

    /// The port that it is found at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets a key.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let key = text(key)?;
        // SAFETY: the store is open; key and value live through the call.
        let message = unsafe { ts_store_set(self.store, key.as_ptr(), value.as_ptr(), value.len()) };
        complaint(message).map_or(Ok(()), |what| Err(Error::Store(what)))
    }

    /// A key's value, when it is set; that long it may take.
    pub fn get(&self, key: &str, patience: Duration) -> Result<Vec<u8>, Error> {
        let key = text(key)?;
        let (mut value, mut length) = (null_mut(), 0);
        let milliseconds = milliseconds(patience);
        // SAFETY: the store is open; the call fills in the value unless it gives a message.
        let message =
            unsafe { ts_store_get(self.store, key.as_ptr(), milliseconds, &raw mut value, &raw mut length) };
        if let Some(what) = complaint(message) {
            return Err(Error::Store(what));
        }
        // SAFETY: so many bytes, allocated for this caller.
        let bytes = unsafe { slice::from_raw_parts(value, length) }.to_vec();
        // SAFETY: freed once, and not used again.
        unsafe { libc::free(value.cast()) };
        Ok(bytes)
    }

    /// Adds one to the number of a key, which begins at 0, and gives the sum.
    pub fn count(&self, key: &str) -> Result<i64, Error> {
        let key = text(key)?;
        let mut sum = 0;
        // SAFETY: the store is open; the key lives through the call, which fills in the sum unless it gives a message.
        let message = unsafe { ts_store_count(self.store, key.as_ptr(), &raw mut sum) };
        complaint(message).map_or(Ok(sum), |what| Err(Error::Store(what)))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once.
        unsafe { ts_store_close(self.store) };
    }
}

fn text(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Store(format!("`{}` holds a zero byte", text.escape_debug())))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// What libtorch complained of, if it did.
fn complaint(message: *mut c_char) -> Option<String> {
    if message.is_null() {
        return None;
    }
    // SAFETY: a string from `strdup`, freed once.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: it is freed once, and not used again.
    unsafe { libc::free(message.cast()) };
    Some(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn what_one_sets_the_other_gets() {
        let kept = Store::keep("127.0.0.1", 0, PATIENCE).unwrap();
        let other = Store::connect("127.0.0.1", kept.port(), PATIENCE).unwrap();
        other.set("a/b", &[0, 255, 7]).unwrap();
        assert_eq!(kept.get("a/b", PATIENCE).unwrap(), [0, 255, 7]);
        other.set("empty", &[]).unwrap();
        assert!(kept.get("empty", PATIENCE).unwrap().is_empty());
        assert!(kept.get("nobody", Duration::from_millis(50)).is_err());
        assert_eq!([kept.count("n"), other.count("n"), kept.count("m")].map(Result::unwrap), [1, 2, 1]);
    }

    #[test]
    fn a_port_that_is_taken_is_an_error() {
        let kept = Store::keep("127.0.0.1", 0, PATIENCE).unwrap();
        let error = Store::keep("127.0.0.1", kept.port(), PATIENCE).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
    }
}
