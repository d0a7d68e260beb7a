//! Every script in `scripts/`.

use std::path::Path;

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of scripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let failures: Vec<String> = paths
        .iter()
        .filter_map(|path| zk_sim::script::check_file(path).err())
        .collect();
    assert!(paths.len() >= 12, "only {} scripts", paths.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
