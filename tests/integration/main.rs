//! One binary: linking the EC2 client is slow. A module per capability.

mod support;

mod amazon_ebs;
mod architecture;
mod build;
mod expressions;
mod machines;
mod provisioners;
mod ssh;
mod templates;
mod tutorial;

#[test]
fn the_real_servers_start() {
    let sshd = support::Sshd::start();
    let moto = support::Moto::start();
    assert_ne!(sshd.port, moto.port);
}
