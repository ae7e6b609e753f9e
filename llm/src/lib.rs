//! Language models on libtorch. So far: what this machine's libtorch is and how fast it multiplies, for
//! `tokensieve doctor`.

pub mod machine;
