//! The command line of QEMU: what the options ask for, and what `qemuargs` make of it.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::json;

use crate::builder::qemu::architecture::Architecture;
use crate::builder::qemu::options::{Accelerator, Disks, Firmware, Hardware, Interface, Network};
use crate::vm::download::Source;
use crate::vm::{self, MachineText};

/// Everything that the command line is made of.
#[derive(Debug)]
pub(super) struct CommandLineInputs<'a> {
    pub architecture: Architecture,
    pub hardware: &'a Hardware,
    pub firmware: &'a Firmware,
    pub disks: &'a Disks,
    pub network: &'a Network,
    /// The machine's name.
    pub name: &'a str,
    pub accelerator: Accelerator,
    /// The disks, the main one first.
    pub disk_paths: &'a [PathBuf],
    pub cds: &'a [Source],
    /// Whether the first CD is booted, the first time.
    pub installs: bool,
    pub floppy: Option<&'a Path>,
    /// Where the TPM listens.
    pub tpm: Option<&'a Path>,
    /// Code and variables of the UEFI.
    pub efi: Option<(&'a Path, &'a Path)>,
    /// The address of the network card, where it must be known.
    pub mac: Option<&'a str>,
    /// Port of this host → port of the guest.
    pub forward: Option<(u16, u16)>,
    /// The display to show, e.g. `none`; `None` leaves it to QEMU.
    pub display: Option<&'a str>,
    /// The control socket for others.
    pub monitor: Option<&'a Path>,
    /// The VNC server, as QEMU is told of it.
    pub vnc: Option<String>,
}

/// Switches and the values that each is given, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments(IndexMap<String, Vec<String>>);

impl Arguments {
    /// What the options ask for.
    pub fn of(given: &CommandLineInputs<'_>) -> Self {
        let mut arguments = Self::default();
        arguments.machine(given);
        arguments.firmware(given);
        arguments.network(given);
        arguments.drives(given);
        arguments
    }

    fn machine(&mut self, given: &CommandLineInputs<'_>) {
        let (hardware, architecture) = (given.hardware, given.architecture);
        self.add("-name", given.name);
        let machine_type = some(&hardware.machine_type).unwrap_or(architecture.machine_type());
        self.add("-machine", format!("type={machine_type}"));
        match given.accelerator {
            Accelerator::None => {}
            // A thread for each CPU, which QEMU does not do by itself for every guest.
            Accelerator::Tcg => self.add("-accel", "tcg,thread=multi"),
            other => self.add("-accel", other.name()),
        }
        self.add("-m", format!("{}M", hardware.memory));
        self.add("-smp", smp(hardware));
        let usual = || architecture.cpu_model(given.accelerator);
        if let Some(model) = some(&hardware.cpu_model).or_else(usual) {
            self.add("-cpu", model);
        }
        if let Some(card) = some(&hardware.vga) {
            self.add("-vga", card);
        }
        if let Some(display) = given.display {
            self.add("-display", display);
        }
        if let Some(vnc) = &given.vnc {
            self.add("-vnc", &**vnc);
        }
        if let Some(path) = given.monitor {
            self.add("-qmp", format!("unix:{},server=on,wait=off", escaped(path)));
        }
        for device in architecture.console_devices() {
            self.add("-device", *device);
        }
    }

    /// What runs first, and what it is asked to boot. UEFI has an order of its own.
    fn firmware(&mut self, given: &CommandLineInputs<'_>) {
        if let Some(path) = &given.firmware.firmware {
            match given.firmware.use_pflash {
                true => self.flash("readonly=on", path),
                false => self.add("-bios", path.to_string_lossy()),
            }
        }
        match given.efi {
            Some((code, vars)) => {
                self.flash("unit=0,readonly=on", code);
                self.flash("unit=1", vars);
            }
            None => self.add("-boot", if given.installs { "once=d" } else { "c" }),
        }
        if let Some(socket) = given.tpm {
            self.tpm(given, socket);
        }
    }

    fn flash(&mut self, how: &str, path: &Path) {
        self.add("-drive", format!("if=pflash,format=raw,{how},file={}", escaped(path)));
    }

    fn tpm(&mut self, given: &CommandLineInputs<'_>, socket: &Path) {
        let wanted = some(&given.firmware.tpm_device_type);
        let device = wanted.unwrap_or(given.architecture.tpm_device());
        self.add("-chardev", format!("socket,id=vtpm,path={}", escaped(socket)));
        self.add("-tpmdev", "emulator,id=tpm0,chardev=vtpm");
        self.add("-device", format!("{device},tpmdev=tpm0"));
    }

    fn network(&mut self, given: &CommandLineInputs<'_>) {
        let forward = given.forward.map_or_else(String::new, |(host, guest)| {
            format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}")
        });
        match some(&given.network.net_bridge) {
            Some(bridge) => {
                self.add("-netdev", format!("bridge,id=user.0,br={}", vm::escaped(bridge)));
            }
            None => self.add("-netdev", format!("user,id=user.0{forward}")),
        }
        self.add("-device", net_device(given.network, given.mac));
    }

    fn drives(&mut self, given: &CommandLineInputs<'_>) {
        let disks = given.disks;
        let scsi_cds = disks.cdrom_interface == "virtio-scsi" && !given.cds.is_empty();
        if disks.disk_interface == Interface::VirtioScsi || scsi_cds {
            self.add("-device", "virtio-scsi-pci,id=scsi0");
        }
        if disks.disk_interface == Interface::Sata {
            self.add("-device", "ich9-ahci,id=ahci0");
        }
        for (index, path) in given.disk_paths.iter().enumerate() {
            self.disk(disks, index, path);
        }
        for (index, cd) in given.cds.iter().enumerate() {
            self.cd(&disks.cdrom_interface, index, cd);
        }
        if let Some(path) = given.floppy {
            self.add("-fda", raw(path));
        }
    }

    fn disk(&mut self, disks: &Disks, index: usize, path: &Path) {
        let attached = match disks.disk_interface {
            Interface::VirtioScsi => {
                self.add("-device", format!("scsi-hd,bus=scsi0.0,drive=drive{index}"));
                format!("none,id=drive{index}")
            }
            Interface::Sata => {
                self.add("-device", format!("ide-hd,bus=ahci0.{index},drive=drive{index}"));
                format!("none,id=drive{index}")
            }
            plain => plain.name().to_owned(),
        };
        let zeroes = match disks.disk_detect_zeroes.as_str() {
            "off" => String::new(),
            other => format!(",detect-zeroes={other}"),
        };
        self.add(
            "-drive",
            format!(
                "file={},if={attached},cache={},discard={},format={}{zeroes}",
                escaped(path),
                disks.disk_cache.name(),
                disks.disk_discard,
                disks.format.name(),
            ),
        );
    }

    fn cd(&mut self, interface: &str, index: usize, cd: &Source) {
        let from = match cd {
            Source::File(path) => escaped(path),
            Source::Server(url) => vm::escaped(url.as_str()),
        };
        let file = format!("file={from},format=raw");
        match interface {
            "" => self.add("-drive", format!("{file},media=cdrom")),
            "virtio-scsi" => {
                self.add("-device", format!("scsi-cd,bus=scsi0.0,drive=cdrom{index}"));
                self.add("-drive", format!("{file},if=none,id=cdrom{index},media=cdrom"));
            }
            other => self.add("-drive", format!("{file},if={other},media=cdrom")),
        }
    }

    fn add(&mut self, switch: &str, value: impl Into<String>) {
        self.0.entry(switch.to_owned()).or_default().push(value.into());
    }

    /// Lets `rows` replace the values of their switches. The network card stays, unless the rows
    /// have it.
    pub fn override_with(&mut self, rows: &[Vec<String>], network: &Network, mac: Option<&str>) {
        let mut given = IndexMap::<String, Vec<String>>::new();
        for row in rows {
            if let Some((switch, value)) = row.split_first() {
                given.entry(switch.clone()).or_default().push(value.concat());
            }
        }
        // QEMU refuses `-accel` beside another way to choose it.
        let chooses = |values: &Vec<String>| values.iter().any(|value| value.contains("accel="));
        if given.contains_key("-enable-kvm")
            || ["-machine", "-M"].iter().any(|switch| given.get(*switch).is_some_and(chooses))
        {
            self.0.shift_remove("-accel");
        }
        if let Some(devices) = given.get_mut("-device")
            && !devices.iter().any(|device| device.contains(&network.net_device))
        {
            devices.push(net_device(network, mac));
        }
        self.0.extend(given);
    }

    /// The address of the network card, where one is written.
    pub fn mac(&self) -> Option<&str> {
        let devices = self.0.get("-device").into_iter().flatten();
        let mut words = devices.flat_map(|device| device.split(','));
        words.find_map(|word| word.strip_prefix("mac="))
    }

    /// Whether `switch` is given.
    pub fn has(&self, switch: &str) -> bool {
        self.0.contains_key(switch)
    }

    /// Whether the machine has no keyboard but the PS/2 one of a PC: others are used instead of it.
    pub fn has_only_ps2_keyboard(&self) -> bool {
        let added = ["-device", "-usbdevice"].iter().filter_map(|switch| self.0.get(*switch));
        let is_keyboard = |value: &String| value.contains("kbd") || value.contains("keyboard");
        !added.flatten().any(is_keyboard)
    }

    /// As QEMU is given them; an empty value stands for none.
    pub fn into_words(self) -> Vec<String> {
        let mut words = Vec::new();
        for (switch, values) in self.0 {
            for value in values {
                words.push(switch.clone());
                words.extend((!value.is_empty()).then_some(value));
            }
        }
        words
    }
}

/// `text`, if the template gives it.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Whether a row of `qemuargs` is for `switch`.
pub(super) fn is_for(row: &[MachineText], switch: &str) -> bool {
    row.first().is_some_and(|first| first.raw() == switch)
}

/// Whether `rows` give the machine a network of their own: nobody knows where it finds this host there.
pub(super) fn have_another_network(rows: &[Vec<MachineText>]) -> bool {
    let is_other = |row: &Vec<MachineText>| {
        let kind = row.get(1).map(|value| value.raw().split(',').next().unwrap_or_default());
        let is_network = ["-netdev", "-nic", "-net"].iter().any(|switch| is_for(row, switch));
        is_network && kind.is_some_and(|kind| !["user", "nic", "none"].contains(&kind))
    };
    rows.iter().any(is_other)
}

fn net_device(network: &Network, mac: Option<&str>) -> String {
    let mac = mac.map_or_else(String::new, |mac| format!(",mac={mac}"));
    format!("{},netdev=user.0{mac}", network.net_device)
}

/// In the value of a QEMU option, a comma is written twice. What stands before a colon would be a
/// protocol there.
fn escaped(path: &Path) -> String {
    let text = vm::escaped(&path.to_string_lossy());
    match path.is_relative() && text.contains(':') {
        true => format!("./{text}"),
        false => text,
    }
}

/// The value of a switch that has no place for a format: else QEMU guesses it.
fn raw(path: &Path) -> String {
    format!("json:{}", json!({ "driver": "raw", "file": { "driver": "file", "filename": path } }))
}

fn smp(hardware: &Hardware) -> String {
    let terms =
        [("sockets", hardware.sockets), ("cores", hardware.cores), ("threads", hardware.threads)];
    let given: Vec<_> = terms.into_iter().filter(|(_, count)| *count > 0).collect();
    let product = given.iter().fold(1_u32, |product, (_, count)| product.saturating_mul(*count));
    // More CPUs than there are places for is more than QEMU takes.
    let cpus = match hardware.cpus {
        0 => product,
        cpus if given.len() == terms.len() => cpus.min(product),
        cpus => cpus,
    };
    let terms = given.iter().map(|(name, count)| format!(",{name}={count}"));
    std::iter::once(cpus.to_string()).chain(terms).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine {
        architecture: Architecture,
        hardware: Hardware,
        firmware: Firmware,
        disks: Disks,
        network: Network,
        paths: Vec<PathBuf>,
        cds: Vec<Source>,
    }

    impl Machine {
        fn new() -> Self {
            Self {
                architecture: Architecture::Pc,
                hardware: Hardware::default(),
                firmware: Firmware::default(),
                disks: Disks::default(),
                network: Network::default(),
                paths: vec!["out/a,b.qcow2".into()],
                cds: vec![Source::File("/tmp/cd.iso".into())],
            }
        }

        fn given(&self) -> CommandLineInputs<'_> {
            CommandLineInputs {
                architecture: self.architecture,
                hardware: &self.hardware,
                firmware: &self.firmware,
                disks: &self.disks,
                network: &self.network,
                name: "web",
                accelerator: Accelerator::Tcg,
                disk_paths: &self.paths,
                cds: &self.cds,
                installs: false,
                floppy: None,
                tpm: None,
                efi: None,
                mac: None,
                forward: Some((2222, 22)),
                display: Some("none"),
                monitor: None,
                vnc: Some("127.0.0.1:0,to=100".to_owned()),
            }
        }
    }

    #[test]
    fn the_usual_machine() {
        let machine = Machine::new();
        let words = Arguments::of(&machine.given()).into_words().join(" ");
        assert_eq!(
            words,
            "-name web -machine type=pc -accel tcg,thread=multi -m 512M -smp 1 -display none \
             -vnc 127.0.0.1:0,to=100 -boot c -netdev user,id=user.0,hostfwd=tcp:127.0.0.1:2222-:22 \
             -device virtio-net,netdev=user.0 \
             -drive file=out/a,,b.qcow2,if=virtio,cache=unsafe,discard=ignore,format=qcow2 \
             -drive file=/tmp/cd.iso,format=raw,media=cdrom"
        );
    }

    #[test]
    fn a_switch_of_the_user_replaces_all_of_its_values_and_the_network_card_stays() {
        let machine = Machine::new();
        let mut arguments = Arguments::of(&machine.given());
        let rows = [
            vec!["-drive", "file=x", ",if=ide"],
            vec!["-drive", "file=y"],
            vec!["-device", "virtio-rng-pci"],
            vec!["-machine", "q35,accel=kvm"],
            vec!["-snapshot", ""],
        ]
        .map(|row| row.into_iter().map(str::to_owned).collect());
        arguments.override_with(&rows, &machine.network, None);
        let words = arguments.into_words().join(" ");
        assert!(words.contains("-drive file=x,if=ide -drive file=y"), "{words}");
        assert!(
            words.contains("-device virtio-rng-pci -device virtio-net,netdev=user.0"),
            "{words}"
        );
        assert!(words.contains("-machine q35,accel=kvm") && !words.contains("-accel"), "{words}");
        assert!(words.ends_with("-snapshot"), "{words}");
    }

    #[test]
    fn an_installer_boots_once_with_its_floppy_and_all_disks() {
        let mut machine = Machine::new();
        machine.paths.push("out/a,b.qcow2-1".into());
        machine.cds.insert(0, Source::File("/cache/installer.iso".into()));
        let floppy = Some(Path::new("/tmp/floppy.img"));
        let given = CommandLineInputs { installs: true, floppy, ..machine.given() };
        let words = Arguments::of(&given).into_words().join(" ");
        assert_eq!(
            words,
            "-name web -machine type=pc -accel tcg,thread=multi -m 512M -smp 1 -display none \
             -vnc 127.0.0.1:0,to=100 -boot once=d -netdev user,id=user.0,hostfwd=tcp:127.0.0.1:2222-:22 \
             -device virtio-net,netdev=user.0 \
             -drive file=out/a,,b.qcow2,if=virtio,cache=unsafe,discard=ignore,format=qcow2 \
             -drive file=out/a,,b.qcow2-1,if=virtio,cache=unsafe,discard=ignore,format=qcow2 \
             -drive file=/cache/installer.iso,format=raw,media=cdrom \
             -drive file=/tmp/cd.iso,format=raw,media=cdrom \
             -fda json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"/tmp/floppy.img\"}}"
        );
    }

    #[test]
    fn a_cd_may_stay_on_its_server() {
        let mut machine = Machine::new();
        let url = url::Url::parse("https://a.example/x,y.iso").unwrap();
        machine.cds = vec![Source::Server(url)];
        let words = Arguments::of(&machine.given()).into_words().join(" ");
        let drive = "-drive file=https://a.example/x,,y.iso,format=raw,media=cdrom";
        assert!(words.contains(drive), "{words}");
    }

    #[test]
    fn uefi_and_a_tpm_are_devices_and_leave_the_order_of_booting_alone() {
        let mut machine = Machine::new();
        machine.firmware.tpm_device_type = "tpm-crb".into();
        let given = CommandLineInputs {
            installs: true,
            efi: Some((Path::new("/fw/CODE.fd"), Path::new("out/efivars.fd"))),
            tpm: Some(Path::new("/tmp/tpm/socket")),
            ..machine.given()
        };
        let words = Arguments::of(&given).into_words().join(" ");
        assert!(
            words.contains(
                "-drive if=pflash,format=raw,unit=0,readonly=on,file=/fw/CODE.fd \
                 -drive if=pflash,format=raw,unit=1,file=out/efivars.fd"
            ),
            "{words}"
        );
        assert!(
            words.contains(
                "-chardev socket,id=vtpm,path=/tmp/tpm/socket -tpmdev emulator,id=tpm0,chardev=vtpm \
                 -device tpm-crb,tpmdev=tpm0"
            ),
            "{words}"
        );
        assert!(!words.contains("-boot"), "{words}");
    }

    #[test]
    fn a_machine_of_arm_has_what_a_person_needs_at_it() {
        let mut machine = Machine::new();
        machine.architecture = Architecture::Arm64;
        let tpm = Some(Path::new("/tmp/tpm/socket"));
        let words =
            Arguments::of(&CommandLineInputs { tpm, ..machine.given() }).into_words().join(" ");
        for part in [
            "-machine type=virt",
            "-cpu max,pauth-impdef=on",
            "-device virtio-gpu-pci -device qemu-xhci -device usb-kbd -device tpm-tis-device,",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        machine.hardware.cpu_model = "cortex-a72".into();
        machine.hardware.machine_type = "virt-7.2".into();
        let words = Arguments::of(&machine.given()).into_words().join(" ");
        assert!(words.contains("-machine type=virt-7.2"), "{words}");
        assert!(words.contains("-cpu cortex-a72 "), "{words}");
    }

    #[test]
    fn a_machine_on_a_bridge_is_known_by_its_network_card() {
        let mut machine = Machine::new();
        machine.network.net_bridge = "br0".into();
        let mac = Some("52:54:00:01:02:03");
        let mut arguments = Arguments::of(&CommandLineInputs { mac, ..machine.given() });
        let words = arguments.clone().into_words().join(" ");
        assert!(
            words.contains(
                "-netdev bridge,id=user.0,br=br0 \
                 -device virtio-net,netdev=user.0,mac=52:54:00:01:02:03"
            ),
            "{words}"
        );
        assert_eq!(arguments.mac(), mac);
        let row = |device: &str| vec![vec!["-device".to_owned(), device.to_owned()]];
        arguments.override_with(&row("virtio-rng-pci"), &machine.network, mac);
        assert_eq!(arguments.mac(), mac);
        arguments.override_with(&row("virtio-net,netdev=user.0,mac=aa"), &machine.network, mac);
        assert_eq!(arguments.mac(), Some("aa"));
    }

    #[test]
    fn rows_may_have_a_network_where_nobody_knows_the_way_to_this_host() {
        let is_other = |switch: &str, value: &str| {
            have_another_network(&[[switch, value].map(MachineText::new).to_vec()])
        };
        assert!(is_other("-netdev", "tap,id=user.0,ifname=tap0"));
        assert!(is_other("-nic", "bridge,br=virbr0"));
        assert!(!is_other("-netdev", "user,id=user.0,net=10.9.0.0/24"));
        assert!(!is_other("-net", "nic,model=virtio") && !is_other("-device", "virtio-net"));
    }

    #[test]
    fn cpus_follow_from_their_terms() {
        let smp = |cpus, sockets, cores, threads| {
            super::smp(&Hardware { cpus, sockets, cores, threads, ..Hardware::default() })
        };
        assert_eq!(smp(0, 0, 0, 0), "1");
        assert_eq!(smp(4, 0, 0, 0), "4");
        assert_eq!(smp(0, 2, 2, 0), "4,sockets=2,cores=2");
        assert_eq!(smp(9, 1, 2, 2), "4,sockets=1,cores=2,threads=2");
    }

    #[test]
    fn disks_on_a_controller_are_devices() {
        let mut machine = Machine::new();
        machine.disks.disk_interface = Interface::VirtioScsi;
        machine.disks.cdrom_interface = "virtio-scsi".into();
        let words = Arguments::of(&machine.given()).into_words().join(" ");
        assert_eq!(words.matches("virtio-scsi-pci").count(), 1, "{words}");
        assert!(words.contains("-device scsi-hd,bus=scsi0.0,drive=drive0"), "{words}");
        assert!(words.contains("format=raw,if=none,id=cdrom0,media=cdrom"), "{words}");
    }
}
