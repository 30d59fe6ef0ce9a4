//! What `hcl2_upgrade` asks of the components.

use std::sync::Arc;

use super::{AnyKind, Registry};
use crate::config::OptionSchema;
use crate::template::ast::Role;
use crate::template::upgrade::Components;

impl Components for Registry {
    fn options(&self, role: Role, name: &str) -> Option<Arc<OptionSchema>> {
        Some(self.options_of(self.kind_of(role).component(name)?))
    }

    fn have_block(&self, option: &str) -> bool {
        let components = self.kinds().flat_map(AnyKind::components);
        let mut schemas = components.map(|component| component.description().options.schema());
        schemas.any(|schema| schema.get(option).is_some_and(|option| option.is_block()))
    }
}
