//! A program for UEFI that says a line and powers the machine off, for both architectures.

use std::io::{Cursor, Write as _};

/// The CPU that a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// A PC of 64 bits.
    X86,
    /// ARM of 64 bits.
    Arm,
}

impl Cpu {
    /// Where a UEFI looks for it on a medium.
    fn file(self) -> &'static str {
        match self {
            Self::X86 => "BOOTX64.EFI",
            Self::Arm => "BOOTAA64.EFI",
        }
    }

    /// How the headers of a program call it.
    fn number(self) -> u16 {
        match self {
            Self::X86 => 0x8664,
            Self::Arm => 0xaa64,
        }
    }

    /// Writes the text that follows the code on the console, and powers off.
    fn code(self) -> Vec<u8> {
        match self {
            #[rustfmt::skip]
            Self::X86 => vec![
                0x48, 0x83, 0xec, 0x28,                   // sub rsp, 0x28
                0x48, 0x89, 0xd3,                         // mov rbx, rdx: the system table
                0x48, 0x8b, 0x4b, 0x40,                   // mov rcx, [rbx+0x40]: the console
                0x48, 0x8d, 0x15, 0x17, 0x00, 0x00, 0x00, // lea rdx, [the text]
                0xff, 0x51, 0x08,                         // call [rcx+8]: write
                0x48, 0x8b, 0x43, 0x58,                   // mov rax, [rbx+0x58]: the services
                0xb9, 0x02, 0x00, 0x00, 0x00,             // mov ecx, 2: power off
                0x31, 0xd2,                               // xor edx, edx
                0x45, 0x31, 0xc0,                         // xor r8d, r8d
                0x45, 0x31, 0xc9,                         // xor r9d, r9d
                0xff, 0x50, 0x68,                         // call [rax+0x68]: reset
            ],
            Self::Arm => [
                0xaa01_03f3_u32, // mov x19, x1: the system table
                0xf940_2260,     // ldr x0, [x19, 0x40]: the console
                0x1000_0161,     // adr x1, the text
                0xf940_0408,     // ldr x8, [x0, 8]
                0xd63f_0100,     // blr x8: write
                0xf940_2e69,     // ldr x9, [x19, 0x58]: the services
                0xf940_3528,     // ldr x8, [x9, 0x68]
                0x5280_0040,     // mov w0, 2: power off
                0xaa1f_03e1,     // mov x1, xzr
                0xaa1f_03e2,     // mov x2, xzr
                0xaa1f_03e3,     // mov x3, xzr
                0xd63f_0100,     // blr x8: reset
                0x1400_0000,     // b .
            ]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect(),
        }
    }
}

/// A file system from which `cpu` boots a program that says `text`.
pub fn uefi_disk(cpu: Cpu, text: &str) -> Vec<u8> {
    let mut disk = vec![0; 8 << 20];
    let options = fatfs::FormatVolumeOptions::new();
    fatfs::format_volume(Cursor::new(&mut disk), options).expect("a file system");
    let volume = fatfs::FileSystem::new(Cursor::new(&mut disk), fatfs::FsOptions::new());
    let volume = volume.expect("a file system");
    let directory = volume.root_dir().create_dir("EFI").and_then(|efi| efi.create_dir("BOOT"));
    let directory = directory.expect("a directory");
    let mut file = directory.create_file(cpu.file()).expect("a file");
    file.write_all(&program(cpu, text)).expect("a program");
    drop((file, directory));
    volume.unmount().expect("a whole file system");
    disk
}

/// The program, with the headers that UEFI reads.
fn program(cpu: Cpu, text: &str) -> Vec<u8> {
    let mut code = cpu.code();
    code.extend(format!("{text}\r\n\0").encode_utf16().flat_map(u16::to_le_bytes));
    let size = u32::try_from(code.len().next_multiple_of(512)).expect("a short program");
    let mut file = vec![0; 0x40];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x40;
    let mut put = |bytes: &[u8]| file.extend(bytes);
    put(b"PE\0\0");
    put(&cpu.number().to_le_bytes());
    put(&1_u16.to_le_bytes()); // sections
    put(&[0; 12]);
    put(&240_u16.to_le_bytes()); // of the header that follows
    put(&0x22_u16.to_le_bytes()); // a program of 64 bits
    put(&[0x0b, 0x02, 0, 0]);
    put(&size.to_le_bytes());
    put(&[0; 8]);
    put(&0x1000_u32.to_le_bytes()); // where it begins to run
    put(&0x1000_u32.to_le_bytes());
    put(&[0; 8]);
    put(&0x1000_u32.to_le_bytes()); // alignment in memory and in the file
    put(&0x200_u32.to_le_bytes());
    put(&[0; 16]);
    put(&0x2000_u32.to_le_bytes()); // of the image and of its headers
    put(&0x200_u32.to_le_bytes());
    put(&[0; 4]);
    put(&10_u16.to_le_bytes()); // for UEFI
    put(&[0; 2 + 32 + 4]);
    put(&16_u32.to_le_bytes()); // directories, all empty
    put(&[0; 16 * 8]);
    put(b".text\0\0\0");
    put(&size.to_le_bytes());
    put(&0x1000_u32.to_le_bytes());
    put(&size.to_le_bytes());
    put(&0x200_u32.to_le_bytes());
    put(&[0; 12]);
    put(&0x6000_0020_u32.to_le_bytes()); // code, to read and run
    file.resize(0x200, 0);
    file.extend(code);
    file.resize(0x200 + size as usize, 0);
    file
}
