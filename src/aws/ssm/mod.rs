//! A TCP connection to a port of an instance, through AWS Systems Manager: what Packer
//! needs an external program for, the session manager plugin, spoken here.
//!
//! ```text
//! Stream ──▶ Mux ──▶ Channel ──▶ WebSocket ──▶ Systems Manager ──▶ agent ──▶ port
//! (a connection)    (messages, each                               (on the instance)
//!                    acknowledged)
//! ```
//!
//! | file | what is there |
//! |---|---|
//! | `tunnel` | the way to one port: sessions as they are needed, connections through them |
//! | `session` | a session, as the API knows it |
//! | `channel` | the session's data channel; outlives its WebSockets |
//! | `reliable` | sequence numbers, acknowledgements, sending again |
//! | `pace` | not more messages than the service takes |
//! | `mux`, `frame`, `stream` | the connections that share a channel |
//! | `message`, `content` | bytes and JSON of the protocol |
//! | `socket` | WebSockets |
//!
//! The protocol is described by the public sources of the agent and of the plugin. A session whose
//! WebSocket drops (the service ends each after an hour) is resumed; its connections notice nothing.

mod channel;
mod content;
mod frame;
mod message;
mod mux;
mod pace;
mod reliable;
pub mod session;
mod socket;
mod stream;
mod tunnel;

pub use self::stream::Stream;
pub use self::tunnel::{PATIENCE, Plan, Tunnel};
