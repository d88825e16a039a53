//! Safe code that tries to break belljar. All of it is in the tests.
