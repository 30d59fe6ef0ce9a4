//! Whose fault it is that something failed, and whether trying again can help.
//!
//! Whoever reports an error where it enters the program knows that best. An error of a type that
//! only one party makes says it by its type; any other is [marked](Fault::mark) where it is made. What
//! nobody has marked is judged by where it came up: see `run/` and
//! [`Builder::blame`](crate::component::Builder::blame).

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The template, or a value that it was given, asks for something that cannot be.
    Template,
    /// This computer: a program that is missing, a full disk, credentials, the network.
    Environment,
    /// The cloud has refused, or not answered.
    Cloud,
    /// The machine that is built: a command failed there, or it cannot be reached.
    Guest,
    /// Somebody stopped the run, or its time was over.
    Interrupted,
    /// This program has a mistake.
    Imgbake,
}

impl Kind {
    /// The word that programs read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Environment => "environment",
            Self::Cloud => "cloud",
            Self::Guest => "guest",
            Self::Interrupted => "interrupted",
            Self::Imgbake => "imgbake",
        }
    }
}

/// A verdict on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Whose fault it is.
    pub kind: Kind,
    /// Whether the same may work another time, although nobody changes anything.
    pub can_retry: bool,
}

/// An error that says whose fault it is; it reads like the one inside.
struct Marked {
    fault: Fault,
    error: anyhow::Error,
}

impl Fault {
    /// A fault that passes by itself: trying again can help.
    pub const fn passing(kind: Kind) -> Self {
        Self { kind, can_retry: true }
    }

    /// A fault that stays until somebody changes something.
    pub const fn lasting(kind: Kind) -> Self {
        Self { kind, can_retry: false }
    }

    /// `error`, marked as this fault. Its type is hidden from then on, its words are not.
    pub fn mark(self, error: impl Into<anyhow::Error>) -> anyhow::Error {
        Marked { fault: self, error: error.into() }.into()
    }

    /// One verdict on several errors: that on the first which trying again will not help with, else
    /// that on the last.
    pub fn together(faults: impl IntoIterator<Item = Self>) -> Option<Self> {
        faults.into_iter().reduce(|first, next| if first.can_retry { next } else { first })
    }

    /// What `error` itself says: the mark nearest to its surface, or that this computer does not
    /// let us. `None` if it says nothing.
    pub fn of(error: &anyhow::Error) -> Option<Self> {
        let marked = error.chain().find_map(|cause| cause.downcast_ref::<Marked>());
        marked.map(|marked| marked.fault).or_else(|| error.chain().find_map(of_system))
    }
}

/// What the operating system says of this computer, and nobody else.
fn of_system(error: &(dyn Error + 'static)) -> Option<Fault> {
    match error.downcast_ref::<std::io::Error>()?.kind() {
        ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory => Some(Fault::lasting(Kind::Environment)),
        ErrorKind::OutOfMemory | ErrorKind::ResourceBusy => Some(Fault::passing(Kind::Environment)),
        _ => None,
    }
}

impl fmt::Display for Fault {
    /// A heading for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Template => "the cause is the template or a value that it was given",
            Kind::Environment => "the cause is this computer or its network",
            Kind::Cloud => "the cause is the cloud",
            Kind::Guest => "the cause is the machine that is built",
            Kind::Interrupted => "the run was stopped",
            Kind::Imgbake => "the cause is a mistake in imgbake: please report it",
        })?;
        f.write_str(match self.can_retry {
            true => "; trying again can help",
            false => "; trying again without a change will not help",
        })
    }
}

impl fmt::Debug for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Marked {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn a_mark_changes_no_word_and_is_found_under_what_is_said_later() {
        let error = || anyhow!("no route to host").context("cannot connect");
        let fault = Fault::passing(Kind::Guest);
        let marked = Err::<(), _>(fault.mark(error())).context("the build failed").unwrap_err();
        assert_eq!(format!("{marked:#}"), format!("{:#}", error().context("the build failed")));
        assert_eq!(Fault::of(&marked), Some(fault));
        assert_eq!(Fault::of(&error()), None);
    }

    #[test]
    fn the_outer_mark_counts_and_the_system_only_where_there_is_none() {
        let full = || std::io::Error::from(ErrorKind::StorageFull);
        let environment = Fault::lasting(Kind::Environment);
        assert_eq!(Fault::of(&anyhow::Error::from(full()).context("x")), Some(environment));
        let inner = environment.mark(full());
        let outer = Fault::lasting(Kind::Guest);
        assert_eq!(Fault::of(&outer.mark(inner.context("on the machine"))), Some(outer));
        let reset = std::io::Error::from(ErrorKind::ConnectionReset);
        assert_eq!(Fault::of(&reset.into()), None, "whoever was at the other end");
    }
}
