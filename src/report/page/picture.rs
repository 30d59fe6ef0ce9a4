//! The pictures of screens that get into the page: the last ones of each build, if they are pictures,
//! and small enough.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::build::Build;
use super::run::Run;
use crate::peer::{read_regular, relative_path};

/// How many of a build are shown. The last ones tell most.
const LAST: usize = 4;
/// No picture is larger, in bytes.
const LARGEST: usize = 128 << 10;

/// Pictures by their paths: as a URL with all of it, or why there is none.
pub(super) struct Album(HashMap<String, Result<String, String>>);

impl Album {
    /// The pictures that `run` tells of, with `room` bytes for all of them.
    pub fn of(run: &Run, dir: &Path, room: usize) -> Self {
        let with_pictures = || run.builds.values().filter(|build| !build.pictures.is_empty());
        let share = room / with_pictures().count().max(1);
        let mut all = HashMap::new();
        for build in with_pictures() {
            let mut left = share;
            // From the last one back: the first ones give way.
            for (path, _) in last(build).rev() {
                let url = url(dir, path, left);
                left -= url.as_ref().map_or(0, String::len).min(left);
                all.insert(path.clone(), url);
            }
        }
        Self(all)
    }

    /// The last pictures of `build`, in order.
    pub fn last_of<'a>(
        &'a self,
        build: &'a Build,
    ) -> impl Iterator<Item = (&'a Result<String, String>, &'a (String, String))> {
        last(build).filter_map(|one| Some((self.0.get(&one.0)?, one)))
    }
}

fn last(build: &Build) -> impl DoubleEndedIterator<Item = &(String, String)> {
    build.pictures.iter().skip(build.pictures.len().saturating_sub(LAST))
}

/// The picture in the file `path` below `dir`. A log can name any file; only what is there is shown,
/// and only a picture.
fn url(dir: &Path, path: &str, room: usize) -> Result<String, String> {
    let path = Path::new(path);
    let inside = relative_path(path.strip_prefix(dir).unwrap_or(path));
    let inside = inside.map_err(|_| "it is not below this directory".to_owned())?;
    let bytes =
        read_regular(&dir.join(inside), LARGEST as u64).map_err(|error| error.to_string())?;
    let header = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info();
    header.map_err(|_| "it is no PNG".to_owned())?;
    let url = format!("data:image/png;base64,{}", BASE64.encode(bytes));
    if url.len() > room { Err("it is too large for this page".to_owned()) } else { Ok(url) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
        bytes
    }

    #[test]
    fn only_small_pictures_of_this_directory_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("good.png", &tiny());
        put("bad.png", b"<svg onload=x>");
        put("large.png", &vec![0; LARGEST + 1]);
        let is_taken = |path: &str, room| url(dir.path(), path, room).is_ok();
        assert!(is_taken("good.png", 1000) && is_taken("./good.png", 1000));
        assert!(is_taken(dir.path().join("good.png").to_str().unwrap(), 1000));
        assert!(!is_taken("good.png", 10));
        for path in ["bad.png", "large.png", "none.png", "/dev/zero", "../good.png", "."] {
            assert!(!is_taken(path, 1_000_000), "{path}");
        }
    }
}
