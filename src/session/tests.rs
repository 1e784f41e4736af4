//! Rules of the session under virtual time.
