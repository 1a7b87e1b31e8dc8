//! The parts of an ELF file that name its loader and its libraries.

use object::Endianness;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRTAB, ELFCLASS64, FileHeader32, FileHeader64};
use object::read::ReadRef;
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};

/// Most libraries of one file; programs with hundreds exist.
const NEEDED_MAX: usize = 4_096;
/// Longest name or search path.
const TEXT_BYTES_MAX: usize = 4_096;

/// The loader and the libraries that an ELF file names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Elf {
    /// Whether it is a 64-bit file.
    pub is_64: bool,
    /// The machine that it is for (`e_machine`).
    pub machine: u16,
    /// The loader of a dynamic program; none for a library and for a static program.
    pub interpreter: Option<String>,
    /// The names of the libraries that it needs.
    pub needed: Vec<String>,
    /// `DT_RPATH`: folders that are searched first, also for the libraries of its libraries.
    pub rpath: Option<String>,
    /// `DT_RUNPATH`: folders that are searched for its own libraries.
    pub runpath: Option<String>,
}

/// Reads the headers of an ELF file; none if it is no ELF file or is damaged.
#[must_use]
pub fn read_elf<'a>(data: impl ReadRef<'a>) -> Option<Elf> {
    let ident = data.read_bytes_at(0, 5).ok()?;
    if !ident.starts_with(b"\x7fELF") {
        return None;
    }
    if ident[4] == ELFCLASS64 {
        read::<FileHeader64<Endianness>, _>(data)
    } else {
        read::<FileHeader32<Endianness>, _>(data)
    }
}

fn read<'a, H, R>(data: R) -> Option<Elf>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'a>,
{
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let mut elf = Elf { is_64: header.is_class_64(), machine: header.e_machine(endian), ..Elf::default() };
    let segments = header.program_headers(endian, data).ok()?;
    // Addresses of texts, until the table of texts is found.
    let (mut needed, mut rpath, mut runpath, mut table) = (Vec::new(), None, None, None);
    for segment in segments {
        if let Ok(Some(interpreter)) = segment.interpreter(endian, data) {
            elf.interpreter = Some(text(interpreter)?);
        }
        let Ok(Some(dynamic)) = segment.dynamic(endian, data) else { continue };
        for entry in dynamic {
            let value: u64 = entry.d_val(endian).into();
            match entry.tag32(endian) {
                Some(DT_NEEDED) if needed.len() < NEEDED_MAX => needed.push(value),
                Some(DT_RPATH) => rpath = Some(value),
                Some(DT_RUNPATH) => runpath = Some(value),
                Some(DT_STRTAB) => table = Some(value),
                _ => {}
            }
        }
    }
    let at = |offset: u64| {
        let address = table?.checked_add(offset)?;
        let found = segments.iter().find_map(|segment| {
            let begin: u64 = segment.p_vaddr(endian).into();
            let bytes: u64 = segment.p_filesz(endian).into();
            let inside = address.checked_sub(begin).filter(|inside| *inside < bytes)?;
            let from = Into::<u64>::into(segment.p_offset(endian)).checked_add(inside)?;
            let length = (bytes - inside).min(TEXT_BYTES_MAX as u64);
            data.read_bytes_at(from, length).ok()
        })?;
        text(found.split(|byte| *byte == 0).next()?)
    };
    elf.needed = needed.into_iter().map(at).collect::<Option<_>>()?;
    // A text that is named but cannot be read makes the file a damaged one.
    elf.rpath = rpath.map(|rpath| at(rpath).ok_or(())).transpose().ok()?;
    elf.runpath = runpath.map(|runpath| at(runpath).ok_or(())).transpose().ok()?;
    Some(elf)
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (text.len() < TEXT_BYTES_MAX).then(|| text.to_owned())
}
