//! WASI 0.1 from a guest's point of view, without an engine: each test is a guest with a memory and a few
//! grants, and calls the functions as compiled code would.

mod escape;
mod files;
mod fuzz;
mod guest;
mod limits;
mod polling;
mod saved;
mod sockets;
mod streams;
mod unstable;
