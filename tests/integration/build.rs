//! The build command: parallel builds, signals, output.
