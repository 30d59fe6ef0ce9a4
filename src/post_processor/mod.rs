//! Post-processors: each makes something of a finished artifact.
