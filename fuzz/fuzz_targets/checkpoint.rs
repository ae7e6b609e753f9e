//! No file breaks the reader of a checkpoint's state, and what it reads is written and read again unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};
use tokensieve_train::checkpoint::State;

fuzz_target!(|content: &[u8]| {
    check(content);
    // Whoever makes a hostile file computes its checksum too; without one, it may not name other files.
    let checksum = format!("# SHA-256 of the lines above: {:x}\n", Sha256::digest(content));
    check(&[content, checksum.as_bytes()].concat());
});

fn check(content: &[u8]) {
    let folder = tokensieve_fuzz::folder();
    tokensieve_fuzz::file("state.toml", content);
    let Ok(state) = State::load(folder) else { return };
    let _ = state.check_files(folder, |_| true);
    std::fs::remove_file(folder.join("state.toml")).expect("its own file");
    state.save(folder).expect("what is read can be written");
    let again = State::load(folder).expect("what is written can be read");
    // NaN is not itself.
    assert_eq!(format!("{:?}", State { files: state.files.clone(), ..again }), format!("{state:?}"));
}
