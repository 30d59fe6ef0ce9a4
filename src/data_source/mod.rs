//! Data sources, one file per type, named as templates name them.

#[cfg(feature = "aws")]
mod amazon;
#[cfg(feature = "aws")]
pub mod amazon_ami;
#[cfg(feature = "aws")]
pub mod amazon_parameterstore;
#[cfg(feature = "aws")]
pub mod amazon_secretsmanager;
pub mod http;
pub mod null;
