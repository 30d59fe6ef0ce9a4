//! Expressions → values: types, functions, variables, locals in dependency order.
