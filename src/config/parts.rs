//! Parts of options that are made of parts.

/// Declares a struct whose fields are groups of options, or again such structs: the part of a
/// component's options that several components share.
#[cfg_attr(not(feature = "aws"), allow(unused_macros, reason = "only Amazon's builders use it"))]
macro_rules! option_parts {
    ($(#[$meta:meta])* $visible:vis struct $name:ident {
        $($(#[$about:meta])* $shown:vis $field:ident: $part:ty),+ $(,)?
    }) => {
        $(#[$meta])* $visible struct $name {
            $($(#[$about])* $shown $field: $part),+
        }
        impl $crate::config::Part for $name {
            fn read(reader: &mut impl $crate::config::GroupReader) -> Option<Self> {
                // Every part is read, so that one run shows the errors of all.
                $(let $field = <$part as $crate::config::Part>::read(reader);)+
                Some(Self { $($field: $field?),+ })
            }
            fn schema() -> std::sync::Arc<$crate::config::OptionSchema> {
                $crate::config::made_once::<Self>(|| {
                    let parts = [$(<$part as $crate::config::Part>::schema()),+];
                    $crate::config::OptionSchema::joined(&parts)
                })
            }
        }
    };
}
pub(crate) use option_parts;
