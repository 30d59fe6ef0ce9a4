//! The macro `option_parts!`: a struct that puts several groups of options together.

/// Declares a struct whose fields are groups of options, or again such structs: the part of a
/// component's options that several components share.
macro_rules! option_parts {
    ($(#[$meta:meta])* $visible:vis struct $name:ident {
        $($(#[$about:meta])* $shown:vis $field:ident: $part:ty),+ $(,)?
    }) => {
        $(#[$meta])* $visible struct $name {
            $($(#[$about])* $shown $field: $part),+
        }
        impl $crate::config::Part for $name {
            fn read(reader: &mut impl $crate::config::GroupReader) -> Option<Self> {
                let ($($field,)+) = <($($part,)+) as $crate::config::OptionGroups>::read(reader)?;
                Some(Self { $($field),+ })
            }
            fn schema() -> std::sync::Arc<$crate::config::OptionSchema> {
                <($($part,)+) as $crate::config::OptionGroups>::schema()
            }
        }
    };
}
pub(crate) use option_parts;
