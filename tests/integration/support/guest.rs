//! Guests of the tests: some of 512 bytes (one says a line on its serial console, others print the keys
//! that they get), and a Debian.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the small guests say.
pub const GREETING: &str = "a small guest is here";

/// What a small guest does after its greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It powers off.
    PowerOff,
    /// It waits for ever.
    Wait,
}

/// A raw disk of 1 MiB that is nothing but a boot sector.
pub fn small_disk(then: Then) -> Vec<u8> {
    #[rustfmt::skip]
    let mut code = vec![
        0x31, 0xc0, 0x8e, 0xd8, 0xfc, // xor ax, ax; mov ds, ax; cld
        0xbe, 0x00, 0x7c,             // mov si, the text (its place is filled in below)
        0xba, 0xf8, 0x03,             // mov dx, the first serial port
        0xac, 0x84, 0xc0,             // next: lodsb; test al, al
        0x74, 0x03, 0xee, 0xeb, 0xf8, // jz done; out dx, al; jmp next
    ];
    if then == Then::PowerOff {
        // The power management port of QEMU's PC.
        code.extend([0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef]); // mov dx, 0x604; mov ax, 0x2000; out dx, ax
    }
    code.extend([0xf4, 0xeb, 0xfd]); // wait: hlt; jmp wait
    code[6] = u8::try_from(code.len()).expect("a short program");
    code.extend(b"\x1b[31m");
    code.extend(GREETING.as_bytes());
    code.extend(b"\r\n\0");
    boot_disk(&code)
}

/// A raw disk with a guest that says `keys: ` on its serial console, reads the keyboard controller, and
/// prints each byte in hexadecimal at port 0xe9. When F11 goes up it changes the screen, when F12 goes up it powers off.
///
/// ```text
///     cli; ax = ds = ss = 0; sp = 0x7c00; cld; dx = 0x3f8; si = ready
/// 1:  lodsb; test al,al; jz next; out dx,al; jmp 1b
/// next: in al,0x64; test al,1; jz next; in al,0x60; mov bh,al
///     mov bl,al; shr al,4; call digit; mov al,bl; and al,15; call digit; mov al,' '; out 0xe9,al
///     cmp bh,0xd7; jne 3f; mov ax,0x13; int 0x10; cli
/// 3:  cmp bh,0xd8; jne next; mov dx,0x604; mov ax,0x2000; out dx,ax
/// 2:  hlt; jmp 2b
/// digit: add al,'0'; cmp al,'9'; jbe put; add al,39
/// put: out 0xe9,al; ret
/// ready: "keys: ", 0
/// ```
pub fn disk_that_prints_scancodes() -> Vec<u8> {
    coded_disk(
        "fa31c08ed88ed0bc007cfcbaf803be5b7cac84c07403eeebf8\
         e464a80174fae46088c788c3c0e804e8250088d8240fe81e00b020e6e9\
         80ffd77506b81300cd10fa80ffd875d3ba0406b80020eff4ebfd\
         04303c3976020427e6e9c3\
         6b6579733a2000",
    )
}

/// A raw disk with a guest that says `keys: `, reads keys from its BIOS, prints each at port 0xe9, and
/// then does nothing for two ticks of 55 ms. It powers off at Escape.
///
/// ```text
///     ax = ds = ss = 0; sp = 0x7c00; cld; dx = 0x3f8; si = ready
/// 1:  lodsb; test al,al; jz next; out dx,al; jmp 1b
/// next: xor ah,ah; int 0x16; cmp al,27; je done; out 0xe9,al
///     mov bx,[0x46c]; add bx,2
/// 2:  mov ax,[0x46c]; sub ax,bx; js 2b; jmp next
/// done: mov dx,0x604; mov ax,0x2000; out dx,ax
/// 3:  hlt; jmp 3b
/// ready: "keys: ", 0
/// ```
pub fn disk_that_reads_slowly() -> Vec<u8> {
    coded_disk(
        "31c08ed88ed0bc007cfcbaf803be3c7cac84c07403eeebf8\
         30e4cd163c1b7412e6e98b1e6c0483c302a16c0429d878f9ebe6\
         ba0406b80020eff4ebfd\
         6b6579733a2000",
    )
}

fn coded_disk(code: &str) -> Vec<u8> {
    boot_disk(&hex::decode(code).expect("hexadecimal digits"))
}

/// A raw disk of 1 MiB with nothing but this boot sector.
fn boot_disk(code: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[..code.len()].copy_from_slice(code);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// The CD of an installer that a BIOS boots: it says what is written on the floppy, writes `disk`'s
/// first sector to the machine's first disk, and starts the machine again.
pub fn small_installer(disk: &[u8]) -> Vec<u8> {
    #[rustfmt::skip]
    let code = [
        0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0xfc, // xor ax, ax; mov ds, ax; mov es, ax; cld
        0xb8, 0x01, 0x02, 0xb9, 0x01, 0x00,       // mov ax, read one sector; mov cx, the first
        0x31, 0xd2, 0xbb, 0x00, 0x90, 0xcd, 0x13, // xor dx, dx: the floppy; mov bx, 0x9000; int 0x13
        0x72, 0x0e,                               // jc, there is none
        0xbe, 0x03, 0x90, 0xb9, 0x08, 0x00,       // mov si, who formatted it; mov cx, 8
        0xba, 0xf8, 0x03, 0xf3, 0x6e,             // mov dx, the first serial port; rep outsb
        0xb0, 0x0a, 0xee,                         // mov al, a new line; out dx, al
        0xb8, 0x01, 0x03, 0xb9, 0x01, 0x00,       // mov ax, write one sector; mov cx, the first
        0xba, 0x80, 0x00, 0xbb, 0x00, 0x7e,       // mov dx, the disk; mov bx, 0x7e00
        0xcd, 0x13,                               // int 0x13
        0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd, // mov al, 0xfe; out 0x64, al: reset; hlt
    ];
    let mut boot = vec![0; 2048];
    boot[..code.len()].copy_from_slice(&code);
    boot[512..1024].copy_from_slice(&disk[..512]);
    cd(&[("boot.bin", &boot)], &["-b", "boot.bin", "-no-emul-boot", "-boot-load-size", "4"])
}

/// A CD with `files`, made by `xorriso` with these arguments.
pub fn cd(files: &[(&str, &[u8])], arguments: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }
    let image = dir.path().join("cd.iso");
    let mut command = Command::new("xorriso");
    command.args(["-as", "mkisofs", "-quiet", "-r"]).args(arguments).arg("-o").arg(&image);
    assert!(command.arg(&root).status().expect("xorriso").success(), "xorriso {arguments:?}");
    std::fs::read(image).expect("a CD")
}

/// A Debian disk with cloud-init: the quickstart's, made once and kept outside of the checkout.
pub fn debian_disk() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/base-disk");
    let output = Command::new(&script).stderr(Stdio::inherit()).output().expect("base-disk");
    assert!(output.status.success(), "{}", script.display());
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

/// A block `source "qemu" "debian"` that starts from `disk`, a Debian that cloud-init lets the build's key
/// into; with these `options` beside. Its image goes into the directory `output`.
pub fn debian_source(disk: &Path, output: &str, options: &str) -> String {
    format!(
        r##"source "qemu" "debian" {{
  disk_image   = true
  iso_url      = "{disk}"
  iso_checksum = "none"
  disk_size    = "3G"
  memory       = 1024
  cpus         = 2
  headless     = true
  cd_label     = "cidata"
  cd_content = {{
    "meta-data" = "instance-id: {output}\n"
    "user-data" = "#cloud-config\nssh_authorized_keys:\n  - {{{{ .SSHPublicKey }}}}\n"
  }}
  ssh_username     = "debian"
  ssh_timeout      = "10m"
  shutdown_command = "sudo shutdown -P now"
  output_directory = "{output}"
  vm_name          = "disk.qcow2"
{options}
}}
"##,
        disk = disk.display(),
    )
}

/// The CD of a small installer: GRUB, whose menu is typed at, and a kernel that fetches the kickstart
/// file which its command line names. Made once and kept outside of the checkout.
pub fn kickstart_installer() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/installer/make");
    let output = Command::new(&script).stderr(Stdio::inherit()).output().expect("make");
    assert!(output.status.success(), "{}", script.display());
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

/// Waits until no process has `text` in its command line.
#[track_caller]
pub fn wait_for_the_end_of(text: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes_with(text).is_empty() {
        assert!(Instant::now() < deadline, "{text} still runs");
        super::pause(20);
    }
}

/// Waits until no process works in `dir`: a program that a killed run was starting has the locks of that
/// run until it is on its way.
#[track_caller]
pub fn wait_until_nobody_works_in(dir: &Path) {
    let dir = dir.canonicalize().expect("a directory");
    let works_there = |entry: std::fs::DirEntry| {
        std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == dir)
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::fs::read_dir("/proc").expect("/proc").flatten().any(works_there) {
        assert!(Instant::now() < deadline, "somebody still works in {}", dir.display());
        super::pause(20);
    }
}

/// What `qemu-img` says of a disk.
#[track_caller]
pub fn image_info(path: &Path) -> serde_json::Value {
    let info = Command::new("qemu-img").args(["info", "--output=json"]).arg(path).output();
    let info = info.expect("qemu-img");
    assert!(info.status.success(), "{info:?}");
    serde_json::from_slice(&info.stdout).expect("JSON")
}

/// The command lines of all processes that have `text` in theirs.
pub fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push(line);
        }
    }
    found
}
