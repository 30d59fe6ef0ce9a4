//! Whatever shell the user logs in to, and whatever runs instead of one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use imgbake::communicator::{SshOptions, TransferMethod};
use imgbake::component::{Command, Exit, Upload};
use imgbake::retry::Permanent;

use super::transfer::{both_ways, lands_where_it_should};
use super::{Build, machine, options, soon};
use crate::support::Sshd;

#[tokio::test]
async fn fish_and_csh_run_what_is_sent_as_sh_does() {
    for shell in ["/usr/bin/fish", "/bin/csh"] {
        let sshd = Sshd::start_with_login_shell(shell);
        let (build, machine) = machine(&sshd).await;
        let said = "status=$?; printf %s \"it's a test! $((1 + 1))\"; exit 7";
        for command in [Command::Ours(said), Command::Template(said)] {
            let (exit, printed) = soon(machine.run_captured(command)).await.unwrap();
            let printed = String::from_utf8(printed.stdout).unwrap();
            assert_eq!(
                (exit, &*printed),
                (Exit::Status(7), "it's a test! 2"),
                "{shell} {command:?}"
            );
        }
        lands_where_it_should(&*machine, &build).await;
        both_ways(&*machine, &build).await;
    }
}

/// A machine whose `sh` does `instead` where a command has `pattern` in it.
fn with_hostile_sh(pattern: &str, instead: &str) -> (Sshd, tempfile::TempDir) {
    let bin = tempfile::tempdir().unwrap();
    let sh = format!(
        "#!/bin/sh\ncase \"$*\" in *{pattern}*) {instead};; *) exec /bin/sh \"$@\";; esac\n"
    );
    fs::write(bin.path().join("sh"), sh).unwrap();
    fs::set_permissions(bin.path().join("sh"), fs::Permissions::from_mode(0o755)).unwrap();
    (Sshd::start_with(&format!("SetEnv PATH={}:/usr/bin:/bin", bin.path().display())), bin)
}

#[tokio::test]
async fn a_name_that_the_machine_lists_does_not_lead_out_of_the_destination() {
    for name in ["d/var/log/..", "f/var/log/..", "d..", "f/"] {
        let (sshd, _bin) = with_hostile_sh("d%s", &format!("printf '{name}\\0'"));
        let (build, machine) = machine(&sshd).await;
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("logs");
        let ended = soon(machine.download_dir("/var/log/*", &to, &build.cx.ui)).await;
        assert!(format!("{:#}", ended.unwrap_err()).contains("directory"), "{name}");
        let beside: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert!(beside.len() <= 1, "{name}: {beside:?}");
    }
}

#[tokio::test]
async fn a_machine_that_answers_without_end_is_not_listened_to() {
    for (pattern, what) in [("GNU", "which `tar` there is"), ("d%s", "the list of files")] {
        let (sshd, _bin) = with_hostile_sh(pattern, "exec cat /dev/zero");
        let (build, machine) = machine(&sshd).await;
        let dir = tempfile::tempdir().unwrap();
        let ended = soon(machine.download_dir("/var/log/*", dir.path(), &build.cx.ui)).await;
        let said = format!("{:#}", ended.unwrap_err());
        assert!(said.contains(what) && said.contains("is larger than"), "{said}");
    }
    let (_sshd, machine) = {
        let sshd = Sshd::start();
        let (_, machine) = machine(&sshd).await;
        (sshd, machine)
    };
    let ended = soon(machine.run_captured("head -c 3000000 /dev/zero")).await.map(|_| ());
    let said = format!("{:#}", ended.unwrap_err());
    assert_eq!(said, "the machine's answer is larger than 1048576 bytes");
}

#[tokio::test]
async fn what_a_forced_command_says_is_the_error_and_nothing_is_tried_for_long() {
    let sshd = Sshd::start();
    let keys = fs::read_to_string(sshd.authorized_keys()).unwrap();
    let words = "Please login as the user \\\"ubuntu\\\" rather than the user \\\"root\\\".";
    let forced = format!("command=\"echo '{words}'; sleep 1; exit 142\" ");
    let keys: String = keys.lines().map(|key| format!("{forced}{key}\n")).collect();
    fs::write(sshd.authorized_keys(), keys).unwrap();
    let (build, machine) = machine(&sshd).await;
    let text = Upload::Text { content: b"x", mode: 0o644 };
    let started = Instant::now();
    let error = soon(machine.upload(text, "/tmp/imgbake-never", &build.cx.ui)).await.unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("Please login as the user \"ubuntu\""), "{said}");
    assert!(said.contains("`ssh_username`"), "{said}");
    assert!(error.is::<Permanent>(), "no other try would change it: {said}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_server_for_files_alone_runs_no_command_and_does_not_seem_to() {
    let sshd = Sshd::start_with("ForceCommand internal-sftp");
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script").display().to_string();
    for method in [TransferMethod::Scp, TransferMethod::Sftp] {
        let with = SshOptions { ssh_file_transfer_method: method, ..options(&sshd) };
        let build = Build::new();
        let machine = soon(build.connect(&with)).await.unwrap();
        let text = Upload::Text { content: b"#!/bin/sh\n", mode: 0o755 };
        soon(machine.upload(text, &script, &build.cx.ui)).await.unwrap();
        for command in [Command::Ours(&script), Command::Template(&script)] {
            match (command, soon(machine.run_captured(command)).await) {
                (_, Err(error)) => {
                    assert!(format!("{error:#}").contains("no POSIX shell"), "{error:#}");
                }
                // The server says itself that it failed.
                (Command::Template(_), Ok((exit, _))) => assert_ne!(exit.status(), 0),
                (Command::Ours(_), Ok((exit, _))) => panic!("it seems to have run: {exit:?}"),
            }
        }
    }
    assert!(Path::new(&script).exists());
}

/// A server that says that it is Windows', with a log of what it is told to run. Asked for its shell, it
/// says `answer`.
fn like_windows(dir: &Path, answer: &str) -> Sshd {
    fs::create_dir_all(dir.join("c:/Windows/Temp")).unwrap();
    let dir = dir.display();
    Sshd::start_with(&format!(
        "VersionAddendum OpenSSH_for_Windows_9.5\nForceCommand case $SSH_ORIGINAL_COMMAND in \
         internal-sftp) exec /usr/lib/openssh/sftp-server -d {dir};; \
         *imgbake-shell*) printf '%s\\n' '{answer}'; exit;; esac; \
         printf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >>{dir}/log; exit 3"
    ))
}

#[tokio::test]
async fn windows_gets_files_over_sftp_and_commands_in_its_own_language() {
    let dir = tempfile::tempdir().unwrap();
    let sshd = like_windows(dir.path(), "imgbake-shell=$PSHOME=Windows_NT");
    let (build, machine) = machine(&sshd).await;
    let script = "c:/Windows/Temp/script.ps1";
    let text = Upload::Text { content: b"Get-Date", mode: 0o644 };
    soon(machine.upload(text, script, &build.cx.ui)).await.unwrap();
    assert_eq!(fs::read(dir.path().join(script)).unwrap(), b"Get-Date");
    let removal = machine.shell().remove_files(&[script]);
    for command in [Command::Template("powershell -file \"x\""), Command::Ours(&removal)] {
        let (exit, _) = soon(machine.run_captured(command)).await.unwrap();
        assert_eq!(exit, Exit::Status(3));
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("log")).unwrap(),
        "powershell -file \"x\"\ncmd /d /c \"del /f /q \"c:\\Windows\\Temp\\script.ps1\" 2>nul\"\n"
    );
}

/// It would replace `$env:COMPUTERNAME` and `$LastExitCode` before `cmd` or another PowerShell sees them.
#[tokio::test]
async fn powershell_as_login_shell_changes_nothing_of_what_we_say() {
    let dir = tempfile::tempdir().unwrap();
    let answer = r"imgbake-shell=C:\Windows\System32\WindowsPowerShell\v1.0=%OS%";
    let sshd = like_windows(dir.path(), answer);
    let (_build, machine) = machine(&sshd).await;
    let ours = "set \"A=it's\" && powershell -Command \"exit $LastExitCode\"";
    for command in [Command::Ours(ours), Command::Template("Get-Date; exit $LastExitCode")] {
        let (exit, _) = soon(machine.run_captured(command)).await.unwrap();
        assert_eq!(exit, Exit::Status(3));
    }
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    let (first, second) = log.trim_end().split_once('\n').unwrap();
    assert_eq!(second, "Get-Date; exit $LastExitCode");
    let first = first.strip_suffix("; exit $LASTEXITCODE").unwrap();
    assert!(!first.contains(['$', '"', '&', '\'']), "{first}");
    let encoded = first.rsplit(' ').next().unwrap();
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, encoded).unwrap();
    let units: Vec<u16> =
        bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let script = String::from_utf16(&units).unwrap();
    let quoted = ours.replace('\'', "''");
    assert!(script.starts_with(&format!("$command = '{quoted}'\n")), "{script}");
    assert!(script.contains("exit $process.ExitCode"), "{script}");
}

#[tokio::test]
async fn a_machine_without_sftp_says_so_at_once() {
    let without_sftp = "case $SSH_ORIGINAL_COMMAND in internal-sftp) exit 1;; esac; eval \"$SSH_ORIGINAL_COMMAND\"";
    let sshd = Sshd::start_with(&format!("ForceCommand {without_sftp}"));
    let with = SshOptions { ssh_file_transfer_method: TransferMethod::Sftp, ..options(&sshd) };
    let build = Build::new();
    let machine = soon(build.connect(&with)).await.unwrap();
    let text = Upload::Text { content: b"x", mode: 0o644 };
    let error = soon(machine.upload(text, "/tmp/imgbake-never", &build.cx.ui)).await.unwrap_err();
    assert!(
        error.is::<Permanent>() && format!("{error:#}").contains("no SFTP subsystem"),
        "{error:#}"
    );
}
