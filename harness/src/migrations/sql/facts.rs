//! What a statement is, and what it does.

use super::body;
use super::lex::{folded, tokens};
use super::objects::{ObjectKind, ObjectName, Objects, objects};
use super::parse::with_tree;

use squawk_lexer::TokenKind;

/// What a statement is, as far as it can be told without a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What it does.
    pub verb: Verb,
    /// The objects that it creates, those included that come with others (the type of a table, the sequence of a
    /// serial column) or that a `DO` block creates in plain text.
    pub creates: Vec<ObjectName>,
    /// The objects that it drops, or that have another name or schema afterwards.
    pub drops: Vec<ObjectName>,
    /// The objects that must be there, built-in types and functions included.
    pub refers: Vec<ObjectName>,
    /// The objects that the function which it creates creates in turn, whenever it is called.
    pub creates_when_called: Vec<ObjectName>,
    /// Whether it says `IF EXISTS`.
    pub if_exists: bool,
    /// Whether it says `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Whether it says `OR REPLACE`.
    pub or_replace: bool,
    /// Whether it says `CONCURRENTLY`.
    pub concurrently: bool,
    /// Whether the server refuses it within a transaction.
    pub never_in_transaction: bool,
    /// Whether the parser did not understand it, or it runs text that only the server sees: the lists may be
    /// incomplete, and the server decides.
    pub unsure: bool,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is named after the command")]
pub enum Verb {
    CreateTable,
    CreateView,
    CreateMaterializedView,
    CreateIndex,
    CreateType,
    CreateDomain,
    CreateFunction,
    CreateTrigger,
    CreatePolicy,
    CreateSchema,
    CreateExtension,
    CreateRole,
    CreateSequence,
    CreateDatabase,
    /// Any other `CREATE`.
    CreateOther,
    AlterTable,
    AlterType,
    AlterRole,
    AlterSystem,
    AlterDatabase,
    /// Any other `ALTER`.
    AlterOther,
    DropTable,
    DropView,
    DropIndex,
    DropType,
    DropFunction,
    DropSchema,
    DropRole,
    DropDatabase,
    /// Any other `DROP`.
    DropOther,
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    Truncate,
    Copy,
    Grant,
    Revoke,
    Comment,
    Do,
    Call,
    Begin,
    /// `COMMIT` or `END`.
    Commit,
    /// `ROLLBACK` or `ABORT` of a whole transaction.
    Rollback,
    PrepareTransaction,
    /// `SAVEPOINT`, `RELEASE` or `ROLLBACK TO`.
    Savepoint,
    Set,
    Reset,
    Lock,
    Vacuum,
    Reindex,
    Refresh,
    Cluster,
    Analyze,
    /// Anything else.
    #[default]
    Other,
}

/// How many words are looked at to tell what a statement is.
const WORDS_MAX: usize = 12;

/// What a statement is and does; the text is that of one statement, with or without its semicolon.
#[must_use]
pub fn facts(statement: &str) -> Facts {
    facts_within(statement, 0)
}

/// What a statement does, told from its first words alone.
#[must_use]
pub fn verb(statement: &str) -> Verb {
    let words = leading_words(statement);
    verb_of(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Whether the server refuses a statement within a transaction, told from its first words alone.
#[must_use]
pub fn never_in_transaction(statement: &str) -> bool {
    let words = leading_words(statement);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    never(verb_of(&words), &words, statement)
}

/// `depth` is how many bodies the statement is within.
pub(super) fn facts_within(statement: &str, depth: usize) -> Facts {
    let words = leading_words(statement);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let verb = verb_of(&words);
    let mut facts = Facts { verb, ..Facts::default() };
    facts.flags(&words);
    facts.never_in_transaction = never(verb, &words, statement);
    if matches!(verb, Verb::Begin | Verb::Commit | Verb::Rollback | Verb::Savepoint) {
        return facts;
    }
    let found = with_tree(statement, |parse| (objects(&parse.syntax_node()), !parse.errors().is_empty()));
    let (found, unsure) = found.unwrap_or_else(|| (guess(verb, statement), true));
    facts.unsure = unsure;
    let Objects { creates, drops, refers } = if unsure { merge(found, guess(verb, statement)) } else { found };
    (facts.creates, facts.drops, facts.refers) = (creates, drops, refers);
    if matches!(verb, Verb::Do | Verb::CreateFunction) {
        body::look(statement, &words, depth, &mut facts);
    }
    facts
}

impl Facts {
    fn flags(&mut self, words: &[&str]) {
        let has = |sequence: &[&str]| words.windows(sequence.len()).any(|window| window == sequence);
        self.if_exists = has(&["IF", "EXISTS"]);
        self.if_not_exists = has(&["IF", "NOT", "EXISTS"]);
        self.or_replace = words.starts_with(&["CREATE", "OR", "REPLACE"]);
        self.concurrently = has(&["CONCURRENTLY"]);
    }
}

/// The first words in upper case, parentheses and all other things left out; none after a string, which ends what
/// could be a beginning.
fn leading_words(statement: &str) -> Vec<String> {
    let mut words = Vec::new();
    for token in tokens(statement) {
        match token.kind {
            TokenKind::Ident => words.push(statement[token.range()].to_ascii_uppercase()),
            TokenKind::Literal { .. } | TokenKind::Semi => break,
            TokenKind::QuotedIdent { .. } => words.push("\"\"".to_owned()),
            _ => {}
        }
        if words.len() == WORDS_MAX {
            break;
        }
    }
    words
}

fn verb_of(words: &[&str]) -> Verb {
    match words {
        ["CREATE", rest @ ..] => create_verb(rest),
        ["ALTER", "TABLE", ..] | ["ALTER", "FOREIGN", "TABLE", ..] => Verb::AlterTable,
        ["ALTER", "TYPE" | "DOMAIN", ..] => Verb::AlterType,
        ["ALTER", "ROLE" | "USER" | "GROUP", ..] => Verb::AlterRole,
        ["ALTER", "SYSTEM", ..] => Verb::AlterSystem,
        ["ALTER", "DATABASE", ..] => Verb::AlterDatabase,
        ["ALTER", ..] => Verb::AlterOther,
        ["DROP", "TABLE", ..] | ["DROP", "FOREIGN", "TABLE", ..] => Verb::DropTable,
        ["DROP", "VIEW", ..] | ["DROP", "MATERIALIZED", ..] => Verb::DropView,
        ["DROP", "INDEX", ..] => Verb::DropIndex,
        ["DROP", "TYPE" | "DOMAIN", ..] => Verb::DropType,
        ["DROP", "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE", ..] => Verb::DropFunction,
        ["DROP", "SCHEMA", ..] => Verb::DropSchema,
        ["DROP", "ROLE" | "USER" | "GROUP", ..] => Verb::DropRole,
        ["DROP", "DATABASE", ..] => Verb::DropDatabase,
        ["DROP", ..] => Verb::DropOther,
        ["SELECT" | "VALUES" | "TABLE" | "WITH", ..] => Verb::Select,
        ["INSERT", ..] => Verb::Insert,
        ["UPDATE", ..] => Verb::Update,
        ["DELETE", ..] => Verb::Delete,
        ["MERGE", ..] => Verb::Merge,
        ["TRUNCATE", ..] => Verb::Truncate,
        ["COPY", ..] => Verb::Copy,
        ["GRANT", ..] => Verb::Grant,
        ["REVOKE", ..] => Verb::Revoke,
        ["COMMENT", ..] => Verb::Comment,
        ["DO", ..] => Verb::Do,
        ["CALL", ..] => Verb::Call,
        ["BEGIN", ..] | ["START", "TRANSACTION", ..] => Verb::Begin,
        ["COMMIT" | "ROLLBACK", "PREPARED", ..] => Verb::Other,
        ["COMMIT" | "END", ..] => Verb::Commit,
        ["ROLLBACK", "TO", ..] | ["ROLLBACK", _, "TO", ..] => Verb::Savepoint,
        ["ROLLBACK" | "ABORT", ..] => Verb::Rollback,
        ["SAVEPOINT" | "RELEASE", ..] => Verb::Savepoint,
        ["PREPARE", "TRANSACTION", ..] => Verb::PrepareTransaction,
        ["SET", ..] => Verb::Set,
        ["RESET", ..] => Verb::Reset,
        ["LOCK", ..] => Verb::Lock,
        ["VACUUM", ..] => Verb::Vacuum,
        ["REINDEX", ..] => Verb::Reindex,
        ["REFRESH", ..] => Verb::Refresh,
        ["CLUSTER", ..] => Verb::Cluster,
        ["ANALYZE" | "ANALYSE", ..] => Verb::Analyze,
        _ => Verb::Other,
    }
}

fn create_verb(words: &[&str]) -> Verb {
    match words {
        ["OR", "REPLACE", rest @ ..] => create_verb(rest),
        ["TEMP" | "TEMPORARY" | "UNLOGGED" | "GLOBAL" | "LOCAL" | "RECURSIVE", rest @ ..] => create_verb(rest),
        ["TABLE", ..] | ["FOREIGN", "TABLE", ..] => Verb::CreateTable,
        ["VIEW", ..] => Verb::CreateView,
        ["MATERIALIZED", ..] => Verb::CreateMaterializedView,
        ["INDEX", ..] | ["UNIQUE", "INDEX", ..] => Verb::CreateIndex,
        ["TYPE", ..] => Verb::CreateType,
        ["DOMAIN", ..] => Verb::CreateDomain,
        ["FUNCTION" | "PROCEDURE" | "AGGREGATE", ..] => Verb::CreateFunction,
        ["TRIGGER", ..] | ["CONSTRAINT", "TRIGGER", ..] => Verb::CreateTrigger,
        ["POLICY", ..] => Verb::CreatePolicy,
        ["SCHEMA", ..] => Verb::CreateSchema,
        ["EXTENSION", ..] => Verb::CreateExtension,
        ["ROLE" | "GROUP", ..] => Verb::CreateRole,
        ["USER", next, ..] if *next != "MAPPING" => Verb::CreateRole,
        ["SEQUENCE", ..] => Verb::CreateSequence,
        ["DATABASE", ..] => Verb::CreateDatabase,
        _ => Verb::CreateOther,
    }
}

fn never(verb: Verb, words: &[&str], statement: &str) -> bool {
    let says = |word: &str| {
        tokens(statement)
            .any(|token| token.kind == TokenKind::Ident && statement[token.range()].eq_ignore_ascii_case(word))
    };
    match verb {
        Verb::CreateIndex | Verb::DropIndex => words.iter().take(4).any(|word| *word == "CONCURRENTLY"),
        Verb::Reindex => {
            words.iter().take(6).any(|word| ["CONCURRENTLY", "DATABASE", "SYSTEM", "SCHEMA"].contains(word))
        }
        Verb::AlterTable => says("DETACH") && says("CONCURRENTLY"),
        Verb::Vacuum | Verb::AlterSystem | Verb::CreateDatabase | Verb::DropDatabase => true,
        Verb::Cluster => words.len() == 1,
        _ => matches!(
            words,
            ["CREATE" | "DROP", "TABLESPACE", ..]
                | ["CREATE" | "DROP", "SUBSCRIPTION", ..]
                | ["COMMIT" | "ROLLBACK", "PREPARED", ..]
                | ["DISCARD", "ALL", ..]
        ),
    }
}

fn merge(mut found: Objects, guessed: Objects) -> Objects {
    for (list, more) in [(&mut found.creates, guessed.creates), (&mut found.drops, guessed.drops)] {
        for object in more {
            if !list.iter().any(|known| known.name == object.name) {
                list.push(object);
            }
        }
    }
    found
}

/// What a statement that the parser does not understand creates or drops: the name behind the words that say what.
fn guess(verb: Verb, statement: &str) -> Objects {
    let kind = match verb {
        Verb::CreateTable | Verb::DropTable => ObjectKind::Table,
        Verb::CreateView | Verb::DropView => ObjectKind::View,
        Verb::CreateMaterializedView => ObjectKind::MaterializedView,
        Verb::CreateType | Verb::CreateDomain | Verb::DropType => ObjectKind::Type,
        Verb::CreateFunction | Verb::DropFunction => ObjectKind::Function,
        Verb::CreateSchema | Verb::DropSchema => ObjectKind::Schema,
        Verb::CreateExtension => ObjectKind::Extension,
        Verb::CreateRole | Verb::DropRole => ObjectKind::Role,
        Verb::CreateSequence => ObjectKind::Sequence,
        _ => return Objects::default(),
    };
    let before = ["TABLE", "VIEW", "TYPE", "DOMAIN", "FUNCTION", "PROCEDURE", "AGGREGATE", "ROUTINE", "SCHEMA"];
    let before = [&before[..], &["EXTENSION", "ROLE", "USER", "GROUP", "SEQUENCE"]].concat();
    let mut rest = tokens(statement)
        .skip_while(|token| !before.iter().any(|word| statement[token.range()].eq_ignore_ascii_case(word)));
    rest.next();
    let mut parts: Vec<String> = Vec::new();
    for token in rest {
        let text = &statement[token.range()];
        let is_condition = ["if", "not", "exists"].iter().any(|word| text.eq_ignore_ascii_case(word));
        match token.kind {
            TokenKind::Ident if is_condition && parts.is_empty() => {}
            TokenKind::Ident | TokenKind::QuotedIdent { .. } => parts.push(folded(text)),
            TokenKind::Dot => continue,
            _ => break,
        }
        // A name goes on behind a dot only.
        if !parts.is_empty() && !statement[token.end..].trim_start().starts_with('.') {
            break;
        }
    }
    let mut found = Objects::default();
    if let Some(name) = parts.pop() {
        let object = ObjectName { kind, schema: parts.pop(), name };
        let is_drop = matches!(
            verb,
            Verb::DropTable
                | Verb::DropView
                | Verb::DropType
                | Verb::DropFunction
                | Verb::DropSchema
                | Verb::DropRole
        );
        if is_drop { &mut found.drops } else { &mut found.creates }.push(object);
    }
    found
}
