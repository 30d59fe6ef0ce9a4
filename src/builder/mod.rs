//! Builders: each starts a machine, has it provisioned, and makes an image of it.

mod provision;

pub mod amazon;
pub mod file;
pub mod null;
pub mod qemu;

/// Several lists of option names as one of `N`.
const fn joined<const N: usize>(lists: &[&[&'static str]]) -> [&'static str; N] {
    let mut all = [""; N];
    let (mut list, mut at) = (0, 0);
    while list < lists.len() {
        let mut item = 0;
        while item < lists[list].len() {
            all[at] = lists[list][item];
            (item, at) = (item + 1, at + 1);
        }
        list += 1;
    }
    all
}
