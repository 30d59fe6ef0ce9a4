//! `imgbake version`.

use super::Exit;
use crate::env::PACKER_VERSION;
use crate::event::{Message, Ui};

pub(super) fn run(ui: &Ui) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    ui.send(Message::Record("version".into(), vec![version.to_owned()]));
    ui.say(format!("imgbake v{version} (templates of Packer {PACKER_VERSION})"));
    Exit::Success
}
