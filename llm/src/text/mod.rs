//! Tokens, chat templates, and what is trained on.
