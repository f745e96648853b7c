//! The order of the compiler's phases, behind one door to the outside world.
