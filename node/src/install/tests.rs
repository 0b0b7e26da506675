//! Installations into directories of the tests.

use std::os::unix::fs::MetadataExt;

use super::*;

const CONF: &str = r#"{"name":"hybridnet","cniVersion":"0.3.1","plugins":[
    {"type":"hybridnet","server_socket":"/run/cni/hybridnet.sock"},{"type":"bandwidth"}]}"#;

/// An image and a node in a directory.
struct Place {
    directory: tempfile::TempDir,
    installation: Installation,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("image/cni-plugins")).unwrap();
        fs::write(at("image/hybridnet"), "the plugin").unwrap();
        fs::write(at("image/cni-plugins/loopback"), "loopback").unwrap();
        fs::write(at("image/conf"), CONF).unwrap();
        let installation = Installation {
            plugin: at("image/hybridnet"),
            community: at("image/cni-plugins"),
            wanted: vec!["loopback".into()],
            conf: at("image/conf"),
            conf_name: "06-hybridnet.conflist".into(),
            bin_dir: at("node/bin"),
            conf_dir: at("node/net.d"),
        };
        Self {
            directory,
            installation,
        }
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.directory.path().join(path), text).unwrap();
    }

    fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join(path)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn fails(&self) -> String {
        self.installation.install().unwrap_err().to_string()
    }
}

#[test]
fn programs_and_configuration_are_put_in_place_with_their_modes() {
    let place = Place::new();

    place.installation.install().unwrap();

    assert_eq!(place.list("node/bin"), ["hybridnet", "loopback"]);
    assert_eq!(place.list("node/net.d"), ["06-hybridnet.conflist"]);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.installation.bin_dir.join("hybridnet")), 0o755);
    assert_eq!(
        mode(place.installation.conf_dir.join("06-hybridnet.conflist")),
        0o644
    );
}

#[test]
fn a_second_time_nothing_is_written() {
    let place = Place::new();
    place.installation.install().unwrap();
    let inode = || {
        fs::metadata(place.installation.bin_dir.join("hybridnet"))
            .unwrap()
            .ino()
    };
    let before = inode();

    place.installation.install().unwrap();

    assert_eq!(inode(), before);
}

#[test]
fn a_program_that_runs_is_replaced_and_not_overwritten() {
    let place = Place::new();
    place.installation.install().unwrap();
    let mut running = File::open(place.installation.bin_dir.join("hybridnet")).unwrap();
    place.write("image/hybridnet", "a newer plugin");

    place.installation.install().unwrap();

    let mut text = String::new();
    io::Read::read_to_string(&mut running, &mut text).unwrap();
    assert_eq!(text, "the plugin");
    assert_eq!(
        fs::read(place.installation.bin_dir.join("hybridnet")).unwrap(),
        b"a newer plugin"
    );
}

#[test]
fn configurations_of_other_names_go_and_those_of_others_stay() {
    let place = Place::new();
    fs::create_dir_all(place.directory.path().join("node/net.d")).unwrap();
    for name in ["00-hybridnet.conflist", "10-other.conflist", "99-hybridnet.conf"] {
        place.write(&format!("node/net.d/{name}"), "{}");
    }

    place.installation.install().unwrap();

    assert_eq!(
        place.list("node/net.d"),
        ["06-hybridnet.conflist", "10-other.conflist", "99-hybridnet.conf"]
    );
}

#[test]
fn what_an_interrupted_installation_left_is_no_obstacle() {
    let place = Place::new();
    fs::create_dir_all(place.directory.path().join("node/bin")).unwrap();
    place.write("node/bin/.hybridnet.new", "half of someth");

    place.installation.install().unwrap();

    assert_eq!(place.list("node/bin"), ["hybridnet", "loopback"]);
}

#[test]
fn a_configuration_that_would_fail_later_changes_nothing() {
    let cases = [
        ("{", "EOF"),
        ("[]", "no list `plugins`"),
        (r#"{"plugins":[]}"#, "no list `plugins`"),
        (
            r#"{"plugins":[{"type":"hybridnet"}]}"#,
            "server_socket of plugin hybridnet is missing",
        ),
        (
            r#"{"plugins":[{"type":"hybridnet","server_socket":""}]}"#,
            "server_socket of plugin hybridnet",
        ),
    ];
    for (conf, expected) in cases {
        let place = Place::new();
        place.write("image/conf", conf);

        let error = place.fails();

        assert!(
            error.contains(expected) && error.contains("image/conf"),
            "{error}"
        );
        assert!(!place.installation.bin_dir.exists());
    }
}

#[test]
fn a_plugin_that_the_image_lacks_may_be_the_nodes_own() {
    let mut place = Place::new();
    place.installation.wanted.push("bandwidth".into());

    let error = place.fails();
    assert!(
        error.starts_with("plugin bandwidth (NEEDED_COMMUNITY_CNI_PLUGINS) is neither in"),
        "{error}"
    );
    assert!(!place.installation.conf_dir.join("06-hybridnet.conflist").exists());

    place.write("node/bin/bandwidth", "of the node");
    place.installation.install().unwrap();
    assert_eq!(
        fs::read(place.installation.bin_dir.join("bandwidth")).unwrap(),
        b"of the node"
    );
}

#[test]
fn the_environment_is_read_with_defaults_and_checked() {
    let none = Installation::from_environment(|_| None).unwrap();
    assert_eq!(
        (none.conf_name.as_str(), none.wanted),
        ("06-hybridnet.conflist", vec!["loopback".into()])
    );
    let set = |name: &'static str, value: &'static str| {
        Installation::from_environment(move |asked| (asked == name).then(|| value.to_owned()))
    };

    let wanted = set("NEEDED_COMMUNITY_CNI_PLUGINS", "loopback, bandwidth,")
        .unwrap()
        .wanted;
    assert_eq!(wanted, ["loopback", "bandwidth"]);
    for value in ["../x.conflist", "hybridnet.conf", ".hidden.conflist"] {
        assert!(
            matches!(set("CNI_CONF_NAME", value), Err(Error::Variable { .. })),
            "{value}"
        );
    }
    assert!(set("NEEDED_COMMUNITY_CNI_PLUGINS", "hybridnet").is_err());
    assert!(set("NEEDED_COMMUNITY_CNI_PLUGINS", "../sh").is_err());
}
