//! What the user wants. Under construction.
