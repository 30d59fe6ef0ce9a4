//! In whose words messages call what a template is given.

/// Who has given templates what they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frontend {
    /// The arguments of a command: `-only=…`.
    #[default]
    CommandLine,
    /// The inputs of the GitHub Action: `only: …`.
    Workflow,
}

impl Frontend {
    /// A pattern that selects builds; `option` is `only` or `except`.
    pub fn pattern(self, option: &str, text: &str) -> String {
        match self {
            Self::CommandLine => format!("`-{option}={text}`"),
            Self::Workflow => format!("`{text}` of the input `{option}`"),
        }
    }

    /// The value that the variable `name` is given.
    pub fn value(self, name: &str) -> String {
        match self {
            Self::CommandLine => format!("-var {name}=…"),
            Self::Workflow => format!("the input `variables` or `secrets` (`{name}: …`)"),
        }
    }

    /// Where a variable can be given a value.
    pub fn ways_to_set(self, name: &str) -> String {
        match self {
            Self::CommandLine => {
                format!("set it with -var {name}=… or in a file given with -var-file")
            }
            Self::Workflow => format!(
                "set it with `{name}: …` in the input `variables` or `secrets`, or in a file of `variable-files`"
            ),
        }
    }
}
