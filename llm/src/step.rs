//! One optimizer step's gradient: batch → hidden → statistics → pulls → gradient.
