//! Values that quotes, shells and code pages like to change.

/// Ten of them; each a password that somebody has.
pub const VALUES: [&str; 10] = [
    "it's \"quoted\" 'twice'",
    "100% %PATH% %%TEMP%%",
    "wow! !x! !!",
    "$HOME ${HOME} $(id) $$",
    "`id` ``back`` `n",
    "two\nlines\n\nand four",
    "Käse, straße, ÅÄÖ",
    "🦀 and 👩‍👩‍👧",
    "back\\slash C:\\temp\\n ^&|<>",
    " spaces before, in and after; #no comment * ? [a-z] ~ ",
];
