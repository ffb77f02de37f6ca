//! Lines on a bad network.
