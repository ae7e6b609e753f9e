//! Checkpoints and what is read from them, against the public Python packages' results (tests/fixtures/*.py).
//! Needs libtorch and the default model (98 MB, fetched once).

use tch::Kind;
use tokensieve_llm::text::from_gguf::TokenizerSource;
use tokensieve_llm::weights::{Checkpoint, DEFAULT};

#[test]
fn the_default_model() {
    let checkpoint = Checkpoint::open(DEFAULT).unwrap();
    let config = checkpoint.config();
    println!("{config:?}");
    assert!(config.tied);
    assert_eq!(checkpoint.names().len(), 272);
    let q = checkpoint.tensor("model.layers.0.self_attn.q_proj.weight", Kind::Float).unwrap();
    println!("{:?} {}", q.size(), q.double_value(&[1, 0]));
    let TokenizerSource::Gguf(text) = checkpoint.tokenizer_source().unwrap() else { panic!("no GGUF") };
    println!("{:?}", text.tokenizer.encode("<|im_start|>user\nIt costs 125 dollars.<|im_end|>", false).unwrap().get_ids());
    println!("{:?}", checkpoint.hash());
}
