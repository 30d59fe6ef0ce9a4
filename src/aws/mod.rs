//! The AWS account: credentials, clients, waiters.
