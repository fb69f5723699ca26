//! The objects that a statement creates, drops and refers to, found in its syntax tree.

use std::collections::HashSet;
use std::fmt;

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::lex::folded;

/// An object of a database, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// What it is.
    pub kind: ObjectKind,
    /// Its schema, if it is written.
    pub schema: Option<String>,
    /// Its name as the server keeps it.
    pub name: String,
}

impl ObjectName {
    /// An object whose schema is not written.
    #[must_use]
    pub fn new(kind: ObjectKind, name: impl Into<String>) -> Self {
        Self { kind, schema: None, name: name.into() }
    }

    /// Whether one may be the other: kinds of relations are the same, and so is a schema that is not written and any.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        let schemas = match (&self.schema, &other.schema) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        schemas && self.name == other.name && self.kind.may_be(other.kind)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.kind.name())?;
        if let Some(schema) = &self.schema {
            write!(formatter, "{schema}.")?;
        }
        formatter.write_str(&self.name)
    }
}

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A table, foreign or not.
    Table,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// Something with rows: where a statement does not say whether it is a table or a view.
    Relation,
    /// A type or a domain.
    Type,
    /// A function, procedure or aggregate.
    Function,
    /// A schema.
    Schema,
    /// A role.
    Role,
    /// An extension.
    Extension,
    /// An index.
    Index,
    /// A sequence.
    Sequence,
    /// A trigger; its name is unique on its table only.
    Trigger,
    /// A policy; its name is unique on its table only.
    Policy,
    /// A rule; its name is unique on its table only.
    Rule,
    /// An event trigger.
    EventTrigger,
    /// A collation.
    Collation,
    /// A language.
    Language,
    /// A publication.
    Publication,
    /// A subscription.
    Subscription,
    /// A foreign server.
    Server,
    /// A foreign data wrapper.
    ForeignDataWrapper,
    /// Extended statistics.
    Statistics,
    /// A part of text search.
    TextSearch,
    /// A tablespace.
    Tablespace,
    /// A database.
    Database,
}

impl ObjectKind {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Relation => "relation",
            Self::Type => "type",
            Self::Function => "function",
            Self::Schema => "schema",
            Self::Role => "role",
            Self::Extension => "extension",
            Self::Index => "index",
            Self::Sequence => "sequence",
            Self::Trigger => "trigger",
            Self::Policy => "policy",
            Self::Rule => "rule",
            Self::EventTrigger => "event trigger",
            Self::Collation => "collation",
            Self::Language => "language",
            Self::Publication => "publication",
            Self::Subscription => "subscription",
            Self::Server => "server",
            Self::ForeignDataWrapper => "foreign-data wrapper",
            Self::Statistics => "statistics object",
            Self::TextSearch => "text search object",
            Self::Tablespace => "tablespace",
            Self::Database => "database",
        }
    }

    /// Whether it shares its names with tables.
    #[must_use]
    pub fn is_relation(self) -> bool {
        use ObjectKind as O;
        matches!(self, O::Table | O::View | O::MaterializedView | O::Relation | O::Index | O::Sequence)
    }

    fn may_be(self, other: Self) -> bool {
        self == other || self.is_relation() && other.is_relation()
    }
}

/// What a statement does to objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) creates: Vec<ObjectName>,
    pub(super) drops: Vec<ObjectName>,
    pub(super) refers: Vec<ObjectName>,
}

/// What a name in a tree stands for.
enum Role {
    New(ObjectKind),
    Known(ObjectKind),
}

fn role_of(kind: K) -> Option<Role> {
    use ObjectKind as O;
    use Role::{Known, New};
    Some(match kind {
        K::TABLE_NAME => New(O::Table),
        K::VIEW => New(O::View),
        K::TYPE_NAME | K::DOMAIN => New(O::Type),
        K::FUNCTION_NAME | K::PROCEDURE_NAME | K::ROUTINE_NAME | K::AGGREGATE_NAME => New(O::Function),
        K::SCHEMA => New(O::Schema),
        K::ROLE => New(O::Role),
        K::EXTENSION => New(O::Extension),
        K::INDEX => New(O::Index),
        K::SEQUENCE => New(O::Sequence),
        K::TRIGGER => New(O::Trigger),
        K::POLICY => New(O::Policy),
        K::RULE => New(O::Rule),
        K::EVENT_TRIGGER => New(O::EventTrigger),
        K::COLLATION => New(O::Collation),
        K::LANGUAGE => New(O::Language),
        K::PUBLICATION => New(O::Publication),
        K::SUBSCRIPTION => New(O::Subscription),
        K::SERVER => New(O::Server),
        K::FOREIGN_DATA_WRAPPER => New(O::ForeignDataWrapper),
        K::STATISTICS => New(O::Statistics),
        K::TEXT_SEARCH_CONFIGURATION
        | K::TEXT_SEARCH_DICTIONARY
        | K::TEXT_SEARCH_PARSER
        | K::TEXT_SEARCH_TEMPLATE => New(O::TextSearch),
        K::TABLESPACE => New(O::Tablespace),
        K::DATABASE => New(O::Database),
        K::TABLE_NAME_REF => Known(O::Table),
        K::VIEW_REF => Known(O::View),
        K::RELATION_NAME_REF | K::QUALIFIED_COLUMN_NAME_REF => Known(O::Relation),
        K::TYPE_NAME_REF | K::DOMAIN_REF | K::PATH_TYPE => Known(O::Type),
        K::FUNCTION_NAME_REF | K::PROCEDURE_NAME_REF | K::ROUTINE_NAME_REF | K::AGGREGATE => Known(O::Function),
        K::SCHEMA_REF => Known(O::Schema),
        K::ROLE_NAME_REF => Known(O::Role),
        K::EXTENSION_REF => Known(O::Extension),
        K::INDEX_REF => Known(O::Index),
        K::SEQUENCE_REF => Known(O::Sequence),
        K::TRIGGER_REF => Known(O::Trigger),
        K::POLICY_REF => Known(O::Policy),
        K::RULE_REF => Known(O::Rule),
        K::EVENT_TRIGGER_REF => Known(O::EventTrigger),
        K::COLLATION_REF => Known(O::Collation),
        K::LANGUAGE_REF => Known(O::Language),
        K::PUBLICATION_REF => Known(O::Publication),
        K::SUBSCRIPTION_REF => Known(O::Subscription),
        K::SERVER_REF => Known(O::Server),
        K::FOREIGN_DATA_WRAPPER_REF => Known(O::ForeignDataWrapper),
        K::STATISTICS_REF => Known(O::Statistics),
        K::TEXT_SEARCH_CONFIGURATION_REF
        | K::TEXT_SEARCH_DICTIONARY_REF
        | K::TEXT_SEARCH_PARSER_REF
        | K::TEXT_SEARCH_TEMPLATE_REF => Known(O::TextSearch),
        K::TABLESPACE_REF => Known(O::Tablespace),
        K::DATABASE_REF => Known(O::Database),
        _ => return None,
    })
}

/// What the statements in a tree do to objects.
pub(super) fn objects(root: &SyntaxNode) -> Objects {
    let mut found = Objects::default();
    let local: HashSet<String> =
        root.descendants().filter(|node| node.kind() == K::CTE_NAME).map(|n| text(&n)).collect();
    for node in root.descendants() {
        match role_of(node.kind()) {
            Some(Role::New(kind)) => add_new(&mut found, &node, kind),
            Some(Role::Known(kind)) => {
                let Some(object) = named(&node, kind) else { continue };
                let is_local = object.schema.is_none() && local.contains(&object.name);
                if is_local && kind == ObjectKind::Relation {
                    continue;
                }
                if is_dropped(&node) { &mut found.drops } else { &mut found.refers }.push(object);
            }
            None => match node.kind() {
                K::CALL_EXPR => found.refers.extend(called(&node)),
                K::COLUMN | K::ADD_COLUMN => found.creates.extend(sequence_of_column(&node)),
                K::PRIMARY_KEY_CONSTRAINT | K::UNIQUE_CONSTRAINT | K::EXCLUDE_CONSTRAINT => {
                    found.creates.extend(index_of_constraint(&node));
                }
                K::SET_SCHEMA => moved(&mut found, &node),
                _ => {}
            },
        }
    }
    for list in [&mut found.creates, &mut found.drops, &mut found.refers] {
        let mut seen = HashSet::new();
        list.retain(|object| seen.insert(object.clone()));
    }
    found
}

fn add_new(found: &mut Objects, node: &SyntaxNode, kind: ObjectKind) {
    let Some(mut object) = named(node, kind) else { return };
    let parent = node.parent();
    let parent_kind = parent.as_ref().map(SyntaxNode::kind);
    if parent_kind == Some(K::AUTHORIZATION_SCHEMA) {
        // The schema is called like the role, which must be there.
        found.creates.push(ObjectName::new(ObjectKind::Schema, object.name.clone()));
        found.refers.push(object);
        return;
    }
    if let Some(parent) = parent.filter(|parent| format!("{:?}", parent.kind()).ends_with("RENAME_TO")) {
        // The old name is gone, and the new one is in the same schema.
        if let Some(target) = parent.parent().and_then(|statement| target_of(&statement)) {
            object.schema.clone_from(&target.schema);
            object.kind = if target.kind == ObjectKind::Relation { object.kind } else { target.kind };
            found.drops.push(target);
        }
        found.creates.push(object);
        return;
    }
    match (kind, parent_kind) {
        (ObjectKind::View, Some(K::CREATE_MATERIALIZED_VIEW)) => object.kind = ObjectKind::MaterializedView,
        (ObjectKind::Index, _) if object.schema.is_none() => {
            object.schema =
                node.parent().and_then(|statement| target_of(&statement)).and_then(|table| table.schema);
        }
        _ => {}
    }
    if matches!(object.kind, ObjectKind::Table | ObjectKind::View | ObjectKind::MaterializedView) {
        found.creates.push(ObjectName { kind: ObjectKind::Type, ..object.clone() });
    }
    found.creates.push(object);
}

/// The object that a statement is about: the first that it names, and that is there.
fn target_of(statement: &SyntaxNode) -> Option<ObjectName> {
    statement.descendants().find_map(|node| match role_of(node.kind()) {
        Some(Role::Known(kind)) => named(&node, kind),
        _ => None,
    })
}

/// `SET SCHEMA`: the object is gone where it was, and new elsewhere.
fn moved(found: &mut Objects, node: &SyntaxNode) {
    let Some(target) = node.parent().and_then(|statement| target_of(&statement)) else { return };
    let schema = node.descendants().find(|child| child.kind() == K::SCHEMA_REF).map(|schema| text(&schema));
    found.creates.push(ObjectName { schema, ..target.clone() });
    found.drops.push(target);
}

/// Whether a name is one of those that a `DROP` names, rather than where it is.
fn is_dropped(node: &SyntaxNode) -> bool {
    for ancestor in node.ancestors().skip(1) {
        match ancestor.kind() {
            K::ON_TABLE | K::ON_RELATION | K::PARAM_LIST | K::DROP_OWNED | K::DROP_COLUMN | K::DROP_CONSTRAINT => {
                return false;
            }
            K::DROP_CAST | K::DROP_TRANSFORM | K::DROP_OPERATOR | K::DROP_USER_MAPPING => return false,
            K::SOURCE_FILE => return false,
            kind if STATEMENTS_THAT_DROP.contains(&kind) => return true,
            _ => {}
        }
    }
    false
}

const STATEMENTS_THAT_DROP: &[K] = &[
    K::DROP_TABLE,
    K::DROP_FOREIGN_TABLE,
    K::DROP_VIEW,
    K::DROP_MATERIALIZED_VIEW,
    K::DROP_INDEX,
    K::DROP_SEQUENCE,
    K::DROP_TYPE,
    K::DROP_DOMAIN,
    K::DROP_FUNCTION,
    K::DROP_PROCEDURE,
    K::DROP_ROUTINE,
    K::DROP_AGGREGATE,
    K::DROP_SCHEMA,
    K::DROP_ROLE,
    K::DROP_USER,
    K::DROP_GROUP,
    K::DROP_EXTENSION,
    K::DROP_TRIGGER,
    K::DROP_POLICY,
    K::DROP_RULE,
    K::DROP_EVENT_TRIGGER,
    K::DROP_COLLATION,
    K::DROP_LANGUAGE,
    K::DROP_PUBLICATION,
    K::DROP_SUBSCRIPTION,
    K::DROP_SERVER,
    K::DROP_FOREIGN_DATA_WRAPPER,
    K::DROP_STATISTICS,
    K::DROP_TEXT_SEARCH_CONFIG,
    K::DROP_TEXT_SEARCH_DICT,
    K::DROP_TEXT_SEARCH_PARSER,
    K::DROP_TEXT_SEARCH_TEMPLATE,
    K::DROP_TABLESPACE,
    K::DROP_DATABASE,
];

/// The name that a node stands for.
fn named(node: &SyntaxNode, kind: ObjectKind) -> Option<ObjectName> {
    let is_path = |child: &SyntaxNode| matches!(child.kind(), K::PATH | K::PATH_REF);
    let path = node.children().find(is_path);
    let mut parts: Vec<String> = match &path {
        Some(path) => path
            .descendants()
            .filter(|child| matches!(child.kind(), K::PATH_SEGMENT | K::PATH_SEGMENT_REF))
            .map(|segment| text(&segment))
            .collect(),
        None => vec![text(node)],
    };
    if node.kind() == K::QUALIFIED_COLUMN_NAME_REF {
        parts.pop();
    }
    let name = parts.pop().filter(|name| !name.is_empty())?;
    Some(ObjectName { kind, schema: parts.pop(), name })
}

/// The name in a node that is nothing but a name; the word `group` may stand before that of a role.
fn text(node: &SyntaxNode) -> String {
    let tokens = node.descendants_with_tokens().filter_map(|element| element.into_token());
    tokens.filter(|token| !token.kind().is_trivia()).last().map_or_else(String::new, |token| folded(token.text()))
}

/// The function that an expression calls.
fn called(node: &SyntaxNode) -> Option<ObjectName> {
    let callee = node.children().next()?;
    let whole = match callee.kind() {
        K::NAME_REF | K::FIELD_EXPR | K::PATH_REF => callee.text().to_string(),
        _ => return None,
    };
    let mut parts: Vec<&str> = whole.split('.').map(str::trim).collect();
    let name = folded(parts.pop()?);
    Some(ObjectName { kind: ObjectKind::Function, schema: parts.pop().map(folded), name })
}

/// The table whose definition or change a node belongs to.
fn table_of(node: &SyntaxNode) -> Option<ObjectName> {
    let statement = node.ancestors().find(|ancestor| {
        matches!(
            ancestor.kind(),
            K::CREATE_TABLE | K::CREATE_FOREIGN_TABLE | K::ALTER_TABLE | K::ALTER_FOREIGN_TABLE
        )
    })?;
    let name = statement.descendants().find(|child| matches!(child.kind(), K::TABLE_NAME | K::TABLE_NAME_REF))?;
    named(&name, ObjectKind::Table)
}

/// The sequence that comes with a serial or identity column.
fn sequence_of_column(node: &SyntaxNode) -> Option<ObjectName> {
    let has_identity = node.descendants().any(|child| child.kind() == K::GENERATED_IDENTITY);
    let is_serial = || {
        let types = node.descendants().filter(|child| child.kind() == K::PATH_TYPE);
        let serial = ["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"];
        types
            .into_iter()
            .any(|found| named(&found, ObjectKind::Type).is_some_and(|t| serial.contains(&t.name.as_str())))
    };
    if !has_identity && !is_serial() {
        return None;
    }
    let table = table_of(node)?;
    let column = text(&node.children().find(|child| child.kind() == K::COLUMN_NAME)?);
    let name = format!("{}_{column}_seq", table.name);
    Some(ObjectName { kind: ObjectKind::Sequence, schema: table.schema, name })
}

/// The index that comes with a constraint, where its name is certain.
fn index_of_constraint(node: &SyntaxNode) -> Option<ObjectName> {
    let table = table_of(node)?;
    let name = node.descendants().find(|child| child.kind() == K::CONSTRAINT_NAME).map(|name| text(&name));
    let name = match name {
        Some(name) => name,
        None if node.kind() == K::PRIMARY_KEY_CONSTRAINT => format!("{}_pkey", table.name),
        None => return None,
    };
    Some(ObjectName { kind: ObjectKind::Index, schema: table.schema, name })
}
