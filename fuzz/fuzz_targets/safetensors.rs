//! No safetensors file breaks the reader; every tensor that it lists can be read, and a model opened.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tch::{Device, Kind};
use tokensieve_model::Model;
use tokensieve_model::weights::Checkpoint;

fuzz_target!(|content: &[u8]| {
    let folder = tokensieve_fuzz::model();
    tokensieve_fuzz::file("model.safetensors", content);
    let Ok(checkpoint) = Checkpoint::open(&folder.to_string_lossy()) else { return };
    for name in checkpoint.names() {
        let _ = checkpoint.tensor(&name, Kind::Float);
    }
    let _ = Model::load(&checkpoint, Kind::Float, Device::Cpu).is_ok();
});
