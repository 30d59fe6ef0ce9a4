//! The only file that names every component.

use crate::builder::file::File;
use crate::builder::null::Null;
use crate::component::{Builder, Component, PostProcessor, Provisioner, Registered, prepare};

/// All builders, by name.
pub static BUILDERS: &[Registered<dyn Builder>] = &[builder::<File>(), builder::<Null>()];

/// All provisioners, by name.
pub static PROVISIONERS: &[Registered<dyn Provisioner>] = &[];

/// All post-processors, by name.
pub static POST_PROCESSORS: &[Registered<dyn PostProcessor>] = &[];

/// Components of the usual tool that are not built yet: refused by name, with their kind.
pub const NOT_BUILT: &[&str] = &[];

/// The component called `name`.
pub fn find<T: ?Sized>(
    all: &'static [Registered<T>],
    name: &str,
) -> Option<&'static Registered<T>> {
    all.iter().find(|registered| registered.name == name)
}

macro_rules! registered_as {
    ($function:ident, $kind:ident) => {
        const fn $function<C: Component + $kind + 'static>() -> Registered<dyn $kind> {
            Registered {
                name: C::TYPE,
                options: <C::Options as crate::config::OptionGroups>::docs,
                not_built: C::NOT_BUILT,
                build_data: C::BUILD_DATA,
                prepare: |body, facts, redactor| {
                    let (component, warnings) = prepare::<C>(body, facts, redactor)?;
                    Ok((Box::new(component), warnings))
                },
            }
        }
    };
}
registered_as!(builder, Builder);
registered_as!(provisioner, Provisioner);
registered_as!(post_processor, PostProcessor);
