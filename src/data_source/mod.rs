//! Data sources, one file per type, named as templates name them.

pub mod http;
pub mod null;
