//! No GGUF file breaks the reader; every tensor that it lists can be read, and a model opened.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tch::{Device, Kind};
use tokensieve_model::Model;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::{Checkpoint, gguf::Gguf};

fuzz_target!(|content: &[u8]| {
    let path = tokensieve_fuzz::file("model.gguf", content);
    let Ok(gguf) = Gguf::open(&path) else { return };
    for name in gguf.tensors().keys() {
        let _ = gguf.tensor(name, Kind::Float);
    }
    drop(gguf);
    let Ok(checkpoint) = Checkpoint::open(&path.to_string_lossy()) else { return };
    let _ = (Model::load(&checkpoint, Kind::Float, Device::Cpu).is_ok(), Tokenizer::open(&checkpoint).is_ok());
});
