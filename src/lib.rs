//! Tape-based automatic differentiation for scalars and tensors.
