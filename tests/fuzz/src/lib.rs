//! The rooms of imgbake that read what people write, and what these need: links to `src/`. Without
//! those that reach clouds and machines, all of the program is instrumented in a minute.

pub mod budget;
pub mod config;
pub mod diagnostic;
pub mod env;
pub mod eval;
pub mod event;
pub mod fault;
pub mod guest;
pub mod identity;
pub mod interpolate;
pub mod journal;
pub mod peer;
pub mod reach;
pub mod retry;
pub mod secret;
pub mod source;
pub mod stop;
pub mod template;
