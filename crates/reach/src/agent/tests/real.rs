//! An agent over real lines.
