//! The tree that both front ends lower into.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::source::{Span, Spanned};

/// Which language a template was written in; a few rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Legacy JSON.
    Json,
    /// HCL2, native or JSON syntax.
    Hcl,
}

/// What a component that a template names can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Makes images.
    Builder,
    /// Changes a machine.
    Provisioner,
    /// Makes something of an artifact.
    PostProcessor,
    /// Looks values up.
    DataSource,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Builder, Self::Provisioner, Self::PostProcessor, Self::DataSource];
}

/// A whole template, of one file or of all files of a directory.
#[derive(Clone, Debug)]
pub struct Template {
    /// The language.
    pub dialect: Dialect,
    /// The directory that the template is in: `path.root`, `{{template_dir}}`.
    pub dir: PathBuf,
    /// `description` of a legacy template.
    pub description: Option<Spanned<String>>,
    /// `packer { required_version }` and `min_packer_version`.
    pub required_versions: Vec<Spanned<String>>,
    /// `packer { required_plugins }`.
    pub required_plugins: Vec<RequiredPlugin>,
    /// `variable`, `variables`.
    pub variables: Vec<Variable>,
    /// `local`, `locals`.
    pub locals: Vec<Local>,
    /// `data`.
    pub data: Vec<Block>,
    /// `source`, or the `builders` of a legacy template.
    pub sources: Vec<Source>,
    /// `build`; a legacy template has exactly one.
    pub builds: Vec<Build>,
    /// `hcp_packer_registry`; at most one.
    pub hcp_registry: Option<Block>,
}

impl Template {
    /// The components that it names, each once.
    pub fn components(&self) -> Vec<(Role, String)> {
        let mut named = Vec::new();
        let mut add = |role, name: &str| {
            let one = (role, name.to_owned());
            if !named.contains(&one) {
                named.push(one);
            }
        };
        for source in &self.sources {
            add(Role::Builder, &source.kind.value);
        }
        for block in &self.data {
            if let Some(kind) = block.labels.first() {
                add(Role::DataSource, &kind.value);
            }
        }
        for build in &self.builds {
            let provisioners = build.provisioners.iter().chain(&build.error_cleanup);
            let name = |block: &ComponentBlock| block.kind.value.clone();
            provisioners.map(name).for_each(|name| add(Role::Provisioner, &name));
            let post_processors = build.post_processors.iter().flatten();
            post_processors.map(name).for_each(|name| add(Role::PostProcessor, &name));
        }
        named
    }
}

/// One entry of `required_plugins`.
#[derive(Clone, Debug)]
pub struct RequiredPlugin {
    /// The accessor, e.g. `amazon`.
    pub name: Spanned<String>,
    /// `source`, e.g. `github.com/hashicorp/amazon`.
    pub source: Spanned<String>,
    /// `version`, e.g. `>= 1.2.8`.
    pub version: Spanned<String>,
}

/// An input variable.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: Spanned<String>,
    /// Its type expression, if given.
    pub type_expr: Option<Expr>,
    /// Its default. A legacy `null`, and HCL without one: it must be set.
    pub default: Option<Expr>,
    /// For people.
    pub description: Option<String>,
    /// Whether its value is a secret.
    pub sensitive: bool,
    /// Its own rules.
    pub validations: Vec<Validation>,
}

/// A rule of a variable.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Must be true.
    pub condition: Expr,
    /// What is said where it isn't.
    pub error_message: Spanned<String>,
    /// The block.
    pub span: Span,
}

/// A local value.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its name.
    pub name: Spanned<String>,
    /// Its value.
    pub value: Expr,
    /// Whether its value is a secret.
    pub sensitive: bool,
}

/// A builder's configuration.
#[derive(Clone, Debug)]
pub struct Source {
    /// The builder's type, e.g. `amazon-ebs`.
    pub kind: Spanned<String>,
    /// Its name; a legacy builder without one is called like its type.
    pub name: Spanned<String>,
    /// Its options.
    pub body: Body,
}

/// A `build` block, or a legacy template as a whole.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its name, if it has one.
    pub name: Option<Spanned<String>>,
    /// For people.
    pub description: Option<Spanned<String>>,
    /// The sources that it uses, in order. A legacy template uses all of its builders.
    pub sources: Vec<SourceUse>,
    /// In order.
    pub provisioners: Vec<ComponentBlock>,
    /// At most one.
    pub error_cleanup: Option<ComponentBlock>,
    /// Each inner list is a chain.
    pub post_processors: Vec<Vec<ComponentBlock>>,
    /// `hcp_packer_registry`; at most one.
    pub hcp_registry: Option<Block>,
    /// The block as it was written, if parts of it are only known with values: what `dynamic` blocks
    /// directly in it make, and arguments that are expressions. Until then they are missing above.
    pub written: Option<Block>,
    /// The block.
    pub span: Span,
}

impl Build {
    /// Its provisioners and post-processors.
    pub fn components(&self) -> impl Iterator<Item = &ComponentBlock> {
        let provisioners = self.provisioners.iter().chain(&self.error_cleanup);
        provisioners.chain(self.post_processors.iter().flatten())
    }
}

/// A source as a build uses it.
#[derive(Clone, Debug)]
pub struct SourceUse {
    /// The builder's type.
    pub kind: Spanned<String>,
    /// The source's name.
    pub name: Spanned<String>,
    /// Another name for it in this build (`source "…" { name = … }`).
    pub local_name: Option<Spanned<String>>,
    /// Options that this build adds.
    pub extra: Option<Body>,
}

/// A provisioner or post-processor. Its meta-arguments (`only`, `pause_before`, …) are still in
/// `body`: the plan takes them out.
#[derive(Clone, Debug)]
pub struct ComponentBlock {
    /// Its type.
    pub kind: Spanned<String>,
    /// Its body.
    pub body: Body,
}

/// The inside of a block: arguments and nested blocks.
#[derive(Clone, Debug)]
pub struct Body {
    /// `name = value`.
    pub attributes: IndexMap<String, Attribute>,
    /// Nested blocks in order, `dynamic` ones among them.
    pub blocks: Vec<Block>,
    /// The whole body.
    pub span: Span,
    /// How it was written.
    pub syntax: Syntax,
}

impl Body {
    /// No arguments, no blocks.
    pub fn empty(span: Span, syntax: Syntax) -> Self {
        Self { attributes: IndexMap::new(), blocks: Vec::new(), span, syntax }
    }
}

/// The syntaxes of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Legacy JSON, whose values are weakly typed.
    Legacy,
    /// HCL2 as JSON, which does not tell blocks from arguments.
    Json,
    /// HCL2's own.
    Native,
}

/// One argument.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Where its name stands.
    pub name: Span,
    /// Its value.
    pub value: Expr,
}

/// A nested block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its type.
    pub kind: Spanned<String>,
    /// Its labels.
    pub labels: Vec<Spanned<String>>,
    /// Its inside.
    pub body: Body,
    /// Its header.
    pub span: Span,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it was written.
    pub span: Span,
}

impl Expr {
    /// As it was written.
    pub fn written(&self) -> &Self {
        match &self.kind {
            ExprKind::Made { of, .. } => of.written(),
            _ => self,
        }
    }
}

/// The forms of expressions. Legacy templates use only the first six.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string without HCL's `${ … }` (it may hold `{{ … }}`, which is rendered when decoded).
    String(String),
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{ a = b }`; a key that is a bare word is a `String`.
    Object(Vec<(Expr, Expr)>),
    /// A quoted or heredoc template with at least one `${ … }` or `%{ … }`.
    Template(Vec<TemplatePart>),
    /// A root name: `var`, `local`, `each` ….
    Variable(String),
    /// `of.name`.
    GetAttr {
        /// The value.
        of: Box<Expr>,
        /// The attribute.
        name: Spanned<String>,
    },
    /// `of[key]`, and the legacy `of.0`.
    Index {
        /// The value.
        of: Box<Expr>,
        /// The key.
        key: Box<Expr>,
    },
    /// `of[*]…` or `of.*…`: `each` is applied to every element, which it calls
    /// [`SplatItem`](Self::SplatItem).
    Splat {
        /// The value.
        of: Box<Expr>,
        /// What is done with each element.
        each: Box<Expr>,
    },
    /// The element inside of a splat.
    SplatItem,
    /// `name(args…)`.
    Call {
        /// The function.
        name: Spanned<String>,
        /// Its arguments.
        args: Vec<Expr>,
        /// Whether the last argument is a list of arguments (`...`).
        expand: bool,
    },
    /// `condition ? yes : no`.
    Conditional {
        /// The condition.
        condition: Box<Expr>,
        /// Its value where the condition holds.
        yes: Box<Expr>,
        /// Its value where it does not.
        no: Box<Expr>,
    },
    /// `-x`, `!x`.
    Unary {
        /// The operator.
        operator: UnaryOperator,
        /// The operand.
        operand: Box<Expr>,
    },
    /// `a + b`.
    Binary {
        /// The operator.
        operator: BinaryOperator,
        /// The left operand.
        left: Box<Expr>,
        /// The right operand.
        right: Box<Expr>,
    },
    /// `[for …]`, `{for …}`.
    For(Box<ForExpr>),
    /// `( … )`.
    Parenthesis(Box<Expr>),
    /// An expression of a block that a `dynamic` block has made. No text says this: it is made once
    /// values are known, and knows the element by its number.
    Made {
        /// What the expression calls the element.
        iterator: String,
        /// The element's number among all that `dynamic` blocks have gone through.
        element: usize,
        /// The expression as it was written.
        of: Box<Expr>,
    },
}

/// A part of a template.
#[derive(Clone, Debug)]
pub enum TemplatePart {
    /// Text as it is; escapes and strip markers are already applied.
    Text(String),
    /// `${ … }`.
    Interpolation(Expr),
    /// `%{ if … } … %{ else } … %{ endif }`.
    If {
        /// The condition.
        condition: Expr,
        /// The text where it holds.
        yes: Vec<TemplatePart>,
        /// The text where it does not.
        no: Vec<TemplatePart>,
        /// The whole directive.
        span: Span,
    },
    /// `%{ for … } … %{ endfor }`.
    For {
        /// The key's name, if wanted.
        key: Option<String>,
        /// The value's name.
        value: String,
        /// What is gone through.
        collection: Expr,
        /// The text for each.
        body: Vec<TemplatePart>,
        /// The whole directive.
        span: Span,
    },
}

/// A `for` expression.
#[derive(Clone, Debug)]
pub struct ForExpr {
    /// The key's name, if wanted.
    pub key: Option<String>,
    /// The value's name.
    pub value: String,
    /// What is gone through.
    pub collection: Expr,
    /// The result's key: present for an object.
    pub result_key: Option<Expr>,
    /// The result's value.
    pub result: Expr,
    /// Whether values of one key are grouped (`...`).
    pub grouped: bool,
    /// `if …`.
    pub condition: Option<Expr>,
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum UnaryOperator {
    Negate,
    Not,
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BinaryOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
