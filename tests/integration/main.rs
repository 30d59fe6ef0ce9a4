//! One binary: linking the EC2 client is slow. A module per capability.

mod support;

mod amazon_ebs;
mod build;
mod machines;
mod provisioners;
mod ssh;
mod templates;
