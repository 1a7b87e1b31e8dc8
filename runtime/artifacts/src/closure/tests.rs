//! Closures of programs of this machine, and parsers that get damaged files.

use super::*;
use crate::store::Store;
use proptest::prelude::*;
use std::fs;

fn wanted(folder: &Path) -> Wanted {
    Wanted { folder: folder.canonicalize().unwrap(), ..Wanted::default() }
}

fn names(closure: &Closure) -> Vec<&str> {
    closure.manifest.entries().map(|(name, _)| name).collect()
}

#[test]
fn a_program_is_packed_with_its_loader_and_libraries_and_runs_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("app");
    fs::create_dir(&folder).unwrap();
    // A dynamic program of this machine, as if it were the user's own.
    fs::copy("/bin/cat", folder.join("show")).unwrap();
    fs::write(folder.join("text"), "packed\n").unwrap();
    let mut wanted = wanted(&folder);
    wanted.programs = vec![wanted.folder.join("show").display().to_string(), "true".to_owned()];
    wanted.patterns = vec!["te?t".to_owned()];
    let store = Store::open(&dir.path().join("store")).unwrap();
    let lease = store.lease();
    let closure = find(&wanted, Some((&store, &lease))).unwrap().unwrap();
    assert_eq!(find(&wanted, None).unwrap().unwrap(), closure, "hashing alone finds the same");
    let names = names(&closure);
    assert!(names.contains(&"files/show") && names.contains(&"files/text"), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with("/true")), "a program of the system is left out");
    let at = |part: &str| {
        names.iter().find(|name| name.contains(part)).unwrap_or_else(|| panic!("{part} in {names:?}"))
    };
    let (loader, libc) = (at("/ld-"), at("/libc."));
    let tree = store.check_out(&closure.tree).unwrap();
    let output = std::process::Command::new(tree.join(loader))
        .arg("--inhibit-cache")
        .arg("--library-path")
        .arg(tree.join(libc).parent().unwrap())
        .arg(tree.join("files/show"))
        .arg(tree.join("files/text"))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"packed\n", "{output:?}");
}

#[test]
fn a_complete_closure_has_the_interpreters_of_scripts_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("run"), "#!/usr/bin/env -S sh -e\nsleep 1\n").unwrap();
    let mut wanted = wanted(dir.path());
    wanted.programs = vec![wanted.folder.join("run").display().to_string(), "sleep".to_owned()];
    let partial = find(&wanted, None).unwrap().unwrap();
    assert_eq!(names(&partial), ["files/run"]);
    wanted.complete = true;
    let complete = find(&wanted, None).unwrap().unwrap();
    let names = names(&complete);
    for program in ["/env", "/sh", "/sleep"] {
        assert!(names.iter().any(|name| name.ends_with(program)), "{program} in {names:?}");
    }
}

#[test]
fn an_edited_file_makes_another_closure_and_a_moved_folder_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let tree_of = |name: &str, content: &str, pattern: &str| {
        let folder = dir.path().join(name);
        fs::create_dir_all(folder.join("conf/.git")).unwrap();
        fs::write(folder.join("conf/a"), content).unwrap();
        fs::write(folder.join("conf/.git/b"), name).unwrap();
        let mut wanted = wanted(&folder);
        wanted.patterns = vec![pattern.to_owned()];
        find(&wanted, None).unwrap().unwrap().tree
    };
    let tree = |name: &str, content: &str| tree_of(name, content, "conf");
    assert_eq!(tree("one", "x"), tree_of("one", "x", "conf/**"));
    assert_eq!(tree("one", "x"), tree("two", "x"));
    assert_ne!(tree("one", "x"), tree("one", "y"));
}

#[test]
fn missing_files_and_empty_patterns_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut none = wanted(dir.path());
    assert_eq!(find(&none, None).unwrap(), None);
    none.patterns = vec!["static/**".to_owned()];
    let error = find(&none, None).unwrap_err().to_string();
    assert!(error.contains("`static/**`: no file matches"), "{error}");
    none.patterns = vec!["a[".to_owned()];
    assert!(matches!(find(&none, None), Err(ClosureError::Pattern { .. })));
    none.patterns.clear();
    none.programs = vec![none.folder.join("gone").display().to_string()];
    assert!(matches!(find(&none, None), Err(ClosureError::File { .. })));
    none.programs = vec!["no-such-program-anywhere".to_owned()];
    none.complete = true;
    assert!(matches!(find(&none, None), Err(ClosureError::Program { .. })));
}

#[test]
fn the_cache_of_this_machine_names_the_c_library() {
    let entries = read_cache(&fs::read("/etc/ld.so.cache").unwrap());
    let libc = entries.iter().find(|entry| entry.name == "libc.so.6").expect("libc is in the cache");
    assert!(Path::new(&libc.path).exists());
}

proptest! {
    #[test]
    fn damaged_headers_and_caches_are_read_without_a_panic(
        which in any::<bool>(),
        changes in prop::collection::vec((0..4_096_usize, any::<u8>()), 0..20),
        length in 0..4_096_usize,
    ) {
        let path = if which { "/bin/cat" } else { "/etc/ld.so.cache" };
        let mut bytes = fs::read(path).unwrap();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _maybe = read_elf(bytes.as_slice());
        let _some = read_cache(&bytes);
        bytes.truncate(length);
        let _maybe = read_elf(bytes.as_slice());
        let _some = read_cache(&bytes);
    }
}
