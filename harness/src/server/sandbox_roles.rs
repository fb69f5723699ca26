//! The roles that scripts are executed as: one for each of their databases, named after it, and gone with it.

/// What the comment on a role says that was made because a script wanted one.
pub(crate) const MARK: &str = "made by proofmark for scripts";

/// What the names look like of the roles that own databases for scripts.
pub(crate) const PATTERN: &str = "^proofmark_[0-9a-f]+_[0-9]+_role$";

/// Nobody makes or drops such roles while this is held: on a catalog that is the same in all databases, that scripts
/// cannot lock, and that nothing else that goes on at the same time locks in this way.
pub(crate) const LOCK: &str = "LOCK TABLE pg_catalog.pg_tablespace IN SHARE UPDATE EXCLUSIVE MODE";

/// The role that owns a database for scripts.
pub(crate) fn role_of(database: &str) -> String {
    format!("{database}_role")
}

/// The statement that drops a database's role, if it has one, and those made for its scripts; in any other database,
/// once it is gone.
pub(crate) fn drop_statement(role: &str) -> String {
    let plain: String = role.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    include_str!("sandbox_roles.sql")
        .replace("{role}", &plain)
        .replace("{mark}", MARK)
        .replace("{pattern}", PATTERN)
}
