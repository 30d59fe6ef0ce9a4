//! The keys of a PC keyboard with the US layout, which firmware and boot loaders assume, by the names
//! that boot commands and QEMU give them.

/// A key, wherever it is on the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    qcode: &'static str,
}

impl Key {
    /// The left shift key, with which the second sign of a key is typed.
    pub const SHIFT: Self = Self { qcode: "shift" };
    const RIGHT_SHIFT: Self = Self { qcode: "shift_r" };

    /// As QEMU calls it.
    pub fn qcode(self) -> &'static str {
        self.qcode
    }

    /// As boot commands call it.
    pub fn name(self) -> &'static str {
        let known = NAMES.iter().find(|(_, qcode)| *qcode == self.qcode);
        known.map_or(self.qcode, |(name, _)| name)
    }

    /// Whether it is one of the two shift keys.
    pub fn is_shift(self) -> bool {
        self == Self::SHIFT || self == Self::RIGHT_SHIFT
    }

    /// The key that a boot command calls `name`; case does not matter.
    pub fn named(name: &str) -> Option<Self> {
        let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|&(_, qcode)| Self { qcode })
    }

    /// All names of keys in boot commands.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|&(name, _)| name)
    }
}

/// What types one character: a key, and whether shift is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stroke {
    /// The key.
    pub key: Key,
    /// Whether shift is held with it.
    pub shift: bool,
}

impl Stroke {
    /// What types `character`; `None` if the layout does not have it.
    pub fn of(character: char) -> Option<Self> {
        SIGNS.iter().find_map(|&(plain, shifted, qcode)| {
            let key = Key { qcode };
            match character {
                _ if character == plain => Some(Self { key, shift: false }),
                _ if character == shifted => Some(Self { key, shift: true }),
                _ => None,
            }
        })
    }
}

/// Names in boot commands → QEMU's.
const NAMES: &[(&str, &str)] = &[
    ("bs", "backspace"),
    ("del", "delete"),
    ("enter", "ret"),
    ("return", "ret"),
    ("esc", "esc"),
    ("tab", "tab"),
    ("f1", "f1"),
    ("f2", "f2"),
    ("f3", "f3"),
    ("f4", "f4"),
    ("f5", "f5"),
    ("f6", "f6"),
    ("f7", "f7"),
    ("f8", "f8"),
    ("f9", "f9"),
    ("f10", "f10"),
    ("f11", "f11"),
    ("f12", "f12"),
    ("up", "up"),
    ("down", "down"),
    ("left", "left"),
    ("right", "right"),
    ("spacebar", "spc"),
    ("insert", "insert"),
    ("home", "home"),
    ("end", "end"),
    ("pageUp", "pgup"),
    ("pageDown", "pgdn"),
    // The key between the right Alt and Ctrl; QEMU's `menu` is another one.
    ("menu", "compose"),
    ("leftAlt", "alt"),
    ("leftOption", "alt"),
    ("rightAlt", "alt_r"),
    ("rightOption", "alt_r"),
    ("leftCtrl", "ctrl"),
    ("rightCtrl", "ctrl_r"),
    ("leftShift", "shift"),
    ("rightShift", "shift_r"),
    ("leftSuper", "meta_l"),
    ("leftCommand", "meta_l"),
    ("rightSuper", "meta_r"),
    ("rightCommand", "meta_r"),
];

/// The signs of each key without and with shift.
const SIGNS: &[(char, char, &str)] = &[
    ('a', 'A', "a"),
    ('b', 'B', "b"),
    ('c', 'C', "c"),
    ('d', 'D', "d"),
    ('e', 'E', "e"),
    ('f', 'F', "f"),
    ('g', 'G', "g"),
    ('h', 'H', "h"),
    ('i', 'I', "i"),
    ('j', 'J', "j"),
    ('k', 'K', "k"),
    ('l', 'L', "l"),
    ('m', 'M', "m"),
    ('n', 'N', "n"),
    ('o', 'O', "o"),
    ('p', 'P', "p"),
    ('q', 'Q', "q"),
    ('r', 'R', "r"),
    ('s', 'S', "s"),
    ('t', 'T', "t"),
    ('u', 'U', "u"),
    ('v', 'V', "v"),
    ('w', 'W', "w"),
    ('x', 'X', "x"),
    ('y', 'Y', "y"),
    ('z', 'Z', "z"),
    ('1', '!', "1"),
    ('2', '@', "2"),
    ('3', '#', "3"),
    ('4', '$', "4"),
    ('5', '%', "5"),
    ('6', '^', "6"),
    ('7', '&', "7"),
    ('8', '*', "8"),
    ('9', '(', "9"),
    ('0', ')', "0"),
    ('-', '_', "minus"),
    ('=', '+', "equal"),
    ('[', '{', "bracket_left"),
    (']', '}', "bracket_right"),
    (';', ':', "semicolon"),
    ('\'', '"', "apostrophe"),
    ('`', '~', "grave_accent"),
    ('\\', '|', "backslash"),
    (',', '<', "comma"),
    ('.', '>', "dot"),
    ('/', '?', "slash"),
    (' ', ' ', "spc"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_character_of_ascii_can_be_typed_and_no_other() {
        let typed: String = ('\0'..='\u{ff}').filter(|&next| Stroke::of(next).is_some()).collect();
        let printable: String = (' '..='~').collect();
        assert_eq!(typed, printable);
        let shifted: String =
            (' '..='~').filter(|&next| Stroke::of(next).is_some_and(|one| one.shift)).collect();
        assert_eq!(shifted, "!\"#$%&()*+:<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ^_{|}~");
    }

    #[test]
    fn names_do_not_care_for_case() {
        assert_eq!(Key::named("PAGEdown").map(Key::qcode), Some("pgdn"));
        assert_eq!(Key::named("pagedow"), None);
    }
}
