//! The swap as a state machine.
