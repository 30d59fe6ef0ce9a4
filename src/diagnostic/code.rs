//! Every code that a diagnostic may bear, with what there is to say about it.

use std::fmt;

/// The stable name of one kind of diagnostic, e.g. `T101`.
///
/// First letter: `T` template text, `V` values and expressions, `C` a component's options,
/// `P` the plan, `L` lints. A code never changes its meaning once released.
#[derive(Clone, Copy)]
pub struct Code(&'static Entry);

struct Entry {
    name: &'static str,
    title: &'static str,
    page: &'static str,
}

impl Code {
    /// `T101`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether it is that of a lint: what a template may do, but its author rarely wants.
    pub fn is_lint(self) -> bool {
        self.name().starts_with('L')
    }

    /// What it means, in one sentence.
    pub fn title(self) -> &'static str {
        self.0.title.trim()
    }

    /// What it means, an example that gives it, and how to repair that: Markdown. A code block is
    /// named as the file that it shows, or shows the command line (`console`); those under
    /// `## Example` give the code, those under `## Repair` do not.
    pub fn page(self) -> &'static str {
        self.0.page
    }

    /// The code called `name`; case does not matter.
    pub fn find(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(name))
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Code {}

impl std::hash::Hash for Code {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Declares the codes: the comment is the title, and the page is `explained/<name>.md`.
macro_rules! codes {
    ($($(#[doc = $title:literal])+ $constant:ident = $name:literal;)+) => {
        $(
            $(#[doc = $title])+
            pub const $constant: Code = Code(&Entry {
                name: $name,
                title: concat!($($title),+),
                page: include_str!(concat!("explained/", $name, ".md")),
            });
        )+

        /// All codes, in the order of their declaration.
        pub const ALL: &[Code] = &[$($constant),+];
    };
}

codes! {
    /// The file cannot be read or is no text.
    UNREADABLE = "T001";
    /// A JSON text breaks JSON's grammar.
    JSON_SYNTAX = "T101";
    /// The same key twice in one JSON object.
    JSON_DUPLICATE = "T102";
    /// A root key that legacy templates do not have.
    JSON_ROOT_KEY = "T103";
    /// A legacy template's part has the wrong form (type missing, not an object, …).
    JSON_SHAPE = "T104";
    /// An HCL text breaks HCL's grammar.
    HCL_SYNTAX = "T201";
    /// A block or argument that the language does not have at this place.
    HCL_STRUCTURE = "T202";
    /// Two definitions of one name.
    DUPLICATE = "T203";
    /// A `{{ … }}` text breaks the template language's grammar.
    INTERPOLATION_SYNTAX = "T301";
    /// The template asks for another version or for a plugin that is not built in.
    REQUIREMENT = "T401";
    /// A template asks for more than the machine that reads it may give.
    TOO_MUCH = "T501";

    /// A name that nothing defines.
    UNKNOWN_NAME = "V001";
    /// A value of the wrong type.
    WRONG_TYPE = "V002";
    /// A function refused its arguments.
    FUNCTION_CALL = "V003";
    /// An operation that its operands do not support.
    OPERATION = "V004";
    /// A variable without a value.
    UNSET_VARIABLE = "V005";
    /// A variable's own validation rule refused its value.
    VALIDATION = "V006";
    /// Definitions that need each other.
    CYCLE = "V007";
    /// A `{{ … }}` text could not be rendered.
    INTERPOLATION = "V008";
    /// A variable that is given a value but not declared.
    UNDECLARED_VARIABLE = "V009";
    /// A data source that could not be asked, or that has no answer.
    DATA_SOURCE = "V010";
    /// A sensitive value that is too short or too common to be masked.
    NOT_MASKED = "V011";

    /// A component type that nothing provides.
    UNKNOWN_COMPONENT = "C001";
    /// An option that the component does not have.
    UNKNOWN_OPTION = "C002";
    /// An option whose value cannot be read as its type.
    OPTION_TYPE = "C003";
    /// A component of a plugin that is not installed, or an option or a function that is not here yet.
    NOT_BUILT = "C004";
    /// A value or a combination of options that the component refuses.
    OPTION_VALUE = "C005";
    /// A required option that is missing.
    MISSING_OPTION = "C006";
    /// An option that is out of date.
    DEPRECATED_OPTION = "C007";
    /// What a plugin says of its options, or that it cannot be asked.
    PLUGIN = "C008";

    /// `-only` or `-except` that names nothing.
    SELECTION = "P001";
    /// A reference to a source, a build or a name that does not exist.
    REFERENCE = "P002";

    /// An AWS key stands in a template or a variable file.
    HARDCODED_KEY = "L101";
    /// Everyone may connect to the machine while it is built.
    OPEN_INGRESS = "L102";
    /// A filter for AMIs takes those of anyone.
    OWNERS_MISSING = "L103";
    /// A filter for AMIs does not say which of several it takes.
    MOST_RECENT_MISSING = "L104";
    /// Something is taken in whatever version is the newest.
    UNPINNED_LATEST = "L105";
    /// The machine's metadata service answers without a token.
    IMDSV1_ALLOWED = "L106";
    /// The volumes of the image are not encrypted.
    UNENCRYPTED_VOLUME = "L107";
    /// The machine's user data holds a secret.
    USER_DATA_SECRET = "L108";
    /// A required plugin is taken in any future version.
    UNLIMITED_PLUGIN = "L109";
    /// A variable that nothing uses.
    UNUSED_VARIABLE = "L201";
    /// A local that nothing uses.
    UNUSED_LOCAL = "L202";
    /// A sleep waits for the machine to finish booting.
    SLEEP_FOR_BOOT = "L301";
}
