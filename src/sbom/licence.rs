//! Licences in the words of distributions → SPDX's.

use spdx::Expression;

/// What Debian and older rpms call licences for which SPDX has other names. What is not here and no
/// SPDX expression either (`BSD`, `GPL`, `public-domain`) may mean several, and stays as it is.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("apache-2", "Apache-2.0"),
    ("apache2.0", "Apache-2.0"),
    ("asl2.0", "Apache-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsl-1", "BSL-1.0"),
    ("cc0", "CC0-1.0"),
    ("expat", "MIT"),
    ("isc", "ISC"),
    ("mit", "MIT"),
    ("mpl-2", "MPL-2.0"),
    ("mplv2.0", "MPL-2.0"),
    ("psf-2", "PSF-2.0"),
    ("zlib", "Zlib"),
    ("zpl-2.1", "ZPL-2.1"),
];

/// The SPDX expression for what a package says of its licence, where that can only mean one.
pub(super) fn expression(said: &str) -> Option<String> {
    // `ASL 2.0` is one name.
    let joined = said.replace("ASL 2.0", "ASL2.0");
    let words: Vec<String> = joined.split_whitespace().map(word).collect();
    let text = words.join(" ");
    Expression::parse(&text).is_ok().then_some(text)
}

/// Whether `text` is the name of one licence of SPDX's list.
pub(super) fn is_id(text: &str) -> bool {
    spdx::license_id(text).is_some_and(|known| known.name == text)
}

/// A word of an expression, which may stand in parentheses.
fn word(word: &str) -> String {
    let name = word.trim_start_matches('(').trim_end_matches(')');
    let (open, rest) = word.split_at(word.find(name).unwrap_or(0));
    let close = &rest[name.len()..];
    format!("{open}{}{close}", spdx_name(name))
}

fn spdx_name(name: &str) -> String {
    match name {
        "and" => return "AND".to_owned(),
        "or" => return "OR".to_owned(),
        "with" => return "WITH".to_owned(),
        _ => {}
    }
    let known = OTHER_NAMES.iter().find(|(other, _)| name.eq_ignore_ascii_case(other));
    let known = known.map(|(_, spdx)| (*spdx).to_owned());
    known.or_else(|| gnu(name)).unwrap_or_else(|| name.to_owned())
}

/// `GPL-2+`, `LGPL-2.1`, `GPLv3+` → `GPL-2.0-or-later`, `LGPL-2.1-only`, `GPL-3.0-or-later`.
fn gnu(name: &str) -> Option<String> {
    let (number, ending) = match name.strip_suffix('+') {
        Some(number) => (number, "or-later"),
        None => (name, "only"),
    };
    let (family, version) = number.split_once("-").or_else(|| number.split_once('v'))?;
    let family = ["GPL", "LGPL", "AGPL", "GFDL"].into_iter().find(|one| *one == family)?;
    let version = match version {
        "1" | "2" | "3" => format!("{version}.0"),
        "1.0" | "2.0" | "3.0" | "2.1" | "1.1" | "1.2" | "1.3" => version.to_owned(),
        _ => return None,
    };
    Some(format!("{family}-{version}-{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_distributions_become_those_of_spdx() {
        for (said, meant) in [
            ("MIT", "MIT"),
            ("Expat", "MIT"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("LGPL-2.1", "LGPL-2.1-only"),
            ("GPLv2+", "GPL-2.0-or-later"),
            ("GPL-2.0-or-later", "GPL-2.0-or-later"),
            ("ASL 2.0", "Apache-2.0"),
            ("GPL-2+ or Expat", "GPL-2.0-or-later OR MIT"),
            ("(MIT or GPLv3+) and ISC", "(MIT OR GPL-3.0-or-later) AND ISC"),
            ("GPL-2.0-or-later WITH GCC-exception-3.1", "GPL-2.0-or-later WITH GCC-exception-3.1"),
        ] {
            assert_eq!(expression(said).as_deref(), Some(meant), "{said}");
        }
    }

    #[test]
    fn what_may_mean_several_licences_stays_as_it_is() {
        for said in ["BSD", "GPL", "public-domain", "GPL-2 with OpenSSL exception", "", "((("] {
            assert_eq!(expression(said), None, "{said}");
        }
        assert!(is_id("MIT") && !is_id("mit") && !is_id("MIT OR ISC"));
    }
}
