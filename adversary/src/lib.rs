//! Safe code that tries to break belljar; see the tests.
