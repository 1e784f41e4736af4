//! The store as other rooms use it, each test on a database of its own.
