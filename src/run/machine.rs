//! A machine that provisioners or tests work on.

use std::sync::Arc;

use super::outcome::RunRequest;
use crate::component::{BuildContext, Communicator, Facts, ProvisionContext};
use crate::fault::{Fault, Kind};
use crate::interpolate::BuildData;
use crate::retry::Cancelled;

/// What `build.*` says of facts that the builder does not have.
const NOT_IMPLEMENTED: &[(&str, &str)] = &[
    ("ID", "ERR_ID_NOT_IMPLEMENTED_BY_BUILDER"),
    ("PackerHTTPIP", "ERR_HTTP_IP_NOT_IMPLEMENTED_BY_BUILDER"),
    ("PackerHTTPPort", "ERR_HTTP_PORT_NOT_IMPLEMENTED_BY_BUILDER"),
    ("PackerHTTPAddr", "ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER"),
];

/// A connected machine and what is known of it.
#[derive(Clone)]
pub(super) struct Machine {
    /// The connection to it.
    pub communicator: Arc<dyn Communicator>,
    /// What `build.*` says of it.
    pub data: BuildData,
    facts: Arc<Facts>,
}

impl Machine {
    /// The machine behind `communicator`, of which the builder says `data`: completed by what every build
    /// has.
    pub fn new(
        cx: &BuildContext,
        request: &RunRequest,
        communicator: Arc<dyn Communicator>,
        mut data: BuildData,
    ) -> Self {
        let run_uuid = &request.environment.run_uuid;
        data.insert("PackerRunUUID".to_owned(), run_uuid.as_str().into());
        for (key, stand_in) in NOT_IMPLEMENTED {
            data.entry((*key).to_owned()).or_insert_with(|| (*stand_in).into());
        }
        let facts = Arc::new(cx.facts.with_build_data(data.clone()));
        Self { communicator, data, facts }
    }

    /// What a component works with that does something on the machine.
    pub fn context(&self, cx: &BuildContext) -> ProvisionContext {
        ProvisionContext {
            facts: self.facts.clone(),
            ui: cx.ui.clone(),
            cancel: cx.cancel.child_token(),
            communicator: self.communicator.clone(),
            on_error: cx.on_error,
            redactor: cx.redactor.clone(),
        }
    }
}

/// Whose fault it is that a provisioner or a test failed: it works on the machine, so the machine's,
/// unless the error knows better.
pub(super) fn blame(error: &anyhow::Error) -> Fault {
    if error.is::<Cancelled>() {
        return Fault::passing(Kind::Interrupted);
    }
    Fault::of(error).unwrap_or(Fault::lasting(Kind::Guest))
}
