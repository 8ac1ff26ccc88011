//! Errors as an operator reads them: `file:line:column`, the key, what was expected, the nearest valid key, the fix.

/// One thing wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The dotted key, such as `routes.api.timeout`.
    pub key: String,
    /// What is wrong, what was expected, and the fix.
    pub message: String,
}

/// All that is wrong with a file, in the file's order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

impl std::error::Error for ConfigErrors {}
