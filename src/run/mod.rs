//! Plan → Outcome: parallel builds, provisioning, post-processing, cancellation.
