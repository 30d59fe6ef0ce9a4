//! The qemu builder from an ISO: an installer boots, fills the empty disk, and the disk is the image.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use sha2::Digest as _;

use crate::support::{
    Cpu, GREETING, Program, Run, Served, Then, cd, processes_with, signal, small_disk,
    small_installer, uefi_disk,
};

/// A template for small guests: `name` and options of each.
fn template(machines: &[(String, String)]) -> String {
    let source = |(name, options): &(String, String)| {
        format!(
            "source \"qemu\" \"{name}\" {{\n  headless = true\n  accelerator = \"tcg\"\n  \
             disk_size = \"2M\"\n{options}\n}}\n"
        )
    };
    let names: Vec<_> = machines.iter().map(|(name, _)| format!("\"qemu.{name}\"")).collect();
    let sources: String = machines.iter().map(source).collect();
    format!("{sources}build {{\n  sources = [{}]\n}}\n", names.join(", "))
}

/// A program with one machine `q`, which has these options.
fn program(options: &str) -> Program {
    let program = Program::new();
    program.write("q.pkr.hcl", template(&[("q".to_owned(), options.to_owned())]));
    program
}

fn build(program: &Program) -> Run {
    program.run(["build", "-color=false", "q.pkr.hcl"])
}

/// Options for a guest that powers off by itself after `installer.iso` has written its disk.
const BY_ITSELF: &str =
    "memory = 16\ncommunicator = \"none\"\niso_url = \"installer.iso\"\niso_checksum = \"none\"\n";

/// Options for one that has no SSH server.
const NEVER_THERE: &str = "memory = 16\nssh_username = \"u\"\nssh_password = \"a-password\"\n\
                           iso_url = \"installer.iso\"\niso_checksum = \"none\"\n";

/// What `qemu-img` knows of an image.
fn info(image: &Path) -> serde_json::Value {
    let mut command = Command::new("qemu-img");
    let output = command.args(["info", "--output=json"]).arg(image).output().expect("qemu-img");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The first sector that the guest sees.
fn first_sector(program: &Program, image: &str) -> Vec<u8> {
    let raw = program.path("first-sector");
    let mut command = Command::new("qemu-img");
    command.args(["convert", "-O", "raw"]).arg(program.path(image)).arg(&raw);
    assert!(command.status().expect("qemu-img").success());
    std::fs::read(raw).expect("a disk")[..512].to_vec()
}

#[test]
fn an_installer_fills_an_empty_disk_which_boots_and_becomes_the_image() {
    let disk = small_disk(Then::PowerOff);
    let program = program(&format!("{BY_ITSELF}disk_additional_size = [\"3M\", \"4M\"]\n"));
    program.write("installer.iso", small_installer(&disk));
    let run = build(&program).succeeded();
    assert!(run.stdout.contains("Starting VM, booting from CD-ROM"), "{}", run.stdout);
    assert_eq!(first_sector(&program, "output-q/packer-q"), disk[..512]);
    for (file, size) in [("packer-q", 2 << 20), ("packer-q-1", 3 << 20), ("packer-q-2", 4 << 20)] {
        let info = info(&program.path("output-q").join(file));
        assert_eq!((&info["format"], &info["virtual-size"]), (&"qcow2".into(), &size.into()));
        assert_eq!(info.get("backing-filename"), None);
    }
}

#[test]
fn an_installer_fills_a_raw_disk_of_any_kind() {
    let disk = small_disk(Then::PowerOff);
    for options in [
        "format = \"raw\"\ndisk_interface = \"ide\"\ndisk_cache = \"writethrough\"\n",
        "format = \"raw\"\ndisk_interface = \"virtio-scsi\"\ncdrom_interface = \"virtio-scsi\"\n\
         disk_discard = \"unmap\"\ndisk_detect_zeroes = \"unmap\"\n",
        "skip_compaction = true\ndisk_interface = \"sata\"\nmachine_type = \"q35\"\n\
         qemu_img_args {\n  create = [\"-o\", \"preallocation=metadata\"]\n}\n",
    ] {
        let program = program(&format!("{BY_ITSELF}{options}"));
        program.write("installer.iso", small_installer(&disk));
        build(&program).succeeded();
        assert_eq!(first_sector(&program, "output-q/packer-q"), disk[..512], "{options}");
    }
}

#[test]
fn an_installer_finds_its_floppy() {
    let program = program(&format!(
        "{NEVER_THERE}ssh_timeout = \"10s\"\nfloppy_label = \"answers\"\n\
         floppy_files = [\"ks.cfg\"]\nfloppy_content = {{ \"name\" = \"{{{{ .Name }}}}\" }}\n"
    ));
    program.write("installer.iso", small_installer(&small_disk(Then::Wait)));
    program.write("ks.cfg", "lang en_US\n");
    let run = build(&program).failed_with(1);
    // Who formatted the floppy is its label, too; then the disk boots.
    assert!(run.stdout.contains("qemu.q: answers"), "{}", run.stdout);
    assert!(run.stdout.contains(&format!("qemu.q: {GREETING}\n")), "{}", run.stdout);
    program.write("ks.cfg", vec![b'x'; 2 << 20]);
    let run = program.run(["build", "-force", "-color=false", "q.pkr.hcl"]).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("cannot put ks.cfg on the floppy, which holds 1.44 MB"), "{said}");
}

/// Serves `content` slowly, and counts who asks.
fn serve(content: Vec<u8>, delay: Duration) -> (Served, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, content) = (count.clone(), Bytes::from(content));
    let answer = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let content = content.clone();
        async move {
            tokio::time::sleep(delay).await;
            content
        }
    };
    (Served::start(Router::new().route("/installer.iso", get(answer))), count)
}

#[test]
fn an_iso_may_stay_on_a_server_that_gives_out_parts_of_it() {
    let disk = small_disk(Then::PowerOff);
    let installer = small_installer(&disk);
    let options = |url: &str| {
        format!(
            "memory = 16\ncommunicator = \"none\"\niso_url = \"{url}/installer.iso\"\n\
             iso_skip_cache = true\n"
        )
    };
    let (whole, _) = serve(installer.clone(), Duration::ZERO);
    let run = build(&program(&options(&whole.url()))).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("gives out no parts of files, which `iso_skip_cache` needs"), "{said}");

    let site = Program::new();
    site.write("installer.iso", installer);
    let files = tower_http::services::ServeDir::new(site.dir());
    let parts = Served::start(Router::new().fallback_service(files));
    let program = program(&options(&parts.url()));
    build(&program).succeeded();
    assert_eq!(first_sector(&program, "output-q/packer-q"), disk[..512]);
    assert!(!program.path(".cache").exists(), "nothing is downloaded");
}

#[test]
fn options_of_another_time_work_with_a_warning() {
    let program = program(&format!(
        "{BY_ITSELF}run_once = true\nssh_host_port_min = 3333\nssh_host_port_max = 3332\n"
    ));
    let run = program.run(["validate", "q.pkr.hcl"]).failed_with(1);
    let said = run.stdout + &run.stderr;
    for text in [
        "`ssh_host_port_min` is called `host_port_min` now",
        "`ssh_host_port_max` is called `host_port_max` now",
        "no build needs `run_once` any more",
        "it must not be greater than `host_port_max`",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
}

/// Twenty machines that install from `url`.
fn twenty(program: &Program, url: &str, checksum: &str, options: &str) {
    let options =
        format!("memory = 16\niso_url = \"{url}\"\niso_checksum = \"{checksum}\"\n{options}");
    let machines: Vec<_> = (1..=20).map(|number| (format!("m{number}"), options.clone())).collect();
    program.write("q.pkr.hcl", template(&machines));
}

/// The files that lie around in `directory`, but for locks.
fn left_in(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

#[test]
fn twenty_builds_of_one_iso_share_its_download() {
    let installer = small_installer(&small_disk(Then::PowerOff));
    let digest = hex::encode(sha2::Sha256::digest(&installer));
    let (server, asked) = serve(installer, Duration::from_millis(500));
    let url = format!("{}/installer.iso", server.url());
    for (number, checksum) in [format!("sha256:{digest}"), "none".to_owned()].iter().enumerate() {
        let program = Program::new().with([("PACKER_CACHE_DIR", "cache")]);
        twenty(&program, &url, checksum, "communicator = \"none\"\n");
        program.run(["build", "-color=false", "q.pkr.hcl"]).succeeded();
        assert_eq!(asked.load(Ordering::Relaxed), number + 1, "{checksum}");
        assert_eq!(left_in(&program.path("cache")).len(), 1, "{checksum}");
        for machine in 1..=20 {
            let image = format!("output-m{machine}/packer-m{machine}");
            assert!(program.path(&image).exists(), "{image}");
        }
    }
}

/// Nothing of `program`'s builds runs or lies around any more.
#[track_caller]
fn assert_nothing_left(program: &Program) {
    let name = program.dir().file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(processes_with(&format!("-name {name}")), Vec::<String>::new());
    // Pictures of a failure are to stay.
    let is_output = |name: &String| name.starts_with("output-") && !name.ends_with(".screens");
    let outputs: Vec<_> = left_in(program.dir()).into_iter().filter(is_output).collect();
    assert!(outputs.is_empty(), "{outputs:?}");
}

/// Starts twenty builds, interrupts them when `enough` lines have said `mark`, and sees them end.
fn interrupt(program: &Program, mark: &'static str, enough: usize) {
    let mut child = program.start(["build", "-color=false", "q.pkr.hcl"]);
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut marks = lines.map_while(Result::ok).filter(move |line| line.contains(mark));
    assert_eq!(marks.by_ref().take(enough).count(), enough, "{mark}");
    let rest = std::thread::spawn(move || marks.count());
    let started = Instant::now();
    signal(&child, "INT");
    let run = Program::finish(child);
    rest.join().expect("the rest of its output");
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_nothing_left(program);
}

#[test]
fn twenty_builds_that_are_interrupted_leave_nothing() {
    let installer = small_installer(&small_disk(Then::Wait));
    let digest = hex::encode(sha2::Sha256::digest(&installer));
    let program = Program::new().with([("PACKER_CACHE_DIR", "cache")]);
    let name = program.dir().file_name().expect("a name").to_string_lossy().into_owned();
    let options = format!(
        "ssh_username = \"u\"\nssh_password = \"a-password\"\nqemuargs = [[\"-name\", \"{name}\"]]\n"
    );

    // While one downloads and all others wait for it.
    let (server, _) = serve(installer.clone(), Duration::from_secs(600));
    let url = format!("{}/installer.iso", server.url());
    twenty(&program, &url, &format!("sha256:{digest}"), &options);
    interrupt(&program, "Waiting for another build that needs the same image", 19);
    assert_eq!(left_in(&program.path("cache")), Vec::<String>::new());

    // While all machines run.
    let (server, _) = serve(installer, Duration::ZERO);
    let url = format!("{}/installer.iso", server.url());
    twenty(&program, &url, &format!("sha256:{digest}"), &options);
    interrupt(&program, "Waiting for SSH", 20);
    assert_eq!(left_in(&program.path("cache")).len(), 1);
}

#[test]
fn a_pc_boots_with_uefi_and_a_tpm_and_keeps_its_variables() {
    let program = program(
        "disk_image = true\niso_url = \"disk.raw\"\niso_checksum = \"none\"\nmemory = 256\n\
         communicator = \"none\"\nefi_boot = true\nvtpm = true\nshutdown_timeout = \"10m\"\n\
         skip_resize_disk = true\nmachine_type = \"q35\"\n",
    );
    program.write("disk.raw", uefi_disk(Cpu::X86, GREETING));
    let run = build(&program).succeeded();
    assert!(run.stdout.contains("Starting a TPM for the machine"), "{}", run.stdout);
    assert!(program.path("output-q/efivars.fd").exists());

    // A TPM that cannot be played is the cause, not the QEMU that misses it.
    let fake = program.write("bin/swtpm", "#!/bin/sh\necho 'no memory for a TPM' >&2\nexit 3\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&fake, executable).expect("chmod");
    let path =
        format!("{}:{}", program.path("bin").display(), std::env::var("PATH").expect("PATH"));
    let mut command = program.command(["build", "-force", "-color=false", "q.pkr.hcl"]);
    let run = Run::of(command.env("PATH", path).output().expect("imgbake")).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("swtpm ended (exit status: 3): no memory for a TPM"), "{said}");
}

#[test]
fn a_machine_of_arm_installs_from_a_cd_with_its_own_firmware() {
    let program = program(
        "iso_url = \"installer.iso\"\niso_checksum = \"none\"\ncommunicator = \"none\"\n\
         qemu_binary = \"qemu-system-aarch64\"\nmemory = 256\nshutdown_timeout = \"10m\"\n\
         efi_drop_efivars = true\n",
    );
    let boots = uefi_disk(Cpu::Arm, GREETING);
    let arguments = ["-e", "boot.img", "-no-emul-boot"];
    program.write("installer.iso", cd(&[("boot.img", &boots)], &arguments));
    build(&program).succeeded();
    assert_eq!(info(&program.path("output-q/packer-q"))["virtual-size"], 2 << 20);
}

#[test]
fn what_a_machine_does_not_have_is_refused_where_it_is_asked_for() {
    let arm = format!("{BY_ITSELF}qemu_binary = \"qemu-system-aarch64\"\n");
    for (options, line, cause) in [
        (
            format!("{arm}floppy_content = {{ \"a\" = \"b\" }}\n"),
            "floppy_content",
            "have no floppy drive",
        ),
        (format!("{arm}disk_interface = \"ide\"\n"), "disk_interface", "have no IDE"),
        (format!("{arm}cdrom_interface = \"ide\"\n"), "cdrom_interface", "have no IDE"),
        (
            format!("{BY_ITSELF}skip_resize_disk = true\n"),
            "skip_resize_disk",
            "it needs `disk_image = true`",
        ),
        (
            format!("{BY_ITSELF}floppy_label = \"much too long\"\n"),
            "floppy_label",
            "at most 11 characters",
        ),
        (
            format!("{BY_ITSELF}floppy_files = [\"missing.cfg\"]\n"),
            "floppy_files",
            "cannot read missing.cfg",
        ),
        (
            format!("{BY_ITSELF}http_network_protocol = \"unix\"\n"),
            "http_network_protocol",
            "no machine reaches a server that speaks `unix`",
        ),
        (format!("{BY_ITSELF}use_tpm1 = true\n"), "vtpm", "`use_tpm1` says which TPM"),
    ] {
        let program = program(&options);
        let run = program.run(["validate", "q.pkr.hcl"]).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains(cause) && said.contains(line), "{options}: {said}");
        assert!(said.contains("q.pkr.hcl:"), "{said}");
    }
}
