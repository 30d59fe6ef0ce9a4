//! The machine's WinRM service: refused by name until it is built.

/// Why it cannot be chosen.
pub(super) const WHY_NOT: &str =
    "WinRM is not built yet: Windows machines are reached over OpenSSH";

/// Its options, which are refused by name.
pub(super) const NOT_BUILT: [&str; 9] = [
    "winrm_username",
    "winrm_password",
    "winrm_host",
    "winrm_no_proxy",
    "winrm_port",
    "winrm_timeout",
    "winrm_use_ssl",
    "winrm_insecure",
    "winrm_use_ntlm",
];
