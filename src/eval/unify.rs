//! The one type that values of several types can share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::convert::is_convertible;
use super::types::{Field, Type};

/// The type that values of all of `types` are brought to where they must be of one; `None` where
/// they have none in common. A single value may still not fit: a text where that type is a number.
pub fn unify(types: &[Type]) -> Option<Type> {
    let all = types.len();
    let count = |is: fn(&Type) -> bool| types.iter().filter(|ty| is(ty)).count();
    let any = count(|ty| *ty == Type::Any);
    let maps = count(|ty| matches!(ty, Type::Map(_)));
    let objects = count(|ty| matches!(ty, Type::Object(_)));
    let lists = count(|ty| matches!(ty, Type::List(_)));
    let sets = count(|ty| matches!(ty, Type::Set(_)));
    let tuples = count(|ty| matches!(ty, Type::Tuple(_)));
    // What is not known yet may turn out to be of another kind.
    let unless_any = |unify: fn(&[Type]) -> Option<Type>| match any {
        0 => unify(types),
        _ => Some(Type::Any),
    };
    let is_all = |count: usize, others: usize| count > 0 && count + others + any == all;
    match () {
        () if is_all(maps, 0) => unless_any(|types| Some(Type::Map(unify_inside(types)?))),
        () if is_all(lists, 0) => unless_any(|types| Some(Type::List(unify_inside(types)?))),
        () if is_all(sets, 0) => unless_any(|types| Some(Type::Set(unify_inside(types)?))),
        () if is_all(objects, 0) => unless_any(unify_objects),
        () if is_all(tuples, 0) => unless_any(unify_tuples),
        () if objects > 0 && tuples > 0 => None,
        () if is_all(maps, objects) => with_maps(types).or_else(|| most_general(types)),
        () if is_all(lists, tuples) => with_lists(types).or_else(|| most_general(types)),
        () => most_general(types),
    }
}

/// The common type of everything inside.
fn unify_inside(types: &[Type]) -> Option<Arc<Type>> {
    let mut inside = Vec::new();
    for ty in types {
        match ty {
            Type::List(item) | Type::Set(item) | Type::Map(item) => inside.push((**item).clone()),
            Type::Tuple(items) => inside.extend(items.iter().cloned()),
            Type::Object(fields) => inside.extend(fields.values().map(|field| field.ty.clone())),
            _ => return None,
        }
    }
    unify(&inside).map(Arc::new)
}

/// `ty`, if values of all of `types` can be converted to it.
fn if_convertible(types: &[Type], ty: Type) -> Option<Type> {
    types.iter().all(|from| is_convertible(from, &ty)).then_some(ty)
}

fn objects_to_map(objects: &[Type]) -> Option<Type> {
    if_convertible(objects, Type::Map(unify_inside(objects)?))
}

fn tuples_to_list(tuples: &[Type]) -> Option<Type> {
    if_convertible(tuples, Type::List(unify_inside(tuples)?))
}

/// Objects among maps are maps.
fn with_maps(types: &[Type]) -> Option<Type> {
    let is_object = |ty: &Type| matches!(ty, Type::Object(_));
    replaced(types, is_object, objects_to_map).filter(|ty| matches!(ty, Type::Map(_)))
}

/// Tuples among lists are lists.
fn with_lists(types: &[Type]) -> Option<Type> {
    let is_tuple = |ty: &Type| matches!(ty, Type::Tuple(_));
    replaced(types, is_tuple, tuples_to_list).filter(|ty| matches!(ty, Type::List(_)))
}

/// The common type, with what `together` makes of some of them in their place.
fn replaced(
    types: &[Type],
    is_one: fn(&Type) -> bool,
    together: fn(&[Type]) -> Option<Type>,
) -> Option<Type> {
    let some: Vec<Type> = types.iter().filter(|ty| is_one(ty)).cloned().collect();
    let new = together(&some)?;
    let types = types.iter().map(|ty| if is_one(ty) { new.clone() } else { ty.clone() });
    unify(&types.collect::<Vec<_>>())
}

/// Objects of the same attributes stay objects, others become a map.
fn unify_objects(types: &[Type]) -> Option<Type> {
    let objects = types.iter().filter_map(|ty| match ty {
        Type::Object(fields) => Some(&**fields),
        _ => None,
    });
    let objects: Vec<&BTreeMap<Arc<str>, Field>> = objects.collect();
    let (first, rest) = objects.split_first()?;
    if !rest.iter().all(|other| other.keys().eq(first.keys())) {
        return objects_to_map(types);
    }
    let unified = first.keys().map(|name| {
        let types = objects.iter().filter_map(|fields| fields.get(name));
        let types: Vec<Type> = types.map(|field| field.ty.clone()).collect();
        Some((name.clone(), Field::required(unify(&types)?)))
    });
    let object = Type::Object(Arc::new(unified.collect::<Option<_>>()?));
    if_convertible(types, object).or_else(|| objects_to_map(types))
}

/// Tuples of the same length stay tuples, others become a list.
fn unify_tuples(types: &[Type]) -> Option<Type> {
    let tuples = types.iter().filter_map(|ty| match ty {
        Type::Tuple(items) => Some(&**items),
        _ => None,
    });
    let tuples: Vec<&[Type]> = tuples.collect();
    let (first, rest) = tuples.split_first()?;
    if !rest.iter().all(|other| other.len() == first.len()) {
        return tuples_to_list(types);
    }
    let unified = (0..first.len())
        .map(|index| unify(&tuples.iter().map(|items| items[index].clone()).collect::<Vec<_>>()));
    let tuple = Type::Tuple(unified.collect::<Option<Vec<_>>>()?.into());
    if_convertible(types, tuple).or_else(|| tuples_to_list(types))
}

/// The most general one of `types` that all others can be converted to.
fn most_general(types: &[Type]) -> Option<Type> {
    let mut candidates: Vec<&Type> = types.iter().collect();
    candidates.sort_by_key(|ty| rank(ty));
    candidates.into_iter().find_map(|ty| if_convertible(types, ty.clone()))
}

/// The smaller, the more general. Of two collections of one kind, what is inside decides.
fn rank(ty: &Type) -> (u8, u8) {
    match ty {
        Type::String => (0, 0),
        Type::List(item) | Type::Map(item) => (0, rank(item).0),
        Type::Bool | Type::Number | Type::Tuple(_) | Type::Object(_) => (1, 0),
        Type::Set(item) => (2, rank(item).0),
        Type::Any => (3, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(item: Type) -> Type {
        Type::List(Arc::new(item))
    }

    fn set(item: Type) -> Type {
        Type::Set(Arc::new(item))
    }

    fn tuple(items: &[Type]) -> Type {
        Type::Tuple(items.into())
    }

    #[test]
    fn types_of_one_kind_meet_inside_and_others_at_the_most_general_one() {
        use Type::{Any, Bool, Number, String};
        for (types, unified) in [
            (vec![], None),
            (vec![Number, String], Some(String)),
            (vec![Any, Number], Some(Number)),
            (vec![Number, Bool], None),
            (vec![list(Number), list(String)], Some(list(String))),
            (vec![list(Number), tuple(&[String, Bool])], Some(list(String))),
            (vec![list(String), tuple(&[])], Some(list(String))),
            (vec![set(Number), tuple(&[String])], Some(set(Number))),
            (vec![set(String), list(Number)], Some(list(Number))),
            (vec![set(Number), tuple(&[String, Bool])], None),
            (vec![Any, tuple(&[String])], Some(Any)),
            (vec![tuple(&[String]), tuple(&[Number])], Some(tuple(&[String]))),
            (vec![tuple(&[String]), tuple(&[])], Some(list(String))),
            (vec![tuple(&[]), tuple(&[])], Some(tuple(&[]))),
            (vec![String, list(String)], None),
        ] {
            assert_eq!(unify(&types), unified, "{types:?}");
        }
    }
}
