//! Properties of a config file beside its content: its size, its line ends, the folder it lies in.

use std::path::Path;

const HEAD: &str = "rhizo = 1\napp.name = \"x\"\n[components.web]\n";

#[test]
fn a_config_whose_spec_does_not_fit_into_the_log_is_refused() {
    // Each variable is in the text and in the spec, so a text of half the limit is too long.
    let variables = |count: usize| {
        let mut source = format!("{HEAD}exec = \"web\"\n[components.web.env]\n");
        (0..count).for_each(|n| source.push_str(&format!("V{n} = \"{}\"\n", "x".repeat(1_000))));
        source
    };
    let fits = variables(100);
    assert!(rhizo_config::parse(&fits, "f", Path::new("/base")).is_ok());
    let long = variables(160);
    assert!(long.len() < rhizo_config::SOURCE_LENGTH_MAX);
    let found = rhizo_config::parse(&long, "f", Path::new("/base")).expect_err("too long for the log");
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("bytes in the log") && found[0].hint.is_some(), "{found:?}");
}

#[test]
fn a_config_of_an_editor_on_windows_means_the_same() {
    let unix = format!("{HEAD}exec = [\"sh\", \"-c\", '''\nfor i in 1 2; do\n  echo $i\ndone\n''']\n");
    let windows = format!("\u{feff}{}", unix.replace('\n', "\r\n"));
    let spec = |source: &str| rhizo_config::parse(source, "f", Path::new("/base")).expect("a config").spec;
    assert_eq!(spec(&windows), spec(&unix));
    // Findings have the same places, and are drawn below the same characters.
    let broken = windows.replace("exec", "exce");
    let found = rhizo_config::parse(&broken, "f", Path::new("/base")).expect_err("a slip");
    let text = rhizo_config::render(&found, &broken, false);
    assert_eq!((found[0].line, found[0].column), (4, 1), "{text}");
    assert!(text.contains("4 | exce = "), "{text}");
}

#[test]
fn a_script_of_an_editor_on_windows_means_the_same() {
    let spec = rhizo_config::parse(&format!("{HEAD}exec = \"web\"\n"), "f", Path::new("/base"))
        .expect("a config")
        .spec;
    let script = |source: &str| rhizo_config::parse_script(source, "s", &spec).expect("a script");
    assert_eq!(script("\u{feff}add web.3\r\nwait web.3\r\n"), script("add web.3\nwait web.3\n"));
}

#[test]
fn a_folder_that_is_not_utf_8_is_refused_and_one_with_braces_is_no_template() {
    use std::os::unix::ffi::OsStrExt as _;
    let source = format!("{HEAD}exec = \"./web {{instance}}\"\n");
    let strange = Path::new(std::ffi::OsStr::from_bytes(b"/a\xff"));
    let found = rhizo_config::parse(&source, "f", strange).expect_err("not UTF-8");
    assert!(found[0].message.contains("not UTF-8"), "{found:?}");
    let spec = rhizo_config::parse(&source, "f", Path::new("/a/{dir}")).expect("a config").spec;
    let rhizo_types::spec::Run::Exec { argv } = &spec.components[&"web".into()].run else {
        panic!("no exec")
    };
    let value = |name: &str| (name == "instance").then(|| "web.0".to_owned());
    let filled: Vec<_> = argv.iter().map(|word| rhizo_config::fill(word, &value)).collect();
    assert_eq!(filled, [Ok("/a/{dir}/web".to_owned()), Ok("web.0".to_owned())]);
}
