//! GPU programs from a plan.
