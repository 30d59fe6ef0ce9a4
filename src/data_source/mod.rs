//! Data sources, one file per type, named as templates name them.

mod amazon;
pub mod amazon_ami;
pub mod amazon_parameterstore;
pub mod amazon_secretsmanager;
pub mod http;
pub mod null;
